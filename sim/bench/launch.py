# SPDX-License-Identifier: Apache-2.0
"""Start a bench inside the simulator with its plan, and fetch what it saw."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.runner import SimulationError, simulate

__all__ = ["Seen", "launch"]


@dataclass(frozen=True)
class Seen:
    """What a bench saw."""

    passes: list[dict[str, Any]]  #: Of each pass that was begun.
    fault: str | None  #: A broken rule of transfer, in one line.
    simulator: str
    waves: Path | None


def launch(
    verilog: Path,
    module: str,
    bench: str,
    plan: Mapping[str, Any],
    build_dir: Path,
    *,
    simulator: str | None = None,
    waves: bool = False,
) -> Seen:
    """Run the cocotb module ``bench`` on ``module`` of ``verilog`` as ``plan`` says.

    Raises :class:`sim.runner.SimulationError` if the simulation itself fails.
    """
    build_dir.mkdir(parents=True, exist_ok=True)
    job_file, seen_file = build_dir / "job.json", build_dir / "seen.json"
    job_file.write_text(json.dumps(plan), encoding="utf-8")
    seen_file.unlink(missing_ok=True)
    try:
        run = simulate(
            [verilog],
            module,
            bench,
            build_dir,
            simulator=simulator,
            env={"BITLOOM_JOB": str(job_file.resolve()), "BITLOOM_SEEN": str(seen_file.resolve())},
            waves=waves,
        )
        wave, used = run.waves, run.simulator
    except SimulationError as error:
        if not seen_file.exists():
            raise
        used = error.simulator
        wave = error.waves if waves else None
    seen = json.loads(seen_file.read_text(encoding="utf-8"))
    return Seen(seen["passes"], seen["fault"], used, wave)

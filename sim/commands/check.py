# SPDX-License-Identifier: Apache-2.0
"""``python -m sim check UNIT``: emit, simulate, compare with the golden model."""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gen.cli import add_units, params_from

SUMMARY = "simulate a unit's Verilog and compare every result with the golden model"

_SHOWN = 12  #: Jobs whose cycles are printed.


def arguments(parser: argparse.ArgumentParser) -> None:
    add_units(parser, _own)


def _own(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("check")
    group.add_argument("--sim", metavar="NAME", help="icarus or verilator (default: $SIM, or any)")
    group.add_argument("--beats", default="1000", metavar="N", help="beats to send (default: 1000)")
    group.add_argument(
        "--jobs",
        default="20",
        metavar="N",
        help="good jobs to send to a matrix engine, instead of beats (default: 20)",
    )
    group.add_argument("--seed", default="1", metavar="N", help="of the random part (default: 1)")
    group.add_argument(
        "--stall",
        default="all",
        metavar="P",
        help="none, random, slow, shy, bursty, or all one after the other (default: all)",
    )
    group.add_argument("--waves", metavar="FILE", help="keep the waveform, and FILE.gtkw beside it")
    group.add_argument(
        "--verilog", metavar="FILE", help="check this text instead of what would be emitted"
    )


def run(args: argparse.Namespace) -> int:
    import numpy as np

    from gen.emit import emit
    from gen.unit import discover
    from sim.bench.check import check, golden_of, passes_for, takes_jobs
    from sim.bench.streams import stimulus_of
    from sim.options import count, place_waves, read_text
    from sim.runner import SimulationError, choose

    beats, jobs = count("beats", args.beats, 1), count("jobs", args.jobs, 1)
    seed = count("seed", args.seed, 0)
    passes = passes_for(args.stall)
    unit = discover()[args.unit]
    params = params_from(args, unit)
    simulator = choose(args.sim)
    text, manifest = emit(unit, params)
    if args.verilog:
        text = read_text(args.verilog)
    if not manifest["streams"]:
        # Only pauses mean anything to a bare cell, and to a combinational one not even those.
        pauses = [p for p in passes if p.source in ("none", "random", "bursty")] or passes
        passes = pauses if manifest["clock"] else pauses[:1]
    golden, rng = golden_of(manifest), np.random.default_rng(seed)
    if takes_jobs(manifest):
        stimulus: Any = stimulus_of(golden, manifest["parameters"], rng, jobs)
    else:
        stimulus = golden.vectors(manifest["parameters"], rng, beats)
    waves = place_waves(args.waves, simulator)
    with tempfile.TemporaryDirectory(prefix="bitloom-") as name:
        source = Path(name) / f"{manifest['module']}.v"
        source.write_text(text, encoding="utf-8")
        try:
            report = check(
                source,
                manifest,
                stimulus,
                Path(name) / "build",
                passes=passes,
                seed=seed,
                simulator=simulator,
                waves=waves is not None,
            )
        except SimulationError as error:
            print(f"FAIL  {manifest['module']}: {error}")
            return 1
        if waves is not None:
            waves.keep(manifest, report.waves)
    _show(manifest, report)
    if waves is not None:
        print(f"waves: {waves}")
    return 0 if report.passed else 1


def _show(manifest: Mapping[str, Any], report: Any) -> None:
    """Print the result, a line for the verdict and a line for each pass."""
    from sim.bench.check import takes_jobs

    parameters = manifest["parameters"]
    what = " ".join(
        f"{name}={value}" for name, value in parameters.items() if value not in (None, False)
    )
    print(f"{'PASS' if report.passed else 'FAIL'}  {manifest['module']}  {what}")
    words = ("jobs", "beats of results") if takes_jobs(manifest) else ("vectors", "results")
    print(
        f"  {report.vectors} {words[0]}, {report.results} {words[1]} in each of "
        f"{len(report.passes)} passes, simulator {report.simulator}"
    )
    for done in report.passes:
        if manifest["clock"]:
            alone = ", one job at a time" if done.alone else ""
            print(f"  stalls {done.source}/{done.sink}{alone}: {done.cycles} cycles")
    for name, cycles, model in report.times[:_SHOWN]:
        known = "none" if model is None else model
        print(f"  {name}: {cycles} cycles alone, golden model {known}")
    if len(report.times) > _SHOWN:
        print(f"  and {len(report.times) - _SHOWN} jobs more")
    if report.mismatch:
        print("\n".join(f"  {line}" for line in report.mismatch.lines()))
    if report.fault:
        print(f"  {report.fault}")

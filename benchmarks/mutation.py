# SPDX-License-Identifier: Apache-2.0
"""Mutation scores of every unit: ``docs/mutation.md``.

``python -m benchmarks mutation`` (or ``make mutate``) puts faults into the gates of every case that
a unit lists and counts how many the bench catches. What was measured lies in ``build/mutation``, by
the hash of the Verilog, so that an interrupted run goes on where it stopped.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from gen.emit import emit
from gen.unit import Unit, discover
from sim.bench.check import golden_of
from sim.bench.mutation import GOAL, mutate

__all__ = ["main", "measure"]

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "mutation.md"
KEPT = ROOT / "build" / "mutation"

_HEAD = """\
# Mutation scores

`make mutate` puts one fault at a time (an inverted input or output, an output stuck at 0 or 1) into
the gates of the emitted Verilog: 512 faults drawn from all, each simulated beside the healthy unit
with the bench's stimulus under four patterns of stalls. A mutant is killed when a result differs
from the golden model, a rule of transfer is broken, or nothing comes any more. Where fewer than
95 % are killed, ABC looks at the survivors: *equal* are those proved to change no output from reset
on, whatever comes in. The score is killed / (mutants - equal). Those left are neither: most sit
where no legal stimulus reaches, such as accumulator bits that only more than `max_k` products would
fill.

| unit | gates | mutants | killed | equal | left | score |
|---|---|---|---|---|---|---|
"""


def measure(unit: Unit, case: dict[str, Any]) -> dict[str, int]:
    """Return gates, mutants, killed, equal and left of one case, from the record if it is there."""
    text, manifest = emit(unit, unit.params(**case))
    golden = Path(str(golden_of(manifest).__file__)).read_bytes()
    key = hashlib.sha256(text.encode() + golden).hexdigest()[:16]
    path = KEPT / f"{unit.name}-{key}.json"
    if path.exists():
        known: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))
        return known
    with tempfile.TemporaryDirectory(prefix="bitloom-") as folder:
        score = mutate(text, manifest, Path(folder))
    found = {
        "gates": score.gates,
        "mutants": score.mutants,
        "killed": score.killed,
        "equal": score.equal,
        "left": len(score.left),
    }
    KEPT.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found), encoding="utf-8")
    return found


def main() -> int:
    """Measure every case and write the page; exit status 1 if a score is below the goal."""
    rows, low = [], []
    for unit in discover().values():
        for case in unit.cases:
            words = " ".join(f"{name}={value}" for name, value in case.items())
            if sys.stderr.isatty():
                print(f"\r\x1b[K{unit.name} {words}", end="", file=sys.stderr, flush=True)
            try:
                found = measure(unit, case)
            except ValueError as error:
                print(f"{unit.name} {words}: not measured, {error}", file=sys.stderr)
                continue
            score = found["killed"] / max(1, found["mutants"] - found["equal"])
            cells = " | ".join(str(value) for value in found.values())
            rows.append(f"| {unit.name} {words} | {cells} | {100 * score:.1f} % |\n")
            if score < GOAL:
                low.append(f"{unit.name} {words}")
    OUTPUT.write_text(_HEAD + "".join(rows), encoding="utf-8")
    print(
        f"{len(rows)} cases, {len(rows) - len(low)} of them at {GOAL:.0%} or more", *low, sep="\n"
    )
    return 1 if low else 0

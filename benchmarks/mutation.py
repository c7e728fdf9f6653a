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
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from gen.emit import emit
from gen.unit import discover
from sim.bench.mutation import GOAL, mutate, stimulus

__all__ = ["BEATS", "MORE", "UNITS", "cases", "label", "main", "measure"]

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "mutation.md"
KEPT = ROOT / "build" / "mutation"

UNITS = ("pe", "fma", "mul", "quantize", "block-quantize", "requant", "dequant", "pe-axi")
UNITS += ("lut-table", "array", "mpgemm")

#: Matrix engine -> what its first cases are one of each of. All bits of the counters of K are in
#: use here, and a tile has more than one result: else there is little but counters. They can be
#: measured, but are not on the page while some miss 95 % or are not measured.
ENGINES = {"array": "dataflow", "mpgemm": "engine"}

#: What draws the faults and the stimulus of an engine, other than what the stimulus was made with.
SEEDS = dict.fromkeys(ENGINES, 20261202)

#: Beside what the units list themselves: architectures and modes without a case, bare cells.
MORE: dict[str, tuple[dict[str, Any], ...]] = {
    "pe": (
        {"arch": "multiply", "format": "int4"},
        {"arch": "multiply", "format": "e4m3", "core": "dot", "lanes": 2},
        {"arch": "multiply", "format": "e4m3", "core": "accumulate", "pipeline": 3},
        {"arch": "shift-add", "format": "e2m1", "lanes": 2},
        {"arch": "shift-add", "format": "nf4", "core": "accumulate"},
        {"arch": "csa", "format": "int4", "lanes": 4, "core": "accumulate", "pipeline": 1},
        {"arch": "fused", "format": "int8", "mode": "both", "max_k": 4},
        {"arch": "fused", "format": "int16", "act": "int16", "mode": "float", "max_k": 4},
        {"arch": "simd", "max_k": 64, "core": "accumulate"},
    ),
}

#: Accesses are cheap, and their counts wide.
BEATS = {"pe-axi": 2000}

#: What decides the score beside the unit and its stimulus.
_BENCH = ("fpga/synth/machine.py", "sim/bench/mutation.py", "sim/bench/equivalence.py")
_BENCH += tuple(f"sim/bench/drive{kind}.py" for kind in ("", "_streams", "_cells"))
_OWN = {"pe-axi": ("sim/bench/drive_nodes.py",)} | dict.fromkeys(
    ENGINES, ("sim/bench/drive_jobs.py",)
)

_HEAD = """\
# Mutation scores

Would the benches notice a fault? `make mutate` puts one at a time into the gates of the emitted
Verilog: an inverted input or output of a gate, an output stuck at 0 or 1. 512 faults are drawn from
all that there are (all of them where there are fewer). Each is simulated beside the healthy unit
with the stimulus of the unit's golden model, 1000 beats as in `python -m sim check`, under four
patterns of stalls: none, at random, a slow source, a slow sink. A mutant is killed when a result
differs from the golden model, a rule of transfer is broken, a result is late, or nothing comes any
more.

"""

#: What the page says of engines, as soon as it has them.
_ENGINES = """\
A matrix engine gets 20 good jobs, all kinds of faulty ones, and hundreds of one beat, good and bad,
while its output waits long. For each bit of M, N and K there is a job of that size alone: a good
one below 256, else one that its packets break off, up to 2048 (4096 where an operand stays) after
as many steps, of N after as many columns. All but those of one beat run alone too, and a good one
must take exactly the cycles of the golden model. Faults and operands of engines are drawn with
another seed than those whose survivors were looked at.

"""

_ENGINES_LEFT = """
In the engines, what was left with another seed, before jobs of one size reached 2048, fed the upper
bits of the 16-bit counters of M, N and K, which show only where thousands of steps are walked
through, places of the queue of tiles, and single bits that make a descriptor a wrong one. Engines
are measured with `max_k=40000`, so that all bits of K are in use.
"""

_TABLE = """\
Gates that do nothing are taken out before, so that few faults are no faults: ABC sweeps what is
constant or equal to something else in every state that can be reached. Where fewer than 95 % are
killed, it also tries to prove for each survivor that it changes no output from reset on, whatever
comes in; *equal* are those with a proof. The score is killed / (mutants - equal).
`python -m sim mutate UNIT ...` does the same for any parameters and names the survivors.

| unit | gates | mutants | killed | equal | left | score |
|---|---|---|---|---|---|---|
"""

_NOTES = """
## What is left

Those *left* live and are not proved equal. Where the score is reached without them nobody tried to
prove it, so "left" means "not caught by this stimulus", not "cannot be caught". With proofs asked
for all the same, 16 of the 17 of `reuse`, the 11 of `fma format=e2m1` and half of the 12 of the
cell of `fma` turn out equal. Others, by what they feed:

- **Out of reach of a legal sum.** The seven of `csa` with `max_k=8` all feed the topmost bit of its
  accumulator, where sums of eight products do not carry. The proofs know nothing of `max_k` and
  cannot call them equal.
- **Rare in the data.** Carries, alignment, sticky bits and roundings that only few operands decide:
  in the fp32 adder of `dequant` and of `pe` with `scale=e8m0`, in the products of two outliers of
  `olive`, in single elements of `block-quantize`. Those of `simd`, of `fused` with `mode=float` and
  of `bit-serial` with `mode=hardware`, which round wide sums, were not looked at one by one.
- **NaNs told by one bit.** `quantize` from fp16 knows a NaN by any bit of its mantissa; few NaNs of
  the stimulus have one alone.
- **Counts.** `pe-axi` counts beats and results with 16 bits, of which its 2000 accesses reach the
  lower half; the others are bits of the address that no access gets wrong alone.

With `--group`, the cases that the unit lists allow two groups a dot product, in which hardly a bit
of an fp32 sum is in use; here the promise is `max_k=64`, for nearly the same gates.

`pe-uart` is not measured: a byte on its line takes at least 80 cycles, and the accesses of
`pe-axi` would take a million. Its registers and its processing element are those of `pe-axi`; its
serial side is held by tests of its own.
"""

_COPROCESSOR = """
## The co-processor

Not in the table, because it is below the goal: of 511 faults in the 24377 gates of the smallest
`coprocessor`, 467 were caught, 91.4 %, with faults and stimulus of a seed (20261202) that was not
looked at before. `python -m sim mutate coprocessor ...` measures it, which took twenty minutes on a
busy machine.

It is simulated whole, each copy before a memory of its own with the monitor of the bus
(`sim/bench/drive_memory.py`); the words of its memories have no faults. A host goes through all
registers, random products and copies in moods of the memory, every bit of every field of a
descriptor, operands up to the last address, rings of every size, refused bursts, aborts, resets and
time-outs (`sim/bench/accelerator_script.py`); the golden model says what each access and all of
memory must hold, and twice the cycle model how long a product may take. The memory lies somewhere
else each time.

Survivors of other seeds, looked at by the registers that they feed, were upper bits of the bytes
of a command, of N in the engine's own sequencer, which sees a column tile at a time, the engine's
codes for packets that the tiler never sends; else carries of addresses that few operands decide.
Many of these seem to be out of reach inside of the unit. None was proved equal: the proofs take too
long for a unit of this size.

`coprocessor-uart` is not measured, for the reason that `pe-uart` is not. Of `cfu` 54 of 64 faults
were caught, in a first try; its survivors were not looked at.
"""


def label(name: str, case: dict[str, Any]) -> str:
    """Return what stands in the first column of the page."""
    return " ".join([name, *(f"{key}={value}" for key, value in case.items())])


def cases() -> list[tuple[str, dict[str, Any]]]:
    """Return (unit, parameters) of every row of the page."""
    units = discover()
    return [
        (name, {**case, "max_k": 64} if name == "pe" and case.get("group") else case)
        for name in UNITS
        if name not in ENGINES
        for case in (*units[name].cases, *MORE.get(name, ()))
    ] + [
        (name, {**case, "columns": max(case["columns"], 3 - case["rows"]), "max_k": 40000})
        for name, kind in ENGINES.items()
        if name in UNITS
        for case in _first(units[name].cases, kind)
    ]


def _first(every: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the first case of each kind."""
    found: dict[str, dict[str, Any]] = {}
    for case in every:
        found.setdefault(case[kind], case)
    return list(found.values())


def measure(name: str, case: dict[str, Any]) -> dict[str, int] | str:
    """Return gates, mutants, killed, equal and left of one case, from the record if it is there.

    A text instead says why it cannot be measured.
    """
    unit, beats, seed = discover()[name], BEATS.get(name, 1000), SEEDS.get(name, 1)
    text, manifest = emit(unit, unit.params(**case))
    try:
        vectors, due = stimulus(manifest, beats, seed)
    except ValueError as error:
        return str(error)
    digest = hashlib.sha256(text.encode())
    for path in (*_BENCH, *_OWN.get(name, ())):
        digest.update((ROOT / path).read_bytes())
    for column, values in (*vectors.items(), *due.items()):
        digest.update(f"{column} {np.asarray(values).tolist()}".encode())
    path = KEPT / f"{name}-{digest.hexdigest()[:16]}.json"
    if path.exists():
        known: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))
        return known
    with tempfile.TemporaryDirectory(prefix="bitloom-") as folder:
        score = mutate(text, manifest, Path(folder), beats=beats, seed=seed)
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


def main(names: Sequence[str] = ()) -> int:
    """Measure every case and write the page; exit status 1 if a score is below the goal.

    With ``names`` only the cases of these units are measured, the other rows stay as they are.
    """
    rows, low = [], []
    every = [(unit, case) for unit, case in cases() if not names or unit in names]
    if names:
        page = OUTPUT.read_text(encoding="utf-8").splitlines(keepends=True)
        known = [line for line in page if len(line.split(" | ")) == 7]
        rows += [line for line in known if line.split()[1] not in (*names, "unit")]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(measure, *case) for case in every]
        for (unit, case), future in zip(every, futures, strict=True):
            words, found = label(unit, case), future.result()
            if isinstance(found, str):
                low.append(f"{words}: not measured, {found}")
                continue
            score = found["killed"] / max(1, found["mutants"] - found["equal"])
            cells = " | ".join(str(value) for value in found.values())
            rows.append(f"| {words} | {cells} | {100 * score:.1f} % |\n")
            print(f"{words}: {100 * score:.1f} %", file=sys.stderr, flush=True)
            if score < GOAL:
                low.append(words)
    engines, left = (_ENGINES, _ENGINES_LEFT) if set(ENGINES) <= set(UNITS) else ("", "")
    page = [_HEAD, engines, _TABLE, *rows, _NOTES, left, _COPROCESSOR]
    OUTPUT.write_text("".join(page), encoding="utf-8")
    print(
        f"{len(every)} cases, {len(every) - len(low)} of them at {GOAL:.0%} or more", *low, sep="\n"
    )
    return 1 if low else 0

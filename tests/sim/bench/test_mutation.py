# SPDX-License-Identifier: Apache-2.0
"""The count of caught faults can tell a good bench from a poor one, and what changes nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpga.synth.machine import KINDS, Copies, Fault, Machine
from gen.emit import emit
from gen.unit import discover
from sim.bench import mutation
from sim.bench.equivalence import equivalent
from sim.bench.mutation import mutate
from sim.commands.mutate import run  # noqa: F401  (the command exists)
from tests.verilog import mutants

UNIT = discover()["pe"]

#: y = (a & b) | (a & b & c), whose second product is redundant; q holds y from the cycle before.
REDUNDANT = """\
aag 7 3 1 2 3
2
4
6
8 15
15
8
10 4 2
12 10 6
14 13 11
i0 a
i1 b
i2 c
l0 q
o0 y
o1 q
"""


def emitted(**parameters: Any) -> tuple[str, dict[str, Any]]:
    return emit(UNIT, UNIT.params(**parameters))


def test_copies_run_side_by_side() -> None:
    machine = Machine.parse(REDUNDANT)
    faults = machine.faults()
    assert len(faults) == len(KINDS) * len(machine.gates)
    copies = Copies(machine, [None, *faults])
    singles = [machine, *(machine.with_fault(fault) for fault in faults)]
    rng = np.random.default_rng(3)
    alone = [Copies(single, [None]) for single in singles]
    for _ in range(20):
        given = {name: rng.random(1) < 0.5 for name in ("a", "b", "c")}
        for run_of in (copies, *alone):
            for name, bits in given.items():
                run_of.drive(name, bits)
            run_of.settle()
        for name in ("y", "q"):
            due = np.concatenate([single.read(name) for single in alone])
            assert (copies.read(name) == due).all()
        for run_of in (copies, *alone):
            run_of.clock()


def test_equivalence(tmp_path: Path) -> None:
    """The gate ``p & c`` may be stuck at 0 and nothing changes; stuck at 1 it matters."""
    machine = Machine.parse(REDUNDANT)
    c = machine.inputs["c"][0]
    (gate,) = [k for k, row in enumerate(machine.gates.tolist()) if 2 * c in row[1:]]
    faults = [Fault(gate, "stuck at 0"), Fault(gate, "stuck at 1"), Fault(gate, "inverted")]
    assert equivalent(machine, faults, tmp_path) == [True, False, False]
    assert equivalent(machine, [], tmp_path) == []


def test_score(tmp_path: Path) -> None:
    score = mutate(*emitted(format="int4", act="int4"), tmp_path, mutants=128)
    assert score.mutants == 128 == score.killed + score.equal + len(score.left)
    assert score.ratio >= 0.95


def test_combinational(tmp_path: Path) -> None:
    score = mutate(*emitted(format="e2m1", act="int4", core="dot"), tmp_path, mutants=128)
    assert score.ratio >= 0.95


def test_a_poor_bench_scores_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few beats, all of them zero."""
    golden = mutation.golden_of(emitted()[1])

    class Poor:
        run = staticmethod(golden.run)

        @staticmethod
        def vectors(*_: Any) -> dict[str, Any]:
            zeros = np.zeros((8, 1), dtype=np.int64)
            return {"a": zeros, "w": zeros, "last": np.ones(8, dtype=bool)}

    monkeypatch.setattr(mutation, "golden_of", lambda manifest: Poor)
    assert mutate(*emitted(format="int4"), tmp_path, mutants=128).ratio < 0.6


@pytest.mark.parametrize("name", sorted(set(mutants.MUTANTS) - {"valid_needs_ready"}))
def test_a_faulty_unit_is_condemned(name: str, tmp_path: Path) -> None:
    """Each rule that the bench watches, broken in the unit itself."""
    text, manifest = emitted(format="int4")
    with pytest.raises(ValueError, match="condemns the healthy"):
        mutate(mutants.mutate(text, manifest, name), manifest, tmp_path, mutants=1)


def test_what_it_cannot_drive(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither streams nor is it combinational"):
        mutate(*emitted(core="accumulate"), tmp_path)

# SPDX-License-Identifier: Apache-2.0
"""The count of caught faults can tell a good bench from a poor one, and what changes nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.mutation import OUTPUT, UNITS, cases, label
from fpga.synth.machine import KINDS, Copies, Fault, Machine
from gen.emit import emit
from gen.unit import discover
from hw.pe.arch import NAMES
from sim.bench import mutation
from sim.bench.equivalence import equivalent, reduced
from sim.bench.mutation import mutate, stimulus
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


def test_reduced(tmp_path: Path) -> None:
    """The redundant product goes, and nothing else is seen of it."""
    machine = Machine.parse(REDUNDANT)
    small = reduced(machine, tmp_path)
    assert (len(machine.gates), len(small.gates), len(small.latches)) == (3, 1, 1)
    assert {n: len(b) for n, b in small.inputs.items()} == {"a": 1, "b": 1, "c": 1}
    whole, part, rng = Copies(machine, [None]), Copies(small, [None]), np.random.default_rng(3)
    for _ in range(20):
        for name in machine.inputs:
            bit = rng.random(1) < 0.5
            whole.drive(name, bit)
            part.drive(name, bit)
        whole.settle()
        part.settle()
        assert all((whole.read(name) == part.read(name)).all() for name in machine.outputs)
        whole.clock()
        part.clock()


def test_reduced_unit(tmp_path: Path) -> None:
    """Binary AIGER comes back as it went: a unit keeps its answers on random inputs."""
    text, manifest = emitted(format="int3", act="e2m1", lanes=2, pipeline=1)
    machine = Machine.read(text, manifest["module"], tmp_path)
    small = reduced(machine, tmp_path)
    assert len(small.gates) <= len(machine.gates)
    copies, rng = [Copies(m, [None] * 64) for m in (machine, small)], np.random.default_rng(3)
    for _ in range(50):
        given = {name: rng.random((64, len(bits))) < 0.5 for name, bits in machine.inputs.items()}
        for copy in copies:
            for name, bits in given.items():
                copy.drive(name, bits)
            copy.settle()
        for name in machine.outputs:
            assert (copies[0].read(name) == copies[1].read(name)).all()
        for copy in copies:
            copy.clock()


def test_score(tmp_path: Path) -> None:
    score = mutate(*emitted(format="int4", act="int4"), tmp_path, mutants=128)
    assert score.mutants == 128 == score.killed + score.equal + len(score.left)
    assert score.ratio >= 0.95


def test_combinational(tmp_path: Path) -> None:
    score = mutate(*emitted(format="e2m1", act="int4", core="dot"), tmp_path, mutants=128)
    assert score.ratio >= 0.95


CELLS: dict[str, dict[str, Any]] = {
    "stages": {"format": "e2m1", "act": "int4", "core": "accumulate", "pipeline": 2, "max_k": 8},
    "two words": {"arch": "csa", "format": "int2", "act": "int2", "core": "accumulate"},
    "column": {
        "arch": "sparse-digit", "format": "int2", "lanes": 4, "columns": 2, "core": "accumulate",
        "acc_bits": 26,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CELLS)
def test_bare_cells(name: str, tmp_path: Path) -> None:
    score = mutate(*emitted(**CELLS[name]), tmp_path, mutants=100, beats=200)
    assert score.ratio >= 0.95


def test_a_result_of_two_words_is_judged_by_their_sum(tmp_path: Path) -> None:
    """A bit that moves from one word to the other is no fault; a bit that goes astray is."""
    text, manifest = emitted(**CELLS["two words"])
    moved = {"acc_sum": "c_acc_carry", "acc_carry": "c_acc_sum"}
    lost = {"acc_sum": "c_acc_sum & ~2"}
    options = {"mutants": 1, "beats": 60}
    mutate(mutants.mutate(text, manifest, moved), manifest, tmp_path, **options)
    with pytest.raises(ValueError, match="condemns the healthy"):
        mutate(mutants.mutate(text, manifest, lost), manifest, tmp_path, **options)


def test_accesses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutation, "GOAL", 0)  # no proofs
    unit = discover()["pe-axi"]
    found = emit(unit, unit.params(format="int2", act="int2", max_k=8))
    score = mutate(*found, tmp_path, mutants=31, beats=100)
    assert score.killed > score.mutants / 2


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
    monkeypatch.setattr(mutation, "GOAL", 0)  # no proofs
    assert mutate(*emitted(format="int4"), tmp_path, mutants=128).ratio < 0.6


@pytest.mark.parametrize("name", sorted(set(mutants.MUTANTS) - {"valid_needs_ready"}))
def test_a_faulty_unit_is_condemned(name: str, tmp_path: Path) -> None:
    """Each rule that the bench watches, broken in the unit itself."""
    text, manifest = emitted(format="int4")
    with pytest.raises(ValueError, match="condemns the healthy"):
        mutate(mutants.mutate(text, manifest, name), manifest, tmp_path, mutants=1)


def test_what_it_cannot_drive() -> None:
    unit = discover()["pe-uart"]
    with pytest.raises(ValueError, match="no port by which it could be driven"):
        stimulus(emit(unit, unit.params())[1])


def test_the_page_has_every_architecture() -> None:
    every = cases()
    assert {case["arch"] for name, case in every if name == "pe" and "arch" in case} == set(NAMES)
    assert {name for name, _ in every} == set(UNITS)
    page = OUTPUT.read_text(encoding="utf-8")
    scores = {
        row.split(" | ")[0].removeprefix("| "): float(row.split(" | ")[-1].split()[0])
        for row in page.splitlines()
        if row.endswith("% |")
    }
    assert set(scores) == {label(*case) for case in every}
    assert min(scores.values()) >= 95

# SPDX-License-Identifier: Apache-2.0
"""Every unit keeps the stream rules for all time, and the proof notices when one does not."""

from pathlib import Path
from typing import Any

import pytest

from gen.emit import emit
from gen.unit import Unit, discover
from sim.formal import prove
from tests.verilog.mutants import MUTANTS, mutate

#: What each fault breaks, by the property that must be refuted.
REFUTED = {
    "ready_stuck": "o_value",
    "valid_dropped": "o_valid_kept",
    "valid_needs_ready": "o_valid depends combinationally on o_ready",
    "valid_awaits_ready": "o_in_time",
    "payload_moves": "o_payload_kept",
    "beat_lost": "o_value",
    "beat_twice": "o_value",
    "result_lost": None,
    "result_repeated": "o_not_early",
    "boundary_late": None,
    "reset_ignored": None,
    "deadlock": "i_taken",
}


def _cases() -> list[Any]:
    """Every case of every unit; bare cells have no streams, so no stream rules."""
    return [
        pytest.param(unit, case, id=f"{unit.name}-{number}")
        for unit in discover().values()
        for number, case in enumerate(unit.cases)
        if case.get("core", "stream") == "stream"
    ]


@pytest.mark.parametrize(("unit", "case"), _cases())
def test_unit(unit: Unit, case: dict[str, Any], tmp_path: Path) -> None:
    proof = prove(*emit(unit, unit.params(**case)), tmp_path)
    assert proof.proved, proof.refuted
    assert proof.counted
    assert proof.covered >= 5


@pytest.mark.parametrize("pipeline", [1, 2, 3])
def test_pipeline(pipeline: int, tmp_path: Path) -> None:
    unit = discover()["pe"]
    params = unit.params(format="e2m1", act="int4", lanes=2, pipeline=pipeline)
    proof = prove(*emit(unit, params), tmp_path)
    assert proof.proved and proof.counted, proof.refuted


def test_without_a_zero(tmp_path: Path) -> None:
    """Formats without a zero have no beat that adds nothing: the proof says what it leaves out."""
    unit = discover()["pe"]
    proof = prove(*emit(unit, unit.params(format="bipolar2", act="binary")), tmp_path)
    assert proof.proved and not proof.counted
    assert not any(label.endswith("_value") for label in proof.properties)


@pytest.mark.parametrize("name", sorted(REFUTED))
def test_fault(name: str, tmp_path: Path) -> None:
    unit = discover()["pe"]
    text, manifest = emit(unit, unit.params(format="int2", act="int2", max_k=16))
    proof = prove(mutate(text, manifest, name), manifest, tmp_path)
    assert not proof.proved
    if REFUTED[name]:
        assert proof.refuted == REFUTED[name]
    if name != "valid_needs_ready":
        assert proof.trace is not None and proof.trace.exists()


def test_every_fault_of_the_handshake_is_listed() -> None:
    assert set(MUTANTS) - set(REFUTED) == {"sign_lost"}


def test_a_proof_of_nothing_is_none(tmp_path: Path) -> None:
    """Nothing is ever taken, so nothing can go wrong: only the covers notice."""
    unit = discover()["pe"]
    text, manifest = emit(unit, unit.params(format="int2", act="int2", max_k=16))
    dead = mutate(text, manifest, "deadlock").replace("n != 7", "rst")
    assert dead.count("rst") > 1
    proof = prove(dead, {**manifest, "latency": 1}, tmp_path)
    assert not proof.proved


def test_a_cell_has_nothing_to_prove(tmp_path: Path) -> None:
    unit = discover()["pe"]
    with pytest.raises(ValueError, match="one stream each way"):
        prove(*emit(unit, unit.params(core="dot")), tmp_path)

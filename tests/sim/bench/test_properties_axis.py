# SPDX-License-Identifier: Apache-2.0
"""The proof of matrix engines, on one that is right and on others that are not."""

from pathlib import Path

import pytest

from sim.bench import properties_axis
from sim.formal import prove
from tests.sim.bench import engine

REFUTED = {fault: said for fault, (said, _) in engine.FAULTS.items() if said}
QUICK = {"WRONG_KEEP", "VALID_NEEDS_READY", "READY_FOLLOWS_VALID"}


def test_right(tmp_path: Path) -> None:
    """An engine without the frame of ours: no lemmas, so the rules of order are searched."""
    proof = prove(engine.source(), engine.MANIFEST, tmp_path, seconds=4)
    assert proof.refuted is None
    assert "all_in_time" in proof.for_all_time
    assert min(proof.searched.values()) >= 8
    assert proof.covered == 14
    assert "any input to any output" in proof.independent
    assert proof.left_out is not None and "numbers" in proof.left_out


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, marks=() if fault in QUICK else pytest.mark.deep)
        for fault in sorted(REFUTED)
    ],
)
def test_wrong(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The solver's time grows with the length of the wait.
    monkeypatch.setattr(properties_axis, "_SLACK", 4)
    proof = prove(engine.source(fault), engine.MANIFEST, tmp_path)
    assert not proof.proved
    assert proof.refuted is not None and REFUTED[fault] in proof.refuted


def test_streams_tell_an_engine() -> None:
    assert properties_axis.takes_jobs(engine.MANIFEST)
    assert not properties_axis.takes_jobs({"streams": engine.MANIFEST["streams"][1:]})
    assert len(properties_axis.paths(engine.MANIFEST)) == 8 * 9

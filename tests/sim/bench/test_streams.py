# SPDX-License-Identifier: Apache-2.0
"""The bench of matrix engines, on one that is right and on others that are not."""

from pathlib import Path

import numpy as np
import pytest

from sim.bench.check import Pass, Report, check
from sim.bench.streams import _View, job_ends, stimulus_of
from sim.golden.mpgemm.jobs import job_word
from tests.sim.bench import engine

PASSES = [Pass("none", "none"), Pass("random", "bursty"), Pass("none", "slow")]


def checked(folder: Path, fault: str | None = None, jobs: int = 6) -> Report:
    verilog = folder / "engine.v"
    verilog.write_text(engine.source(fault), encoding="utf-8")
    parameters = engine.MANIFEST["parameters"]
    stimulus = stimulus_of(engine, parameters, np.random.default_rng(1), jobs)
    return check(verilog, engine.MANIFEST, stimulus, folder / "build", passes=PASSES)


def test_right(tmp_path: Path) -> None:
    report = checked(tmp_path)
    assert report.passed, (report.fault, report.mismatch)
    assert report.passes[0].alone
    assert [p.source for p in report.passes] == ["none", "none", "random", "none"]
    assert len(report.times) < report.vectors  # those with errors have no time to keep
    assert all(cycles == model for _, cycles, model in report.times)
    assert report.times[0][0] == "job 0 (m 1, n 1, k 7)"


@pytest.mark.parametrize("fault", [name for name, (_, said) in engine.FAULTS.items() if said])
def test_wrong(fault: str, tmp_path: Path) -> None:
    report = checked(tmp_path, fault)
    assert not report.passed
    text = "\n".join(report.mismatch.lines()) if report.mismatch else report.fault
    assert text is not None and engine.FAULTS[fault][1] in text, text
    assert text.startswith("job ")


def test_place_and_numbers(tmp_path: Path) -> None:
    report = checked(tmp_path, "REPEATED_ROW", 10)
    assert report.mismatch is not None
    (line,) = report.mismatch.lines()
    assert line == (
        "job 1 (m 2, n 2, k 2), beat 1 (row 1, column tile 0), column 1 of the tile on "
        "m_axis_out_tdata, stalls none/none, one job at a time: expected -1, got 4"
    )


def test_place_in_groups() -> None:
    contract = {**engine.MANIFEST["contract"], "group": 4, "sum": "int"}
    parameters = {**engine.MANIFEST["parameters"], "rows": 2, "columns": 2}
    manifest = {**engine.MANIFEST, "contract": contract, "parameters": parameters}
    jobs = {"s_axis_job": {"tdata": [job_word(3, 3, 9)]}}
    view = _View(manifest, jobs, {}, {"m_axis_out": [18]})
    places = [view._where("m_axis_out", beat).partition(" (row ")[2] for beat in (0, 5, 9, 16)]
    assert places == [
        "0, column tile 0, group 0)",
        "1, column tile 0, group 2)",
        "1, column tile 1, group 1)",
        "2, column tile 1, group 1)",
    ]


def test_packets() -> None:
    assert job_ends("a", {"tdata": [1, 2, 3], "tlast": [0, 1, 1]}) == [2, 3]
    assert job_ends("a", {"tdata": [1, 2, 3]}) == [1, 2, 3]
    with pytest.raises(ValueError, match="the last packet on a has no end"):
        job_ends("a", {"tdata": [1, 2], "tlast": [1, 0]})


def test_stimulus_must_fit(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    parameters = engine.MANIFEST["parameters"]
    stimulus = engine.vectors(parameters, rng, 2)
    stimulus["s_axis_job"]["tdata"].pop()
    due = engine.run(parameters, engine.vectors(parameters, rng, 2))
    with pytest.raises(ValueError, match="there are 1 on s_axis_job, 2 on s_axis_act"):
        check(tmp_path / "no.v", engine.MANIFEST, stimulus, tmp_path, expected=due)
    stimulus = engine.vectors(parameters, rng, 2)
    stimulus["s_axis_act"]["tdata"][0] = 256
    with pytest.raises(ValueError, match="does not fit the 8 bits of s_axis_act_tdata"):
        check(tmp_path / "no.v", engine.MANIFEST, stimulus, tmp_path, expected=due)

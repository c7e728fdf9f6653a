# SPDX-License-Identifier: Apache-2.0
"""The emitted Verilog under traffic, and the bench itself under faulty Verilog."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gen.emit import emit
from gen.unit import discover
from sim.bench.check import Pass, Report, check, golden_of, passes_for
from tests.verilog.mutants import MUTANTS, mutate

#: One of each kind of format, architecture, pipeline depth and shape.
CASES: dict[str, dict[str, Any]] = {
    "int4-int8": {"format": "int4", "arch": "multiply"},
    "e2m1-int8": {"format": "e2m1", "arch": "shift-add", "lanes": 4, "pipeline": 1},
    "ternary-int8": {"format": "ternary", "lanes": 3, "pipeline": 2},
    "e4m3-e5m2": {"format": "e4m3", "act": "e5m2", "lanes": 2, "max_k": 64, "pipeline": 3},
    "nf4-fp16": {"format": "nf4", "act": "fp16", "pipeline": 1},
    "int4-bf16": {"format": "int4", "act": "bf16", "lanes": 2},
    "posit8_0-posit16_1": {"format": "posit8_0", "act": "posit16_1", "max_k": 16},
    "bipolar3-uint2": {"format": "bipolar3", "act": "uint2", "lanes": 5, "max_k": 5},
    "shift4-int8-wide": {"format": "shift4", "lanes": 2, "acc_bits": 70},
}

PASSES = [
    Pass("none", "none"),
    Pass("random", "random"),
    Pass("bursty", "shy"),
    Pass("none", "slow"),
    Pass("slow", "none"),
]


def run(
    parameters: dict[str, Any],
    folder: Path,
    beats: int = 150,
    passes: list[Pass] | None = None,
    mutant: str | dict[str, str] | None = None,
) -> Report:
    unit = discover()["pe"]
    text, manifest = emit(unit, unit.params(**parameters))
    if mutant:
        text = mutate(text, manifest, mutant)
    source = folder / "pe.v"
    source.write_text(text, encoding="utf-8")
    rng = np.random.default_rng(1)
    stimulus = golden_of(manifest).vectors(manifest["parameters"], rng, beats)
    return check(source, manifest, stimulus, folder / "build", passes=passes or PASSES)


@pytest.mark.parametrize("name", CASES)
def test_stream(name: str, tmp_path: Path) -> None:
    report = run(CASES[name], tmp_path)
    assert report.passed, (report.fault, report.mismatch)
    assert report.results > 5
    # One beat per cycle, and the last result one latency later: the promise as a deadline.
    assert report.passes[0].cycles == report.vectors + CASES[name].get("pipeline", 0) + 1


@pytest.mark.parametrize("name", CASES)
def test_accumulate(name: str, tmp_path: Path) -> None:
    passes = [Pass("none", "none"), Pass("random", "bursty")]
    report = run({**CASES[name], "core": "accumulate"}, tmp_path, passes=passes)
    assert report.passed, (report.fault, report.mismatch)
    assert report.results == report.vectors


@pytest.mark.parametrize("name", CASES)
def test_dot(name: str, tmp_path: Path) -> None:
    only = CASES[name].items()
    case = {key: value for key, value in only if key not in ("pipeline", "acc_bits")}
    report = run({**case, "core": "dot"}, tmp_path, 300, [Pass("none", "none")])
    assert report.passed, (report.fault, report.mismatch)
    assert report.results == 300


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_fault(name: str, tmp_path: Path) -> None:
    """The bench must not pass a unit with any of these faults."""
    report = run({"format": "int4", "act": "int4"}, tmp_path, 100, mutant=name)
    assert not report.passed


def test_fault_in_rate(tmp_path: Path) -> None:
    """A correct unit of half the promised throughput misses the deadline, and only that."""
    half = {
        "_": "reg t = 0; always @(posedge clk) t <= i_valid && i_ready;",
        "c_i_valid": "i_valid && !t",
        "i_ready": "c_i_ready && !t",
    }
    report = run({"format": "int4", "act": "int4"}, tmp_path, 100, mutant=half)
    assert report.mismatch is None
    assert report.fault is not None and "are promised" in report.fault


def test_x_is_a_fault(tmp_path: Path) -> None:
    fault = {"o_acc": "c_o_valid ? c_o_acc : 'x"}
    report = run({"format": "int4", "act": "int4"}, tmp_path, 20, mutant=fault)
    # Verilator has no X: it draws values instead, and the payload does not count while not valid.
    if report.simulator == "icarus":
        assert report.fault is not None and "o_acc is" in report.fault


def test_every_pattern_is_a_pass() -> None:
    assert {p.source for p in passes_for("all")} == {"none", "random", "slow", "shy", "bursty"}
    assert passes_for("shy") == [Pass("shy", "shy")]
    with pytest.raises(ValueError, match="stall must be one of"):
        passes_for("never")

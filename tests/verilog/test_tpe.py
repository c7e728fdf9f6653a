# SPDX-License-Identifier: Apache-2.0
"""Integer architectures of the bit-weight family and their kin, in emitted Verilog."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gen.emit import emit
from gen.unit import discover
from sim.bench.check import Pass, Report, check, golden_of
from sim.bench.exhaustive import Pair, compare
from tests.verilog.mutants import mutate

NONE = Pass("none", "none")
STALLS = [NONE, Pass("random", "bursty"), Pass("shy", "slow"), Pass("none", "random")]

#: Beats, and the parameters of one of each shape.
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "csa": (150, {"arch": "csa", "format": "int8"}),
    "csa-wide": (150, {"arch": "csa", "format": "int8", "acc_bits": 40, "pipeline": 1}),
    "csa-lanes": (150, {"arch": "csa", "format": "sm4", "act": "uint8", "lanes": 3}),
    "csa-chains": (150, {"arch": "csa", "format": "bipolar3", "lanes": 2, "target": "xcup"}),
    "sparse-digit": (60, {"arch": "sparse-digit", "format": "int8", "lanes": 4}),
    "sparse-digit-columns": (
        40,
        {"arch": "sparse-digit", "format": "uint3", "act": "int5", "lanes": 4, "columns": 3},
    ),
    "vector": (120, {"arch": "vector", "format": "int4", "lanes": 8}),
    "vector-columns": (
        60,
        {"arch": "vector", "format": "sm4", "act": "uint8", "lanes": 3, "columns": 2}
        | {"pipeline": 2, "target": "xcup"},
    ),
    "reuse": (60, {"arch": "reuse", "format": "int4", "columns": 5}),
    "reuse-memory": (40, {"arch": "reuse", "format": "int8", "columns": 9}),
    "booth": (150, {"arch": "booth", "format": "int3", "lanes": 3, "pipeline": 2}),
    "booth-float": (150, {"arch": "booth", "format": "e2m1", "act": "e4m3", "target": "xcup"}),
}


def run(
    parameters: dict[str, Any],
    folder: Path,
    beats: int,
    passes: list[Pass] = STALLS,
    mutant: str | dict[str, str] | None = None,
    stimulus: dict[str, Any] | None = None,
) -> Report:
    unit = discover()["pe"]
    text, manifest = emit(unit, unit.params(**parameters))
    if mutant:
        text = mutate(text, manifest, mutant)
    source = folder / "pe.v"
    source.write_text(text, encoding="utf-8")
    rng = np.random.default_rng(1)
    if stimulus is None:
        stimulus = golden_of(manifest).vectors(manifest["parameters"], rng, beats)
    return check(source, manifest, stimulus, folder / "build", passes=passes)


@pytest.mark.parametrize("name", CASES)
def test_stream(name: str, tmp_path: Path) -> None:
    beats, case = CASES[name]
    report = run(case, tmp_path, beats)
    assert report.passed, (report.fault, report.mismatch)
    assert report.results > 5


@pytest.mark.parametrize("name", [n for n in CASES if n.startswith(("csa", "booth", "vector"))])
def test_accumulate(name: str, tmp_path: Path) -> None:
    beats, case = CASES[name]
    report = run({**case, "core": "accumulate"}, tmp_path, beats, STALLS[:2])
    assert report.passed, (report.fault, report.mismatch)
    assert report.results == report.vectors


@pytest.mark.parametrize(
    "options", [{"act": "int4"}, {"act": "int8"}, {"act": "int8", "target": "xcup"}]
)
def test_csa_every_pair_of_codes(options: dict[str, Any], tmp_path: Path) -> None:
    bits = int(options["act"][3:])
    a, w = (codes.reshape(-1, 1) for codes in np.meshgrid(np.arange(1 << bits), np.arange(16)))
    rng = np.random.default_rng(2)
    stimulus = {"a": a, "w": w, "clr": rng.random(len(a)) < 0.1}
    stimulus["clr"][0] = True
    case = {"arch": "csa", "format": "int4", "core": "accumulate", **options}
    report = run(case, tmp_path, 0, [NONE], stimulus=stimulus)
    assert report.passed and report.results == 16 << bits, report.mismatch


@pytest.mark.parametrize("name", ["csa", "csa-chains"])
@pytest.mark.parametrize("sign", [1, -1])
def test_largest_sums(name: str, sign: int, tmp_path: Path) -> None:
    """As many extreme products as the accumulator promises to hold."""
    _, case = CASES[name]
    case = {**case, "format": "int8", "max_k": 250}
    lanes = case.get("lanes", 1)
    beats = 250 // lanes
    code = {1: 0x80, -1: 0x7F}[sign]
    stimulus = {
        "a": np.full((beats, lanes), 0x80),
        "w": np.full((beats, lanes), code),
        "last": np.arange(beats) == beats - 1,
    }
    report = run(case, tmp_path, 0, [NONE], stimulus=stimulus)
    assert report.passed, report.mismatch


def test_booth_every_pair_of_codes(tmp_path: Path) -> None:
    pairs = [
        Pair(weight, act, "booth", target)
        for weight, act in (("int4", "int4"), ("int4", "int8"), ("int8", "int8"), ("uint1", "e2m1"))
        for target in ("gates", "xcup")
    ]
    compared, wrong = compare(pairs, tmp_path, "netlist")
    assert not wrong and compared > 2 * 65536, wrong


@pytest.mark.parametrize(("arch", "rows"), [("booth", 2), ("shift-add", 3)])
def test_booth_has_half_the_rows(arch: str, rows: int) -> None:
    unit = discover()["pe"]
    text, _ = emit(unit, unit.params(format="uint3", act="int8", arch=arch, core="dot"))
    assert len(re.findall(r"^  (?:reg|wire) \[\d+:0\] \\?row\b", text, re.M)) == rows


@pytest.mark.parametrize(
    "mutant",
    [
        {"acc_carry": "c_acc_carry & ~(1 << 4)"},
        {"acc_sum": "c_acc_sum ^ c_clr"},
        {"_": "reg t = 0; always @(posedge clk) t <= !en;", "acc_sum": "c_acc_sum + t"},
        {"c_clr": "clr && !acc_carry"},
    ],
)
def test_faults_of_the_redundant_words_are_seen(mutant: dict[str, str], tmp_path: Path) -> None:
    case = {"arch": "csa", "format": "int8", "core": "accumulate"}
    report = run(case, tmp_path, 100, STALLS[:2], mutant)
    assert not report.passed


def test_words_may_differ_where_their_sum_does_not(tmp_path: Path) -> None:
    swap = {
        "_": "reg [2:0] n = 0; always @(posedge clk) n <= n + 1;",
        "acc_sum": "c_acc_sum + n",
        "acc_carry": "c_acc_carry - n",
    }
    case = {"arch": "csa", "format": "int8", "core": "accumulate"}
    assert run(case, tmp_path, 100, STALLS[:2], swap).passed

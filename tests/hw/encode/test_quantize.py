# SPDX-License-Identifier: Apache-2.0
"""Every code of short sources, corners of long ones, and the stream, against the golden model."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gen.emit import emit
from gen.unit import discover
from hw.encode.codebook import values_of
from hw.encode.quantize import QuantizeParams
from hw.encode.source import parse_source
from hw.spec.formats import CATALOGUE, PositFormat, PowerFormat, parse
from hw.spec.rounding import ROUNDINGS
from sim.bench.check import Pass, check, golden_of
from tests.hw.encode.cells import differences

MODES = [(r, o) for o in ("sat", "nonsat") for r in ROUNDINGS]
TARGETS = [name for name in CATALOGUE if parse(name).bits <= 16]
#: One of each way to encode, with the formats that bend its rules.
KINDS = ["e2m1", "e4m3", "e5m2", "e4m3_fnuz", "e3m4_ieee", "ue4m3", "bf16", "int4", "uint8", "sm5"]
KINDS += ["posit8_1", "posit16_0", "nf4", "fp4_er+", "shift4", "pot3", "e8m0", "ternary_i2s"]
KINDS += ["bipolar5", "codebook:0,1,1.25,-7"]


def crossed(source: str, targets: list[str], start: int = 0) -> list[dict[str, Any]]:
    """Each target with one mode; neighbours differ, and another start gives other pairs."""
    return [
        {"source": source, "format": t, "rounding": r, "overflow": o}
        for k, t in enumerate(targets)
        for r, o in [MODES[(start + 3 * k) % len(MODES)]]
    ]


@pytest.mark.parametrize("start", [0, 1])
def test_every_fp16(start, tmp_path):
    cells = crossed("fp16", KINDS[start::2], start)
    assert differences(cells, np.arange(1 << 16), tmp_path) == []


@pytest.mark.parametrize("lam", [0, -9, 3])
def test_every_int12(lam, tmp_path):
    cells = [c | {"lam": lam} for c in crossed("int12", KINDS[lam % 3 :: 3], lam + 9)]
    assert differences(cells, np.arange(1 << 12), tmp_path) == []


@pytest.mark.deep
@pytest.mark.parametrize("source", ["fp16", "bf16", "int8", "int12"])
@pytest.mark.parametrize("start", range(len(MODES)))
def test_every_code_to_every_format(source, start, tmp_path):
    codes = np.arange(1 << parse_source(source).bits)
    for k in range(0, len(TARGETS), 12):
        assert differences(crossed(source, TARGETS[k : k + 12], start + k), codes, tmp_path) == []


def decisions(target: str) -> list[Fraction]:
    """Values and middles of a format, and the middle that would follow the largest."""
    fmt = parse(target)
    if not isinstance(fmt, (PositFormat, PowerFormat)):
        values = [v for v, _ in values_of(fmt)]
    else:
        values = [Fraction(2) ** e for e in range(fmt.lam - 1, fmt.lam + fmt.max_int.bit_length())]
        values += [v * Fraction(3, 2) for v in values]
    middles = [(a + b) / 2 for a, b in pairwise(values)]
    after = [2 * values[-1] - values[-2], values[-1] + (values[-1] - values[-2]) / 2]
    return [*values, *middles, *after]


@pytest.mark.parametrize("source", ["fp32", "bf16"])
def test_corners_of_wide_floats(source, tmp_path):
    targets = ["e4m3", "e5m2", "fp16", "e2m1", "int8", "int16", "posit16_1", "e8m0", "sf4"]
    rng = np.random.default_rng(4)
    reals = {float(v) * s for t in targets if "16" not in t for v in decisions(t) for s in (1, -1)}
    codes = (
        np.array(sorted(r for r in reals if abs(r) < 3e38), dtype=np.float32)
        .view(np.uint32)
        .astype(np.int64)
    )
    halves = np.arange(1, 1 << 15, 7, dtype=np.uint16).view(np.float16).astype(np.float32)
    fine = halves.view(np.uint32).astype(np.int64) + (1 << 12)  # ties of fp16
    random = rng.integers(0, 1 << 32, 20000)
    special = np.array([0, 1 << 31, 1, 0x7F800000, 0xFF800000, 0x7F7FFFFF, 0x7FC00000, 0x7F800001])
    codes = np.concatenate([codes, codes + 1, codes - 1, fine, fine + 1, fine - 1, random, special])
    codes &= (1 << 32) - 1
    if source == "bf16":
        codes = np.unique(codes >> 16)
    cells = crossed(source, targets, 4 if source == "bf16" else 0)
    assert differences(cells, codes, tmp_path) == []


@pytest.mark.parametrize(("source", "lam"), [("int32", -20), ("int64", -40)])
def test_corners_of_wide_integers(source, lam, tmp_path):
    targets = ["e4m3", "fp16", "bf16", "int8", "uint4", "sm8", "posit16_1", "nf4", "shift4"]
    if source == "int64":
        targets = targets[::2]
    bits, rng = parse_source(source).bits, np.random.default_rng(5)
    points = {int(v * Fraction(2) ** -lam) for t in ("e4m3", "int8", "nf4") for v in decisions(t)}
    points |= {(1 << k) + d for k in range(bits - 1) for d in (-1, 0, 1)}
    points |= {3 << k for k in range(bits - 2)}
    near = {s * p + d for p in points for s in (1, -1) for d in (-1, 0, 1)}
    limit = 1 << bits - 1
    inside = [p for p in near if -limit <= p < limit] + [-limit, limit - 1]
    wide = rng.integers(-1 << 62, 1 << 62, 6000) >> rng.integers(0, 62, 6000)
    codes = np.array([*inside, *(int(w) >> 64 - bits if bits < 64 else int(w) for w in wide)])
    cells = [c | {"lam": lam} for c in crossed(source, targets, bits)]
    assert differences(cells, codes.astype(np.int64), tmp_path) == []


CASES: dict[str, dict[str, Any]] = {
    "plain": {"source": "int16", "format": "e4m3", "lanes": 3},
    "one-stage": {"source": "fp16", "format": "e2m1", "lanes": 2, "pipeline": 1},
    "two-stages": {"source": "fp32", "format": "posit8_1", "pipeline": 2, "rounding": "rha"},
    "book": {"source": "bf16", "format": "nf4", "pipeline": 2, "rounding": "ties-down"},
    "integer": {"source": "int32", "lam": -8, "format": "int8", "pipeline": 1},
}


@pytest.mark.parametrize("name", CASES)
def test_stream(name: str, tmp_path: Path) -> None:
    unit, case = discover()["quantize"], CASES[name]
    text, manifest = emit(unit, unit.params(**case))
    (tmp_path / "dut.v").write_text(text)
    beats = golden_of(manifest).vectors(manifest["parameters"], np.random.default_rng(2), 120)
    passes = [Pass("none", "none"), Pass("random", "random"), Pass("bursty", "shy")]
    report = check(tmp_path / "dut.v", manifest, beats, tmp_path / "build", passes=passes)
    assert report.passed, (report.fault, report.mismatch)
    assert report.passes[0].cycles == report.vectors + case.get("pipeline", 0) + 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source": "int65"}, "source must be int2 to int64, fp16, bf16 or fp32, not 'int65'"),
        ({"source": "fp64"}, "source must be int2 to int64, fp16, bf16 or fp32, not 'fp64'"),
        ({"source": "fp16", "lam": 1}, "lam must be 0 with source fp16, not 1"),
        ({"lam": 300}, "lam must be an integer from -256 to 256, not 300"),
        ({"rounding": "up"}, "rounding must be one of rne, rha, rtz, .*, not 'up'"),
        ({"overflow": "wrap"}, "overflow must be one of sat, nonsat, not 'wrap'"),
        ({"core": "dot"}, "core must be one of stream, cell, not 'dot'"),
        ({"lanes": 0}, "lanes must be an integer from 1 to 1024, not 0"),
        ({"pipeline": 3}, "pipeline must be an integer from 0 to 2, not 3"),
        ({"pipeline": 1, "core": "cell"}, "pipeline must be 0 where core is cell, not 1"),
        ({"format": "fp32"}, "format must have at most 16 bits, not 'fp32'"),
        ({"format": "int99"}, "format 'int99' would have 99 bits"),
        ({"format": 5}, "format must be a text, not 5"),
    ],
)
def test_wrong_parameters(given, message):
    with pytest.raises(ValueError, match=message):
        QuantizeParams(**given)

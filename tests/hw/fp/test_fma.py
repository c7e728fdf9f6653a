# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/fp/fma.py``: every result against exact rational arithmetic."""

from pathlib import Path

import numpy as np
import pytest

from gen.emit import emit
from gen.unit import discover
from hw.fp.params import FMAParams
from hw.spec.formats import parse
from hw.spec.rounding import ROUNDINGS
from sim.bench.check import Pass, check, golden_of
from tests.hw.fp.units import every, hold, stimulus

#: Same formats throughout; the catalogue's rules for NaN and infinity, many and few mantissa bits.
ALIKE = ["fp16", "bf16", "fp32", "e5m2", "e4m3", "e4m3_fnuz", "e3m4_fn"]
#: Addend or result finer, coarser, of larger and of smaller range than the product.
MIXED = [
    {"format": "fp16", "addend": "fp32", "result": "fp32"},
    {"format": "fp16", "addend": "fp16", "result": "fp32"},
    {"format": "fp16", "addend": "e2m1"},
    {"format": "fp16", "addend": "e2m1", "result": "bf16"},
    {"format": "e4m3", "format_b": "e5m2", "result": "fp16"},
    {"format": "e5m2", "addend": "fp32"},
    {"format": "fp32", "result": "e4m3", "addend": "fp32"},
    {"format": "fp32", "addend": "bf16", "result": "e5m2_fnuz", "overflow": "sat"},
    {"format": "e2m1", "result": "fp32"},
    {"format": "e3m0", "format_b": "e1m2", "addend": "e0m3", "result": "e2m3"},
    {"format": "e2m3", "result": "e0m3"},
    {"format": "e3m0_ieee", "addend": "e2m1"},
    {"format": "e4m3", "overflow": "sat"},
    {"format": "e5m2", "overflow": "sat"},
]
NAMES = ["-".join(map(str, case.values())) for case in MIXED]


@pytest.mark.parametrize("name", ["e2m1", "e3m0", "e1m2", "e0m3", "e2m1_fn", "e2m1_fnuz"])
def test_every_triple_of_4_bits(name, tmp_path):
    codes = np.arange(16)
    hold("fma", tmp_path, {"format": name}, every(a=codes, b=codes, c=codes))


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("name", ["e2m1_ieee"])
def test_every_triple_in_every_rounding(name, rounding, tmp_path):
    codes = np.arange(16)
    case = {"format": name, "rounding": rounding}
    hold("fma", tmp_path, case, every(a=codes, b=codes, c=codes))


@pytest.mark.parametrize("name", ["e2m3", "e3m2_ieee"])
def test_pairs_of_6_bits_with_corner_addends(name, tmp_path):
    codes, addends = np.arange(64), [0, 1, 2, 7, 8, 9, 27, 28, 30, 31, 32, 33, 41, 60, 63]
    hold("fma", tmp_path, {"format": name}, every(a=codes, b=codes, c=addends))


@pytest.mark.deep
@pytest.mark.parametrize("name", ["e2m3", "e3m2", "e3m2_ieee", "e3m2_fnuz"])
def test_every_triple_of_6_bits(name, tmp_path):
    codes = np.arange(64)
    hold("fma", tmp_path, {"format": name}, every(a=codes, b=codes, c=codes))


@pytest.mark.deep
@pytest.mark.parametrize("name", ["e5m2", "e4m3"])
def test_every_pair_of_8_bits(name, tmp_path):
    codes, addends = np.arange(256), np.arange(0, 256, 9)
    hold("fma", tmp_path, {"format": name}, every(a=codes, b=codes, c=addends))


@pytest.mark.parametrize("name", ALIKE)
def test_corners_and_random(name, tmp_path):
    case = {"format": name}
    hold("fma", tmp_path, case, stimulus("fma", case, 8_000))


@pytest.mark.parametrize("case", MIXED, ids=NAMES)
def test_mixed_formats(case, tmp_path):
    hold("fma", tmp_path, case, stimulus("fma", case, 3_000))


@pytest.mark.deep
@pytest.mark.parametrize("name", ["fp16", "e5m2", "bf16", "fp32"])
def test_many_random(name, tmp_path):
    case = {"format": name}
    hold("fma", tmp_path, case, stimulus("fma", case, 200_000, seed=5))


@pytest.mark.deep
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("name", ["fp16", "e4m3_fnuz"])
def test_roundings(name, rounding, tmp_path):
    case = {"format": name, "rounding": rounding}
    hold("fma", tmp_path, case, stimulus("fma", case, 5_000, seed=2))


def near(fmt, rng, count):
    """Codes of which many triples cancel: few exponents, subnormals, sparse significands."""
    bits, man = fmt.bits, fmt.man_bits
    codes = rng.integers(0, 1 << bits, count)
    mask = (1 << bits) - 1 ^ (1 << man) - 1
    sparse = codes & (mask | 1 | 1 << man - 1)
    return np.where(rng.random(count) < 0.5, sparse, codes)


@pytest.mark.parametrize("name", ["fp16", "e5m2", "fp32"])
def test_cancellation(name, tmp_path):
    """The addend is close to minus the product, or the subnormal beside it."""
    fmt = parse(name)
    rng = np.random.default_rng(3)
    count, man, top = 10_000, fmt.man_bits, (1 << fmt.exp_bits) - 1
    a, b = near(fmt, rng, count), near(fmt, rng, count)
    exponent = (a >> man & top) + (b >> man & top) - fmt.bias + rng.integers(-man - 3, 4, count)
    c = np.clip(exponent, 0, top) << man | near(fmt, rng, count) & (1 << man) - 1
    c |= (~(a ^ b) >> fmt.bits - 1 & 1) << fmt.bits - 1
    hold("fma", tmp_path, {"format": name}, {"a": a, "b": b, "c": c})


@pytest.mark.parametrize("rounding", ["rne", "rha", "rtz"])
def test_about_a_tie_of_a_coarser_result(rounding, tmp_path):
    """A product of fp32, 2**46 + 1 units, is one unit above half the smallest e4m3; and sums."""
    factors = np.array([8392705, 8384513]) * 2.0**-28
    units = np.array([0, 1, 2, 3, 4, -0.0, -1, -2, -3, -4]) * 2.0**-56
    operands = factors[:1], factors[1:] * [1, 2], units
    a, b, c = (v.astype(np.float32).view(np.uint32) for v in operands)
    case = {"format": "fp32", "addend": "fp32", "result": "e4m3", "rounding": rounding}
    hold("fma", tmp_path, case, every(a=[*a, *(a | 1 << 31)], b=b, c=c))


@pytest.mark.parametrize(
    "case",
    [
        {"format": "fp16"},
        {"format": "e5m2", "pipeline": 1},
        {"format": "e4m3", "addend": "fp16", "result": "fp16", "pipeline": 2},
        {"format": "e5m2", "addend": "fp32", "pipeline": 3},
    ],
    ids=["fp16", "1 stage", "2 stages", "3 stages"],
)
def test_stream_under_stalls(case, tmp_path: Path):
    unit = discover()["fma"]
    text, manifest = emit(unit, unit.params(**case))
    (tmp_path / "fma.v").write_text(text, encoding="utf-8")
    rng = np.random.default_rng(4)
    beats = golden_of(manifest).vectors(manifest["parameters"], rng, 300)
    passes = [Pass("none", "none"), Pass("random", "random"), Pass("none", "slow")]
    report = check(tmp_path / "fma.v", manifest, beats, tmp_path / "build", passes=passes)
    assert report.passed, (report.fault, report.mismatch)
    assert report.passes[0].cycles == report.vectors + case.get("pipeline", 0) + 1


def test_what_the_manifest_says():
    unit = discover()["fma"]
    _, manifest = emit(unit, unit.params("e4m3", addend="fp16", pipeline=2))
    formats = {p["name"]: p["format"] for p in manifest["ports"] if "format" in p}
    assert formats == {"i_a": "e4m3", "i_b": "e4m3", "i_c": "fp16", "o_y": "e4m3"}
    assert manifest["latency"] == 3
    assert manifest["parameters"]["overflow"] == "nonsat"
    assert FMAParams("e2m1").resolved["overflow"] == "sat"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"format": "int8"}, "format must be a minifloat with a sign, such as e4m3, not 'int8'"),
        ({"addend": "ue4m3"}, "addend must be a minifloat with a sign"),
        ({"result": "e2m1_sr"}, "result must be a minifloat with a sign"),
        ({"format_b": "posit8_0"}, "format_b must be a minifloat with a sign"),
        ({"rounding": "up"}, "rounding must be one of rne, .*, not 'up'"),
        ({"overflow": "wrap"}, "overflow must be one of sat, nonsat, not 'wrap'"),
        ({"core": "dot"}, "core must be one of stream, cell, not 'dot'"),
        ({"pipeline": 4}, "pipeline must be an integer from 0 to 3, not 4"),
        ({"pipeline": True}, "pipeline must be an integer from 0 to 3, not True"),
        ({"core": "cell", "pipeline": 1}, "pipeline must be 0 where core is cell, not 1"),
    ],
)
def test_wrong_parameters(wrong, message):
    with pytest.raises(ValueError, match=message):
        FMAParams(**wrong)

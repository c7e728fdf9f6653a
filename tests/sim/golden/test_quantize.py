# SPDX-License-Identifier: Apache-2.0
"""The model of ``quantize`` against ml_dtypes, gfloat and exact fractions."""

from fractions import Fraction
from itertools import pairwise

import ml_dtypes
import numpy as np
import pytest
from gfloat import round_ndarray
from numpy.testing import assert_array_equal

from hw.spec.formats import parse
from hw.spec.rounding import OVERFLOWS, ROUNDINGS
from sim.golden.formats import decode_float
from sim.golden.quantize import integer_values, run, vectors
from tests.sim.golden.oracles import GFLOAT_MODES, gfloat_info, ml_dtypes_codes
from tests.sim.golden.probes import finite_values

SOURCES = {"fp16": np.float16, "bf16": ml_dtypes.bfloat16, "fp32": np.float32}


def reals_of(source, codes):
    kind = SOURCES[source]
    with np.errstate(invalid="ignore"):  # signalling NaNs
        return codes.astype(f"u{np.dtype(kind).itemsize}").view(kind).astype(np.float64)


def quantized(x, **parameters):
    return run(parameters, {"x": x})["q"]


@pytest.mark.parametrize("target", ["e4m3", "e5m2", "e2m1", "e3m4_ieee", "e4m3_fnuz"])
@pytest.mark.parametrize("source", ["fp16", "bf16"])
def test_every_half_precision_code_equals_ml_dtypes(source, target):
    codes = np.arange(1 << 16)
    reals = reals_of(source, codes)
    if not parse(target).nonfinite:
        codes, reals = codes[~np.isnan(reals)], reals[~np.isnan(reals)]
    number = ~np.isnan(reals)
    got = quantized(codes, source=source, format=target, overflow="nonsat")
    assert_array_equal(got[number], ml_dtypes_codes(target, reals[number]))
    assert np.isnan(decode_float(parse(target), got[~number])).all()
    positive = 0x80 if target == "e4m3_fnuz" else 0
    assert (got[~number] & 0x80 == positive).all()  # a NaN has no sign of its own


@pytest.mark.parametrize("mode", GFLOAT_MODES)
@pytest.mark.parametrize("target", ["e4m3", "e2m3", "e5m2"])
def test_fp32_equals_gfloat(target, mode):
    codes = vectors({"source": "fp32", "format": target}, np.random.default_rng(3), 4000)["x"]
    reals = reals_of("fp32", codes)
    keep = ~np.isnan(reals)
    got = quantized(codes[keep], source="fp32", format=target, rounding=mode)
    expected = round_ndarray(gfloat_info(target), reals[keep], GFLOAT_MODES[mode], True)
    assert_array_equal(decode_float(parse(target), got), expected)


def nearest(name, value, rounding):
    """The value a linear format gives a rational, by distances; None where only codes decide."""
    values = [Fraction(v) for v in finite_values(name)[0]]
    if value <= values[0] or value >= values[-1]:
        return values[0] if value <= values[0] else values[-1]
    low = max(v for v in values if v <= value)
    high = min(v for v in values if v >= value)
    if low == high:
        return low
    if rounding == "rtz" and low * high >= 0:
        return min(low, high, key=abs)
    if value - low != high - value:
        return low if value - low < high - value else high
    if rounding == "ties-down":
        return low
    if rounding == "ties-to-zero" and abs(low) != abs(high):
        return min(low, high, key=abs)
    if rounding == "rha" and abs(low) != abs(high):
        return max(low, high, key=abs)
    return None


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize(
    "target, lam", [("int8", -55), ("e4m3", -54), ("uint3", -60), ("nf4", -55)]
)
def test_wide_integers_by_fractions(target, lam, rounding):
    """Numbers that float64 cannot hold, one unit beside each threshold."""
    values = [Fraction(v) for v in finite_values(target)[0]][-40:]
    middles = [(a + b) / 2 for a, b in pairwise(values)]
    wide = {int(v / Fraction(2) ** lam) + step for v in [*values, *middles] for step in (-1, 0, 1)}
    wide = [v for v in wide if -(1 << 63) <= v < 1 << 63]
    assert any(abs(v) > 1 << 58 for v in wide)
    x = np.array([v % (1 << 64) for v in wide], dtype=object)
    got = quantized(x, source="int64", lam=lam, format=target, rounding=rounding)
    for integer, real in zip(wide, decode_float(parse(target), got), strict=True):
        expected = nearest(target, Fraction(integer) * Fraction(2) ** lam, rounding)
        assert expected is None or real == expected, integer


def test_powers_of_two_by_squares():
    """The geometric mean of two powers decides, to the last bit of 64."""
    root = 6521908912666391106  # floor(sqrt(2) * 2**62)
    assert root * root < 2 << 124 < (root + 1) ** 2
    x = np.array([root - 1, root, root + 1, 1 << 62, (1 << 62) + 1, root // 2, root // 2 + 1])
    for target, shift in (("shift4", 58), ("pot4", 58), ("e8m0", -127)):
        got = quantized(x, source="int64", lam=-58 if shift == 58 else 0, format=target)
        exponents = np.log2(decode_float(parse(target), got))
        base = 62 - 58 if shift == 58 else 62
        assert (exponents - base).tolist() == [0, 0, 1, 0, 0, -1, 0], target


def test_posit_ties_of_the_sheet():
    """posit(4,1), sheet A.7: 8 lies between 4 and 16 and ties to the even code."""
    sixteenths = np.array([2, 1, 6, 12, 24, 48, 128, 127, 129])
    got = quantized(sixteenths, source="int16", lam=-4, format="posit4_1")
    assert decode_float(parse("posit4_1"), got).tolist() == [
        0.25, 0.0625, 0.25, 1, 1, 4, 4, 4, 16,
    ]  # fmt: skip


def test_signs_and_specials():
    half = {"source": "fp16", "format": "e2m1"}
    assert quantized(np.array([0x8000, 0x8001, 0x7C00, 0xFC00]), **half).tolist() == [8, 8, 7, 15]
    assert quantized(np.array([0x7C00, 0xFC00, 0xFE00]), source="fp16", format="e5m2",
                     overflow="nonsat").tolist() == [0x7C, 0xFC, 0x7E]  # fmt: skip
    assert quantized(np.array([0x7C00, 0xFC00]), source="fp16", format="e5m2").tolist() == [
        0x7B, 0xFB,
    ]  # fmt: skip
    assert quantized(np.array([0xFFFF, 0x80]), source="int16", lam=-9, format="e4m3").tolist() == [
        0x81, 0x28,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="NaN has no code in format e2m1"):
        quantized(np.array([0x7E00]), **half)
    with pytest.raises(ValueError, match="source must be int2 to int64, or a float, not 'int65'"):
        quantized(np.array([0]), source="int65", format="e2m1")


def test_integers_read_two_s_complement():
    assert integer_values(64, np.array([1 << 63, (1 << 64) - 1], dtype=object)).tolist() == [
        -(1 << 63), -1,
    ]  # fmt: skip
    assert integer_values(5, np.array([-1, 15, 16])).tolist() == [-1, 15, -16]


@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("source", ["int8", "int64", "fp16", "bf16", "fp32"])
@pytest.mark.parametrize("target", ["e4m3", "int4", "posit8_2", "pot4", "sm5", "nf4", "e8m0"])
def test_vectors_are_legal_and_repeatable(source, target, overflow):
    parameters = {"source": source, "format": target, "lanes": 3, "overflow": overflow}
    beats = vectors(parameters, np.random.default_rng(5), 50)
    again = vectors(parameters, np.random.default_rng(5), 50)
    assert beats["x"].shape == (50, 3) and (beats["x"] == again["x"]).all()
    q = run(parameters, beats)["q"]
    assert q.shape == (50, 3) and len(np.unique(q)) > 4

# SPDX-License-Identifier: Apache-2.0
"""The fused multiply-add against numpy, ml_dtypes and exact fractions."""

from fractions import Fraction
from math import isinf, isnan

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hw.spec.formats import FloatFormat, parse
from hw.spec.rounding import ROUNDINGS
from sim.golden.encode import encode
from sim.golden.formats import decode_float, legal_codes
from sim.golden.fp import fma
from sim.golden.fp.minifloat import pack, unpack
from tests.sim.golden.oracles import ML_DTYPES, ml_dtypes_type
from tests.sim.golden.probes import probes

SMALL = [name for name in ML_DTYPES if parse(name).bits <= 8]


def floats(name, codes):
    """The values of codes by numpy or ml_dtypes, as float64."""
    kind = np.dtype(np.float32) if name == "fp32" else ml_dtypes_type(name)
    return np.asarray(codes).astype(f"u{kind.itemsize}").view(kind).astype(np.float64)


def cast(name, values):
    """The codes of float32 or float64 values, cast once by numpy or ml_dtypes."""
    kind = np.dtype(np.float32) if name == "fp32" else ml_dtypes_type(name)
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(kind).view(f"u{kind.itemsize}").astype(np.int64)


def same(name, got, expected):
    """Equal codes; where ours is NaN, any NaN of the other."""
    with np.errstate(invalid="ignore"):
        nan = np.isnan(floats(name, got)) & np.isnan(floats(name, expected))
    assert_array_equal(np.where(nan, 0, got), np.where(nan, 0, expected))


def beats(parameters, count=3000, seed=1):
    return fma.vectors(parameters, np.random.default_rng(seed), count)


@pytest.mark.parametrize("name", SMALL)
def test_small_formats_equal_ml_dtypes(name):
    """float64 holds these sums exactly: e5m2 has the widest, 2**15 + 2**-32. Casts go through
    float32, which therefore gets what it cannot hold rounded to odd."""
    parameters = {"format": name}
    x = beats(parameters, 20_000)
    with np.errstate(over="ignore", invalid="ignore"):
        a, b, c = (floats(name, x[k]) for k in "abc")
        exact = a * b + c
    same(name, fma.run(parameters, x)["y"], cast(name, float32_to_odd(exact)))


def float32_to_odd(exact):
    """float64 values as float32 with what is lost marked in the last bit (no double rounding)."""
    with np.errstate(over="ignore", invalid="ignore"):
        near = exact.astype(np.float32)
    lost = np.isfinite(exact) & (near.astype(np.float64) != exact)
    toward = np.where(np.abs(near.astype(np.float64)) > np.abs(exact), np.float32(0), near)
    near = np.where(lost, np.nextafter(near, toward), near)
    bits = near.view(np.uint32)
    return np.where(lost, bits | 1, bits).view(np.float32)


def test_fp16_equals_numpy():
    """A float64 product of halves is exact; the sum is rounded to odd by its error term."""
    parameters = {"format": "fp16"}
    x = beats(parameters, 20_000)
    with np.errstate(invalid="ignore"):
        a, b, c = (floats("fp16", x[k]) for k in "abc")
        product = a * b
        total = product + c
        back = total - product
        error = (product - (total - back)) + (c - back)  # Knuth's two-sum
    lost = np.isfinite(total) & (error != 0)
    odd = total.view(np.int64)
    inward = lost & ((error < 0) == (total > 0))
    odd = np.where(inward, odd - 1, odd)
    total = np.where(lost, odd | 1, total.view(np.int64)).view(np.float64)
    same("fp16", fma.run(parameters, x)["y"], cast("fp16", total))


def test_fp32_product_and_sum_equal_numpy():
    """With c = -0 a product, with b = 1 a sum: numpy's own single-precision operations."""
    x = beats({"format": "fp32"}, 6000)
    with np.errstate(all="ignore"):
        a, b, c = (x[k].astype(np.uint32).view(np.float32) for k in "abc")
        product, total = (a * b).view(np.uint32), (a + c).view(np.uint32)
    minus_zero, one = np.full(len(a), 1 << 31), np.full(len(a), 0x3F800000)
    got = fma.run({"format": "fp32"}, {**x, "c": minus_zero})["y"]
    same("fp32", got, product.astype(np.int64))
    got = fma.run({"format": "fp32"}, {**x, "b": one})["y"]
    same("fp32", got, total.astype(np.int64))


MIXED = [
    {"format": "fp32"},
    {"format": "bf16"},
    {"format": "fp16", "result": "fp32"},
    {"format": "bf16", "addend": "fp32", "result": "fp32"},
    {"format": "e4m3", "format_b": "e5m2", "result": "fp16"},
    {"format": "e5m2", "addend": "fp32", "result": "e4m3", "overflow": "sat"},
    {"format": "e4m3_fnuz", "result": "e5m2_fnuz"},
    {"format": "e3m0", "format_b": "e1m2", "addend": "e0m3", "result": "e2m3"},
]


def value(fmt, code):
    """The exact value of a code as a fraction, or a float that is not finite."""
    if fmt.bits > 16:
        real = float(np.uint32(code).view(np.float32))
    else:
        real = float(decode_float(fmt, [code])[0])
    return Fraction(real) if np.isfinite(real) else real


def nearest(fmt, x):
    """The finite code nearest to a fraction by bisection on magnitudes; ties to the even code."""
    low, high = 0, fmt.max_code
    if abs(x) >= value(fmt, high):
        return high
    while high - low > 1:
        middle = low + high >> 1
        low, high = (middle, high) if value(fmt, middle) <= abs(x) else (low, middle)
    below, above = abs(x) - value(fmt, low), value(fmt, high) - abs(x)
    return low if below < above or (below == above and low % 2 == 0) else high


@pytest.mark.parametrize("case", MIXED, ids=str)
def test_finite_results_are_the_nearest(case):
    """By the definition: no code lies nearer to the exact fraction than the answer."""
    names = [case["format"], case.get("format_b", case["format"])]
    output = case.get("result", case["format"])
    fa, fb, fc, fy = (parse(n) for n in (*names, case.get("addend", output), output))
    x = beats(case, 900)
    got = fma.run(case, x)["y"]
    checked = 0
    for a, b, c, y in zip(*(x[k].tolist() for k in "abc"), got.tolist(), strict=True):
        operands = value(fa, a), value(fb, b), value(fc, c)
        if not all(isinstance(v, Fraction) for v in operands):
            continue
        exact = operands[0] * operands[1] + operands[2]
        sign, magnitude = y >> fy.bits - 1, y & (1 << fy.bits - 1) - 1
        if magnitude > fy.max_code or (fy.nonfinite_rule == "fnuz" and y == 1 << fy.bits - 1):
            top = value(fy, fy.max_code)
            assert abs(exact) >= top + (top - value(fy, fy.max_code - 1)) / 2
            continue
        assert magnitude == nearest(fy, exact), (a, b, c)
        if exact:
            assert sign == (exact < 0) or (fy.nonfinite_rule == "fnuz" and not magnitude)
        checked += 1
    assert checked > 300


def one(a, b, c, **parameters):
    return int(fma.run(parameters, {"a": [a], "b": [b], "c": [c]})["y"][0])


def test_specials():
    inf, minus, quiet, zero = 0x7C00, 0x8000, 0x7E00, 0
    for a, b, c in ((quiet, zero, zero), (zero, 0xFD00, zero), (zero, zero, 0x7C01)):
        assert one(a, b, c) == quiet
    assert one(inf, zero, inf) == one(minus, inf, quiet) == quiet
    assert one(inf, 0x3C00, inf | minus) == one(inf, 0xBC00, inf) == quiet
    assert one(inf, 0xBC00, inf | minus) == inf | minus
    assert one(0x3C00, 0x3C00, inf | minus) == inf | minus
    assert one(zero, zero, minus) == one(0x3C00, 0x3C00, 0xBC00) == zero
    assert one(minus, zero, minus) == minus
    assert one(0x8001, 1, minus) == minus, "underflow keeps the sign"


def test_what_stands_for_infinity_and_nan():
    inf, minus = 0x7C00, 0x8000
    top = 0x7BFF
    assert one(top, top, 0) == inf and one(top, top | minus, 0) == inf | minus
    assert one(top, top, 0, overflow="sat") == one(inf, top, 0, overflow="sat") == top
    assert one(inf, top, 0, result="e4m3") == one(inf, top | minus, 0, result="e4m3") == 0x7F
    assert one(inf, top | minus, 0, result="e4m3", overflow="sat") == 0xFE
    assert one(top, top | minus, 0, result="e4m3_fnuz", format="fp16") == 0x80
    assert one(inf, top | minus, 0, result="e2m1") == 0xF
    assert one(inf, 0, 0, result="e2m1") == 0
    assert one(0x8001, 1, 0, result="e4m3_fnuz") == 0, "fnuz has no -0"


def test_overflow_decision_of_the_sheet():
    """A.4: 464 -> 448 in e4m3, 61440 -> inf in e5m2, 15.75 -> inf in e3m4_ieee."""

    def rounded(number, output):
        code = int(np.float32(number).view(np.uint32))
        return one(0, 0, code, format="fp16", addend="fp32", result=output)

    assert [rounded(v, "e4m3") for v in (464, 464.1)] == [0x7E, 0x7F]
    assert [rounded(v, "e5m2") for v in (61439, 61440)] == [0x7B, 0x7C]
    assert [rounded(v, "e3m4_ieee") for v in (15.7, 15.75)] == [0x6F, 0x70]


@pytest.mark.parametrize("name", ["e4m3", "e5m2", "e2m3", "e3m0_ieee", "e5m2_fnuz", "e0m3"])
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_pack_equals_the_encoder(name, rounding):
    """Every value, midpoint and step beside it, against the table-driven encoder."""
    fmt = parse(name)
    x = probes(fmt)
    x = x[(np.abs(x) < 1e30) & (np.abs(x) > 1e-30)]
    for overflow in ("sat", "nonsat"):
        got = []
        for real in x.tolist():
            n, d = abs(real).as_integer_ratio()
            got.append(pack(fmt, int(real < 0), n, 1 - d.bit_length(), rounding, overflow))
        expected = encode(fmt, x, rounding, overflow)
        nan = np.isnan(decode_float(fmt, expected)) & np.isnan(decode_float(fmt, got))
        assert_array_equal(np.array(got)[~nan], expected[~nan])


@pytest.mark.parametrize("name", ["e4m3", "e5m2", "e3m4_ieee", "e4m3_fnuz", "e2m1", "fp16"])
def test_unpack_equals_ml_dtypes(name):
    fmt = parse(name)
    assert isinstance(fmt, FloatFormat)
    for code, real in zip(legal_codes(fmt).tolist(), floats(name, legal_codes(fmt)), strict=True):
        sign, magnitude, kind = unpack(fmt, code)
        assert kind == ("nan" if isnan(real) else "inf" if isinf(real) else "finite")
        if kind == "finite":
            assert (-1) ** sign * magnitude * 2.0**fmt.lam == real
            assert sign == np.signbit(real)


def test_vectors_meet_the_corners():
    x = beats({"format": "fp16"}, 600)
    y = fma.run({"format": "fp16"}, x)["y"]
    exponents = {int(v) >> 10 & 31 for v in y}
    assert {0, 31} < exponents, "subnormal and non-finite results"
    product_and_sum = [floats("fp16", x[k]) for k in "abc"]
    with np.errstate(invalid="ignore"):
        cancelled = np.abs(product_and_sum[0] * product_and_sum[1] + product_and_sum[2])
        deep = cancelled < np.abs(product_and_sum[2]) / 256
    assert deep.sum() > 50
    for count in (1, 2, 5, 30):
        assert [len(v) for v in beats({"format": "e2m1"}, count).values()] == [count] * 3


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"format": "int8"}, "format must be a minifloat with a sign, such as fp16, not 'int8'"),
        ({"format": "fp16", "addend": "ue4m3"}, "addend must be a minifloat with a sign"),
        ({"format": "e2m1_sr"}, "format must be a minifloat with a sign"),
        ({"format": "fp16", "rounding": "up"}, "rounding must be one of rne, .* not 'up'"),
        ({"format": "fp16", "overflow": "wrap"}, "overflow must be one of sat, .* not 'wrap'"),
    ],
)
def test_refusals(parameters, message):
    with pytest.raises(ValueError, match=message):
        one(0, 0, 0, **parameters)

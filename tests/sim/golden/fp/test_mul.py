# SPDX-License-Identifier: Apache-2.0
"""The multiplier against SoftPosit, numpy, ml_dtypes and the definition of the posit rounding."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hw.spec.formats import PositFormat, parse
from sim.golden.formats import decode, decode_float
from sim.golden.fp import mul
from tests.sim.golden.oracles import ml_dtypes_type, posits


def every_pair(name, other=None):
    sizes = [1 << parse(n).bits for n in (name, other or name)]
    a, b = np.meshgrid(*map(np.arange, sizes), indexing="ij")
    return {"a": a.ravel(), "b": b.ravel()}


def test_posit8_0_equals_softposit():
    x = every_pair("posit8_0")
    values = [posits().posit8(bits=code) for code in range(256)]
    expected = [(u * v).v.v & 255 for u in values for v in values]
    assert_array_equal(mul.run({"format": "posit8_0"}, x)["y"], expected)


def test_posit16_1_equals_softposit():
    x = mul.vectors({"format": "posit16_1"}, np.random.default_rng(2), 30_000)
    kind = posits().posit16
    expected = [
        (kind(bits=a) * kind(bits=b)).v.v & 0xFFFF
        for a, b in zip(x["a"].tolist(), x["b"].tolist(), strict=True)
    ]
    assert_array_equal(mul.run({"format": "posit16_1"}, x)["y"], expected)


@pytest.mark.parametrize("bits", [4, 8, 13, 16])
def test_posits_with_two_exponent_bits_equal_softposit(bits):
    soft, name = posits(), f"posit{bits}_2"
    x = mul.vectors({"format": name}, np.random.default_rng(bits), 3000)

    def wide(code):
        posit = soft.posit_2_t()
        posit.v = code << 32 - bits
        return posit

    expected = [
        (soft.pX2_mul(wide(a), wide(b), bits).v & 0xFFFFFFFF) >> 32 - bits
        for a, b in zip(x["a"].tolist(), x["b"].tolist(), strict=True)
    ]
    assert_array_equal(mul.run({"format": name}, x)["y"], expected)


CASES = [
    {"format": "posit4_1"},
    {"format": "posit8_2"},
    {"format": "posit6_3"},
    {"format": "posit5_0", "format_b": "posit8_1", "result": "posit7_1"},
    {"format": "posit16_3", "format_b": "posit3_0", "result": "posit8_0"},
    {"format": "posit8_0", "result": "posit16_1"},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_posits_by_definition(case):
    """The tie of two neighbours is the posit with one more bit; never to zero, never beyond."""
    first, second, output = (
        parse(case.get(key, case["format"])) for key in ("format", "format_b", "result")
    )
    x = mul.vectors(case, np.random.default_rng(3), 2000)
    got = mul.run(case, x)["y"].tolist()
    finer = PositFormat("finer", output.bits + 1, output.es)
    mask = (1 << output.bits) - 1
    nar = 1 << output.bits - 1

    def real(fmt, code):
        return Fraction(int(decode(fmt, [code])[0][0])) * Fraction(2) ** fmt.lam

    for a, b, y in zip(x["a"].tolist(), x["b"].tolist(), got, strict=True):
        if a == 1 << first.bits - 1 or b == 1 << second.bits - 1:
            assert y == nar
            continue
        exact = real(first, a) * real(second, b)
        if exact == 0:
            assert y == 0
            continue
        code = y if exact > 0 else -y & mask
        assert 0 < code < nar
        low, high = real(finer, 2 * code - 1), real(finer, 2 * code + 1)
        even = code % 2 == 0
        if code > 1:
            assert low < abs(exact) or (even and low == abs(exact))
        if code < nar - 1:
            assert abs(exact) < high or (even and abs(exact) == high)


@pytest.mark.parametrize("name", ["e4m3", "e5m2", "e2m1", "e4m3_fnuz", "e3m4_ieee"])
def test_minifloats_equal_ml_dtypes(name):
    """Products of significands of up to 5 bits are exact in float32."""
    x = every_pair(name)
    kind = ml_dtypes_type(name)
    with np.errstate(invalid="ignore", over="ignore"):
        a, b = (x[k].astype(np.uint8).view(kind).astype(np.float32) for k in "ab")
        expected = (a * b).astype(kind)
    got = mul.run({"format": name}, x)["y"]
    nan = np.isnan(expected.astype(np.float32))
    assert_array_equal(np.isnan(decode_float(parse(name), got)), nan)
    assert_array_equal(got[~nan], expected.view(np.uint8)[~nan])


def test_halves_equal_numpy():
    x = mul.vectors({"format": "fp16"}, np.random.default_rng(4), 20_000)
    with np.errstate(all="ignore"):
        a, b = (x[k].astype(np.uint16).view(np.float16) for k in "ab")
        expected = a * b
    got = mul.run({"format": "fp16"}, x)["y"].astype(np.uint16)
    nan = np.isnan(expected)
    assert (got[nan] == 0x7E00).all()
    assert_array_equal(got[~nan], expected.view(np.uint16)[~nan])


def test_nothing_of_a_posit_product_is_lost_below_its_unit():
    """A product far below minpos, and one bit beside a threshold, far below the unit."""
    fmt = parse("posit8_0")
    assert mul.posit_code(fmt, 1, -300) == 1
    assert mul.posit_code(fmt, -1, 300) == 0x81
    tie = 3 << 200  # 1.5 minpos lies on the way from minpos to its neighbour
    assert mul.posit_code(fmt, tie, -207) == mul.posit_code(fmt, tie + 1, -207) == 2
    one = (1 << 300) + (1 << 294)  # 1 + 1/64, between 1 and 1 + 1/32
    assert [mul.posit_code(fmt, one + k, -300) for k in (-1, 0, 1)] == [64, 64, 65]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"format": "posit8_0", "format_b": "fp16"}, "all posits or all minifloats, not posit8_0"),
        ({"format": "int8"}, "must be all posits or all minifloats, not int8, int8, int8"),
        ({"format": "ue4m3"}, "format must be a minifloat with a sign"),
        ({"format": "e4m3", "rounding": "up"}, "rounding must be one of"),
        ({"format": "e4m3", "overflow": "up"}, "overflow must be one of"),
    ],
)
def test_refusals(parameters, message):
    with pytest.raises(ValueError, match=message):
        mul.run(parameters, {"a": [1], "b": [1]})

# SPDX-License-Identifier: Apache-2.0
"""Encoding of minifloats, integers and code books against outside libraries and definitions."""

from bisect import bisect_right
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from gfloat import round_ndarray
from numpy.testing import assert_array_equal

from hw.spec.formats import FloatFormat, IntFormat, parse
from hw.spec.rounding import OVERFLOWS, ROUNDINGS
from sim.golden.encode import encode, quantize
from sim.golden.formats import decode_float
from tests.sim.golden.oracles import GFLOAT_MODES, ML_DTYPES, gfloat_info, ml_dtypes_codes
from tests.sim.golden.probes import BOOKS, EXTRA, LINEAR, PLAIN, finite_values, log_uniform, probes

# -- minifloats -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ML_DTYPES)
def test_minifloats_equal_ml_dtypes(name):
    """Codes, overflow codes and signs included."""
    fmt = parse(name)
    x = np.concatenate([probes(fmt), log_uniform(fmt, 100_000), [np.inf, -np.inf]])
    # Casts from float64 go through float32 and round twice: give them what float32 holds.
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
    x = np.concatenate([x, np.nextafter(x, np.float32(9)), np.nextafter(x, np.float32(-9))])
    x = x.astype(np.float64)
    assert_array_equal(encode(fmt, x, "rne", "nonsat"), ml_dtypes_codes(name, x))


@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("mode", GFLOAT_MODES)
@pytest.mark.parametrize("name", PLAIN)
def test_minifloats_equal_gfloat(name, mode, overflow):
    fmt, info = parse(name), gfloat_info(name)
    x = np.concatenate([probes(fmt, fmt.has_sign), log_uniform(fmt, 10_000), [np.inf]])
    if not fmt.has_sign:
        x = np.abs(x)
    saturate = overflow == "sat" or not fmt.nonfinite
    expected = round_ndarray(info, x, GFLOAT_MODES[mode], saturate)
    got = quantize(fmt, x, mode, overflow)
    assert_array_equal(got, expected)
    assert_array_equal(np.signbit(got[got == 0]), np.signbit(expected[got == 0]))


@pytest.mark.deep
@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("mode", GFLOAT_MODES)
@pytest.mark.parametrize("name", PLAIN)
def test_minifloats_equal_gfloat_on_a_million(name, mode, overflow):
    fmt = parse(name)
    x = log_uniform(fmt, 1_000_000, seed=1)
    x = x if fmt.has_sign else np.abs(x)
    saturate = overflow == "sat" or not fmt.nonfinite
    expected = round_ndarray(gfloat_info(name), x, GFLOAT_MODES[mode], saturate)
    assert_array_equal(quantize(fmt, x, mode, overflow), expected)


@pytest.mark.parametrize("name", [n for n in PLAIN if parse(n).man_bits])
def test_minifloats_follow_the_formula(name):
    """The sheet's arithmetic (A.4) instead of a search over values.

    Without mantissa bits its significand is always odd and it rounds every tie away from zero,
    where ``rne`` is named after the even code.
    """
    fmt = parse(name)
    x = np.concatenate([log_uniform(fmt, 100_000), probes(fmt)])
    a = np.minimum(np.abs(x), decode_float(fmt, fmt.max_code))
    least = 1 - fmt.bias
    exponent = np.maximum(np.frexp(a)[1] - 1, least)
    exponent = np.where(a == 0, least, exponent)
    rounded = np.rint(np.ldexp(a, fmt.man_bits - exponent)).astype(np.int64)
    code = np.minimum((exponent - least << fmt.man_bits) + rounded, fmt.max_code)
    if fmt.has_sign:
        kept = np.signbit(x) & ((code > 0) | (fmt.nonfinite_rule != "fnuz"))
        code = np.where(kept, code | 1 << fmt.exp_bits + fmt.man_bits, code)
    else:
        code = np.where(x < 0, 0, code)
    assert_array_equal(encode(fmt, x), code)


def test_fp16_equals_numpy():
    x = np.concatenate([probes(parse("fp16")), log_uniform(parse("fp16"), 100_000)])
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16).view(np.uint16)
    assert_array_equal(encode(parse("fp16"), x, "rne", "nonsat"), expected)


@pytest.mark.parametrize(
    "name, value, saturated, overflowed",
    [
        ("e4m3", 464, 448, 448),
        ("e4m3", 464.1, 448, np.nan),
        ("e5m2", 61439, 57344, 57344),
        ("e5m2", 61440, 57344, np.inf),
        ("e5m2", -61440, -57344, -np.inf),
        ("e3m4_ieee", 15.75, 15.5, np.inf),
        ("e2m1", 1e9, 6, 6),
        ("ue4m3", 1e9, 448, np.nan),
        ("int4", -1e9, -8, -8),
        ("uint4", -1e9, 0, 0),
        ("e8m0", 2.0**127 * 1.42, 2.0**127, np.nan),
        ("e8m0", 2.0**127 * 1.41, 2.0**127, 2.0**127),
        ("posit8_0", 1e9, 64, 64),
        ("nf4", 1e9, 127, 127),
    ],
)
def test_overflow_rules_of_the_sheet(name, value, saturated, overflowed):
    assert quantize(parse(name), value, overflow="sat") == saturated
    assert_array_equal(quantize(parse(name), value, overflow="nonsat"), overflowed)


def test_e2m1_decision_points_of_the_sheet():
    x = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 5.0001]
    assert_array_equal(quantize(parse("e2m1"), x), [0, 1, 1, 2, 2, 4, 4, 6])


# -- formats with thresholds in the middle --------------------------------------------------------


@cache
def neighbours(name):
    """Values of ``name`` as fractions with their codes; overflow codes beyond the largest."""
    fmt = parse(name)
    values, codes = finite_values(name)
    entries = [(Fraction(v), c) for v, c in zip(values.tolist(), codes.tolist(), strict=True)]
    extended = list(entries)
    if isinstance(fmt, FloatFormat) and fmt.nonfinite:
        top = entries[-1][0]
        step = top if fmt.man_bits == 0 else top - entries[-2][0]
        sign = 1 << fmt.exp_bits + fmt.man_bits
        beyond = fmt.max_code + 1
        extended.append((top + step, beyond))
        if fmt.has_sign:
            extended.insert(0, (-top - step, beyond | sign))
    return entries, extended


def nearest(name, x, mode, overflow):
    """The code of the rational ``x``, by definition."""
    fmt = parse(name)
    entries = neighbours(name)[overflow == "nonsat"]
    if mode == "rtz":
        entries = neighbours(name)[0]
    i = bisect_right(entries, x, key=lambda e: e[0])
    if i in (0, len(entries)):
        return entries[min(i, len(entries) - 1)][1]
    (low, low_code), (high, high_code) = entries[i - 1], entries[i]
    if x == low:
        return low_code
    if mode == "rtz" and not low < 0 < high:
        return low_code if low >= 0 else high_code
    if x - low != high - x:
        return low_code if x - low < high - x else high_code
    if mode == "ties-down":
        return low_code
    if mode in ("rha", "ties-to-zero") and abs(low) != abs(high):
        return low_code if (abs(low) < abs(high)) == (mode == "ties-to-zero") else high_code
    parity = (
        [int(low) % 2, int(high) % 2] if name == "ternary_i2s" else [low_code % 2, high_code % 2]
    )
    if parity[0] != parity[1]:
        return low_code if parity[0] == 0 else high_code
    assert not isinstance(fmt, IntFormat)
    return low_code if abs(low) <= abs(high) else high_code


@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("name", LINEAR + EXTRA + BOOKS)
def test_nearest_by_definition(name, overflow):
    fmt = parse(name)
    if overflow == "nonsat" and not fmt.nonfinite:
        x = np.concatenate([probes(fmt), [np.inf, -np.inf]])
        for mode in ROUNDINGS:
            assert_array_equal(encode(fmt, x, mode, "nonsat"), encode(fmt, x, mode))
        return
    x = np.concatenate([probes(fmt), log_uniform(fmt, 200)])
    exact = [Fraction(v) for v in x.tolist()]
    for mode in ROUNDINGS:
        expected = np.array([nearest(name, v, mode, overflow) for v in exact])
        got = encode(fmt, x, mode, overflow)
        if isinstance(fmt, FloatFormat) and fmt.has_sign and fmt.special is None:
            minus = 1 << fmt.exp_bits + fmt.man_bits
            if fmt.nonfinite_rule != "fnuz":
                expected = np.where((expected == 0) & np.signbit(x), minus, expected)
        assert_array_equal(got, expected, err_msg=mode)


@pytest.mark.parametrize("bits", range(2, 17))
def test_integers_equal_rint(bits):
    x = np.concatenate([log_uniform(parse(f"int{bits}"), 100_000), np.arange(-40, 40) / 2])
    top = 1 << bits - 1
    expected = np.clip(np.rint(x), -top, top - 1)
    assert_array_equal(quantize(parse(f"int{bits}"), x), expected)
    assert_array_equal(quantize(parse(f"int{bits}"), x, "rtz"), np.clip(np.trunc(x), -top, top - 1))


@pytest.mark.parametrize("bits", range(1, 9))
def test_bipolar_follows_the_formula(bits):
    """U = clamp(RNE((x + 2**n - 1) / 2), 0, 2**n - 1) of A.3."""
    x = np.arange(-600, 600) / 2
    top = (1 << bits) - 1
    assert_array_equal(encode(parse(f"bipolar{bits}"), x), np.clip(np.rint((x + top) / 2), 0, top))

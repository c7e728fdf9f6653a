# SPDX-License-Identifier: Apache-2.0
"""Encoding against outside libraries, exact rational arithmetic and the sheet's formulas."""

from bisect import bisect_right
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from gfloat import formats, round_ndarray
from numpy.testing import assert_array_equal

from hw.spec.formats import CATALOGUE, FloatFormat, IntFormat, PositFormat, PowerFormat, parse
from hw.spec.rounding import OVERFLOWS, ROUNDINGS
from sim.golden.encode import encode, nan_code, quantize
from sim.golden.formats import decode, decode_float, legal_codes
from tests.sim.golden.oracles import (
    GFLOAT_MODES,
    ML_DTYPES,
    gfloat_info,
    ml_dtypes_codes,
    posits,
)

FLOATS = [n for n in CATALOGUE if isinstance(parse(n), FloatFormat)]
EXTRA = ["e3m0_ieee", "e3m0_fn", "e2m2_fnuz", "e5m1_ieee", "e2m4_fn", "e6m1", "ue2m3"]
PLAIN = [n for n in FLOATS if parse(n).special is None] + EXTRA
POSITS = [n for n in CATALOGUE if isinstance(parse(n), PositFormat)]
POWERS = [n for n in CATALOGUE if isinstance(parse(n), PowerFormat)]
LINEAR = [n for n in CATALOGUE if n not in POSITS + POWERS and parse(n).bits <= 8]
BOOKS = [
    "e0m3",
    "e1m6",
    "codebook:0,1,2,5",
    "codebook:7,-3,0.5,100",
    "codebook:3,3,-3,-3,1,-1,0.25,0",
]


@cache
def finite_values(name):
    """Distinct finite values, ascending, and the lowest code of each."""
    fmt = parse(name)
    codes = legal_codes(fmt)
    codes = codes[~decode(fmt, codes)[1]]
    values, first = np.unique(decode_float(fmt, codes), return_index=True)
    return values, codes[first]


def probes(fmt, signs=True):
    """Every value, every midpoint, one float64 step beside each, extremes and specials."""
    values = np.unique(decode_float(fmt, legal_codes(fmt)))
    values = values[np.isfinite(values)]
    top = np.abs(values).max()
    beyond = values[-1] + np.array([0.5, 1]) * (values[-1] - values[-2])
    edges = [top * (1 + 2**-10), top * (1 - 2**-10), 1.5 * top, 2 * top, 4 * top, 1e300]
    tiny = [0.0, 5e-324, 1e-300, 2.0**-1022, 0.5 * 2.0**fmt.lam]
    exact = np.concatenate([values, (values[:-1] + values[1:]) / 2, beyond, edges, tiny])
    x = np.concatenate([exact, np.nextafter(exact, np.inf), np.nextafter(exact, -np.inf)])
    return np.concatenate([x, -x]) if signs else np.abs(x)


def log_uniform(fmt, count, seed=0):
    """Random magnitudes over the range of ``fmt`` and some octaves beyond, of both signs."""
    rng = np.random.default_rng(seed)
    octaves = fmt.lam - 4, fmt.lam + fmt.max_int.bit_length() + 4
    return rng.choice([-1, 1], count) * np.exp2(rng.uniform(*octaves, count))


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


# -- posits ---------------------------------------------------------------------------------------


def posit_code(x, bits, es, mode):
    """Round the unlimited bit string of ``x`` (a float) to ``bits`` bits."""
    if x == 0:
        return 0
    a = abs(x)
    mantissa, exponent = np.frexp(a)
    fraction = int(mantissa * 2**53) - (1 << 52)
    scale = int(exponent) - 1
    regime, low = scale >> es, scale & (1 << es) - 1
    limit = bits - 2
    if regime >= limit:
        code = (1 << bits - 1) - 1
    elif scale < -(limit << es):
        code = 1
    else:
        run = ((1 << regime + 1) - 1) << 1 if regime >= 0 else 1
        length = abs(regime) + (2 if regime >= 0 else 1)
        string = (run << es + 52) | (low << 52) | fraction
        cut = length + es + 52 - (bits - 1)
        code, rest, half = string >> cut, string & (1 << cut) - 1, 1 << cut - 1
        if rest > half and mode != "rtz":
            code += 1
        elif rest == half:
            code += {
                "rne": code & 1,
                "rha": 1,
                "rtz": 0,
                "ties-down": int(x < 0),
                "ties-to-zero": 0,
            }[mode]
        code = max(code, 1)
    return code if x > 0 else (1 << bits) - code


def posit_probes(fmt):
    finer = PositFormat("finer", fmt.bits + 1, fmt.es)
    exact = decode_float(finer, np.arange(1 << finer.bits))
    exact = exact[np.isfinite(exact)]
    out = [exact[0], 1e300, -1e300, 5e-324, -5e-324, 2.0**fmt.lam / 3]
    exact = np.concatenate([exact, out])
    return np.concatenate([exact, np.nextafter(exact, np.inf), np.nextafter(exact, -np.inf)])


@pytest.mark.parametrize("mode", ROUNDINGS)
@pytest.mark.parametrize("name", [n for n in POSITS if parse(n).bits <= 8])
def test_posits_round_the_bit_string(name, mode):
    fmt = parse(name)
    x = np.concatenate([posit_probes(fmt), log_uniform(fmt, 2000)])
    expected = [posit_code(v, fmt.bits, fmt.es, mode) for v in x.tolist()]
    for overflow in OVERFLOWS:
        assert_array_equal(encode(fmt, x, mode, overflow), expected)


@pytest.mark.parametrize("name", ["posit8_0", "posit16_1", "posit8_2"])
def test_posits_equal_softposit(name):
    soft, fmt = posits(), parse(name)
    convert, unit = {
        "posit8_0": (soft.convertDoubleToP8, 1),
        "posit16_1": (soft.convertDoubleToP16, 1),
        "posit8_2": (lambda v: soft.convertDoubleToPX2(v, 8), 1 << 24),
    }[name]
    x = np.concatenate([posit_probes(fmt), log_uniform(fmt, 20_000)])
    # softposit's conversions look at doubles of ordinary size only.
    x = x[(np.abs(x) > 2.0**-120) & (np.abs(x) < 2.0**120) | (x == 0)]
    if name == "posit16_1":
        x = np.concatenate([x[::8], x[1::8], x[-20_000:]])
    expected = np.array([convert(v).v // unit for v in x.tolist()])
    assert_array_equal(encode(fmt, x), expected)


def test_posit4_1_tie_points_of_the_sheet():
    ties = [1 / 8, 3 / 8, 3 / 4, 3 / 2, 3, 8]
    assert_array_equal(quantize(parse("posit4_1"), ties), [1 / 4, 1 / 4, 1, 1, 4, 4])
    above = np.nextafter(ties, np.inf)
    assert_array_equal(quantize(parse("posit4_1"), above), [1 / 4, 1 / 2, 1, 2, 4, 16])
    below = np.nextafter(ties, 0)
    assert_array_equal(quantize(parse("posit4_1"), below), [1 / 16, 1 / 4, 1 / 2, 1, 2, 4])


# -- powers of two --------------------------------------------------------------------------------


def power_exponent(x, rtz):
    """Exponent of the power of two that the positive rational ``x`` becomes."""
    floor = x.numerator.bit_length() - x.denominator.bit_length()
    while Fraction(2) ** floor > x:
        floor -= 1
    return floor + (not rtz and (x / Fraction(2) ** floor) ** 2 > 2)


@pytest.mark.parametrize("mode", ROUNDINGS)
@pytest.mark.parametrize("name", POWERS)
def test_powers_of_two_round_the_logarithm(name, mode):
    fmt = parse(name)
    values, codes = finite_values(name)
    code_of = {v: c for v, c in zip(values.tolist(), codes.tolist(), strict=True)}
    low, high = values[values > 0].min(), values.max()
    roots = values[values > 0] * np.sqrt(2.0)
    x = np.concatenate([probes(fmt), log_uniform(fmt, 500), roots, np.nextafter(roots, 0)])
    expected = []
    for v in x.tolist():
        sign = -1 if v < 0 and fmt.has_sign else 1
        a = abs(Fraction(v))
        zero_below = low if mode == "rtz" else low / 2
        if not fmt.has_sign and v <= 0:
            expected.append(0)
        elif fmt.has_zero and (a < zero_below or (a == zero_below and low_tie(mode, v))):
            expected.append(code_of[0.0])
        elif a == 0:
            expected.append(code_of[low])
        else:
            power = Fraction(2) ** power_exponent(a, mode == "rtz")
            expected.append(code_of[sign * float(min(max(power, Fraction(low)), Fraction(high)))])
    assert_array_equal(encode(fmt, x, mode), expected)


def low_tie(mode, x):
    """Whether half the smallest power becomes zero, whose code is even."""
    return mode in ("rne", "ties-to-zero") or (mode == "ties-down" and x > 0)


# -- zeros, NaN, infinities, errors ---------------------------------------------------------------


@pytest.mark.parametrize("mode", ROUNDINGS)
@pytest.mark.parametrize("name", CATALOGUE)
def test_every_value_keeps_its_code(name, mode):
    fmt = parse(name)
    values, codes = finite_values(name)
    got = encode(fmt, values, mode, "nonsat")
    assert_array_equal(got, codes)


@pytest.mark.parametrize("name", CATALOGUE)
def test_nan_and_infinity(name):
    fmt = parse(name)
    values, _ = finite_values(name)
    if fmt.nonfinite:
        assert np.isnan(quantize(fmt, np.nan))
        assert encode(fmt, -np.nan) == nan_code(fmt)
    else:
        with pytest.raises(
            ValueError, match=f"NaN has no code in format {name}".replace("+", r"\+")
        ):
            encode(fmt, [1.0, np.nan])
    ends = np.array([np.inf, -np.inf])
    kept, overflowed = quantize(fmt, ends), quantize(fmt, ends, overflow="nonsat")
    if isinstance(fmt, PositFormat):
        assert np.isnan(kept).all() and np.isnan(overflowed).all()
        return
    assert_array_equal(kept, [values[-1], values[0]])
    rule = getattr(fmt, "nonfinite_rule", "fn" if fmt.nonfinite else "none")
    top = {"none": values[-1], "ieee": np.inf}.get(rule, np.nan)
    assert_array_equal(
        overflowed, [top, (values[0] if rule == "none" else -top) if fmt.signed else values[0]]
    )


def test_only_minifloats_keep_the_sign_of_zero():
    kept = {n for n in CATALOGUE if np.signbit(decode_float(parse(n), encode(parse(n), -0.0)))}
    kept = {n for n in kept if quantize(parse(n), 0.0) == 0}
    expected = {
        n for n in CATALOGUE if n in PLAIN and parse(n).signed and parse(n).nonfinite_rule != "fnuz"
    }
    assert kept == expected
    assert encode(parse("fp4_er+"), -0.1) == 0, "the code of -0 is the special value"
    assert encode(parse("shift4"), [0.0, -0.0]).tolist() == [0, 0]


def test_e8m0_does_not_round_like_the_cast():
    """OCP computes the exponent; nearest means the logarithm, not the value."""
    assert_array_equal(quantize(parse("e8m0"), [1.4, 1.5, 3, 0.75]), [1, 2, 4, 1])
    assert_array_equal(quantize(parse("e8m0"), [1.9, 3.99, 4], "rtz"), [1, 2, 4])
    assert formats.format_info_ocp_e8m0.k == 8


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"rounding": "up"}, "rounding must be one of .*'rne'.*, not 'up'"),
        ({"overflow": "wrap"}, "overflow must be one of .*, not 'wrap'"),
    ],
)
def test_unknown_names(arguments, message):
    with pytest.raises(ValueError, match=message):
        encode(parse("int4"), 1.0, **arguments)


def test_shapes():
    assert encode(parse("int4"), np.zeros((2, 0, 3))).shape == (2, 0, 3)
    assert encode(parse("int4"), 3.2).shape == ()
    assert encode(parse("int4"), [[1, 2]]).dtype == np.int64

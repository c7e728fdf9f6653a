# SPDX-License-Identifier: Apache-2.0
"""Encoding of posits and powers of two; zeros, NaN and infinities of every format."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hw.spec.formats import ENUMERABLE, PositFormat, parse
from hw.spec.rounding import OVERFLOWS, ROUNDINGS
from sim.golden.encode import encode, nan_code, quantize
from sim.golden.formats import decode_float
from tests.sim.golden.oracles import posits
from tests.sim.golden.probes import PLAIN, POSITS, POWERS, finite_values, log_uniform, probes

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
@pytest.mark.parametrize("name", ENUMERABLE)
def test_every_value_keeps_its_code(name, mode):
    fmt = parse(name)
    values, codes = finite_values(name)
    got = encode(fmt, values, mode, "nonsat")
    assert_array_equal(got, codes)


@pytest.mark.parametrize("name", ENUMERABLE)
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
    kept = {n for n in ENUMERABLE if np.signbit(decode_float(parse(n), encode(parse(n), -0.0)))}
    kept = {n for n in kept if quantize(parse(n), 0.0) == 0}
    expected = {
        n
        for n in ENUMERABLE
        if n in PLAIN and parse(n).signed and parse(n).nonfinite_rule != "fnuz"
    }
    assert kept == expected
    assert encode(parse("fp4_er+"), -0.1) == 0, "the code of -0 is the special value"
    assert encode(parse("shift4"), [0.0, -0.0]).tolist() == [0, 0]


def test_e8m0_does_not_round_like_the_cast():
    """OCP computes the exponent; nearest means the logarithm, not the value."""
    assert_array_equal(quantize(parse("e8m0"), [1.4, 1.5, 3, 0.75]), [1, 2, 4, 1])
    assert_array_equal(quantize(parse("e8m0"), [1.9, 3.99, 4], "rtz"), [1, 2, 4])


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

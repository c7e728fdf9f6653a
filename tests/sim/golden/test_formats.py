# SPDX-License-Identifier: Apache-2.0
"""Decoding of every code against outside libraries and the printed tables."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from gfloat import decode_ndarray, formats
from numpy.testing import assert_array_equal

from hw.spec.formats import ENUMERABLE, FloatFormat, PositFormat, exact_width, parse
from sim.golden.formats import decode, decode_float, legal_codes, table, value_text
from tests.sim.golden import sheet
from tests.sim.golden.oracles import ML_DTYPES, gfloat_info, ml_dtypes_type, posits

MINIFLOATS = [n for n in ENUMERABLE if isinstance(parse(n), FloatFormat) and "m" in n]
PLAIN = [n for n in MINIFLOATS if parse(n).special is None]


def assert_same_reals(got, expected):
    """Equal values, equal signs of zeros and infinities; any NaN equals any other."""
    assert_array_equal(got, expected)
    known = ~np.isnan(expected)
    assert_array_equal(np.signbit(got[known]), np.signbit(expected[known]))


@pytest.mark.parametrize("name", ENUMERABLE)
def test_integers_and_reals_agree(name):
    """``decode_float`` is ``I * 2**lam``, and ``nan`` marks exactly what is not finite."""
    fmt = parse(name)
    codes = legal_codes(fmt)
    ints, nan = decode(fmt, codes)
    reals = decode_float(fmt, codes)
    assert_array_equal(nan, ~np.isfinite(reals))
    for integer, real in zip(ints[~nan].tolist(), reals[~nan].tolist(), strict=True):
        assert Fraction(real) == integer * Fraction(2) ** fmt.lam
    assert not any(ints[nan].tolist())


@pytest.mark.parametrize("name", ENUMERABLE)
def test_description_states_what_the_codes_show(name):
    fmt = parse(name)
    ints, nan = decode(fmt, legal_codes(fmt))
    finite = [int(i) for i in ints[~nan]]
    assert max(abs(i) for i in finite) == fmt.max_int
    assert (min(finite) < 0) == fmt.signed
    assert nan.any() == fmt.nonfinite
    assert len(ints) + len(fmt.illegal) == 1 << fmt.bits
    if name not in ("abfloat4_2", "abfloat4_3"):  # whose unit is that of the int4 beside them
        assert any(i % 2 for i in finite), "a coarser unit would do"


@pytest.mark.parametrize("name", ML_DTYPES)
def test_decode_equals_ml_dtypes(name):
    fmt = parse(name)
    codes = np.arange(1 << fmt.bits)
    dtype = ml_dtypes_type(name)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        expected = codes.astype(f"u{dtype.itemsize}").view(dtype).astype(np.float64)
    assert_same_reals(decode_float(fmt, codes), expected)


def test_fp32_equals_numpy():
    """Ends of the fields, subnormals, infinities, NaNs and random codes, in two dimensions."""
    fmt = parse("fp32")
    ends = np.array([0, 1, 0x7FFFFF, 0x800000, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000])
    codes = np.concatenate([ends, np.random.default_rng(1).integers(1 << 31, size=504)])
    codes = np.stack([codes, codes | 1 << 31])
    with np.errstate(invalid="ignore"):
        expected = codes.astype(np.uint32).view(np.float32).astype(np.float64)
    assert_same_reals(decode_float(fmt, codes), expected)
    ints, nan = decode(fmt, codes)
    assert ints.shape == codes.shape and nan.tolist() == (~np.isfinite(expected)).tolist()
    for integer, real in zip(ints[~nan].tolist(), expected[~nan].tolist(), strict=True):
        assert Fraction(real) == integer * Fraction(2) ** fmt.lam
    with pytest.raises(ValueError, match="fp32 are too many to list: it has 32 bits"):
        legal_codes(fmt)


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("signed", [True, False])
def test_integers_equal_ml_dtypes(bits, signed):
    dtype = getattr(ml_dtypes, f"{'' if signed else 'u'}int{bits}")
    codes = np.arange(1 << bits)
    expected = codes.astype(np.uint8).view(dtype).astype(int)
    assert_array_equal(decode(parse(f"{'' if signed else 'u'}int{bits}"), codes)[0], expected)


@pytest.mark.parametrize("bits", range(2, 17))
def test_integers_equal_numpy(bits):
    codes = np.arange(1 << bits)
    shifted = (codes << 16 - bits).astype(np.uint16)
    expected = shifted.view(np.int16) >> 16 - bits
    assert_array_equal(decode(parse(f"int{bits}"), codes)[0], expected)


def test_e8m0_equals_ml_dtypes():
    codes = np.arange(256)
    expected = codes.astype(np.uint8).view(ml_dtypes.float8_e8m0fnu).astype(np.float64)
    assert_same_reals(decode_float(parse("e8m0"), codes), expected)


@pytest.mark.parametrize("name", PLAIN)
def test_decode_equals_gfloat(name):
    codes = legal_codes(parse(name))
    assert_same_reals(decode_float(parse(name), codes), decode_ndarray(gfloat_info(name), codes))


@pytest.mark.parametrize(
    "name, info",
    [
        ("e2m1", formats.format_info_ocp_e2m1),
        ("e4m3", formats.format_info_ocp_e4m3),
        ("e5m2", formats.format_info_ocp_e5m2),
        ("e8m0", formats.format_info_ocp_e8m0),
        ("fp16", formats.format_info_binary16),
        ("bf16", formats.format_info_bfloat16),
    ],
)
def test_decode_equals_the_formats_gfloat_ships(name, info):
    """So that the descriptions made for gfloat above are not trusted blindly."""
    codes = legal_codes(parse(name))
    assert_same_reals(decode_float(parse(name), codes), decode_ndarray(info, codes))


def test_posits_equal_softposit():
    soft = posits()
    for name, kind in (("posit8_0", soft.posit8), ("posit16_1", soft.posit16)):
        fmt = parse(name)
        codes = np.arange(1 << fmt.bits)
        expected = np.array([float(kind(bits=int(c))) for c in codes])
        expected[1 << fmt.bits - 1] = np.nan
        assert_same_reals(decode_float(fmt, codes), expected)


@pytest.mark.parametrize("bits", range(3, 17))
def test_posits_with_two_exponent_bits_equal_softposit(bits):
    soft = posits()
    codes = np.arange(0, 1 << bits, max(1, (1 << bits) // 1024))
    expected = []
    for code in codes.tolist():
        posit = soft.posit_2_t()
        posit.v = code << 32 - bits
        expected.append(soft.convertPX2ToDouble(posit))
    keep = codes != 1 << bits - 1
    got = decode_float(PositFormat("posit", bits, 2), codes)
    assert_array_equal(got[keep], np.array(expected)[keep])
    assert np.isnan(got[~keep]).all()


@pytest.mark.parametrize("name", sheet.CODE_BOOKS)
def test_code_book_of_the_sheet(name):
    fmt, column = parse(name), sheet.CODE_BOOKS[name]
    assert len(column) == 1 << fmt.bits
    legal = [c for c, text in enumerate(column) if text != "x"]
    assert_array_equal(legal_codes(fmt), legal)
    expected = np.array([float(column[c]) for c in legal])
    assert_same_reals(decode_float(fmt, legal), expected)


@pytest.mark.parametrize("name", sheet.MAGNITUDES)
def test_magnitudes_of_the_sheet(name):
    expected = np.array([float(v) for v in sheet.MAGNITUDES[name].split()])
    got = decode_float(parse(name), np.arange(2 * len(expected)))
    assert_array_equal(got[: len(expected)], expected)
    assert_array_equal(got[len(expected) :], -expected)


def test_special_values_of_apot4():
    plain, special = parse("apot4"), parse("apot4_sp")
    codes = np.arange(16)
    changed = decode(plain, codes)[0] != decode(special, codes)[0]
    assert_array_equal(np.flatnonzero(changed), [8])
    assert decode_float(special, 8) == 5 / 16


@pytest.mark.parametrize("name", sheet.FLOATS)
def test_float_properties_of_the_sheet(name):
    fmt = parse(name)
    bias, largest, normal, subnormal, infinities, nans = sheet.FLOATS[name]
    codes = legal_codes(fmt)
    reals = decode_float(fmt, codes)
    assert fmt.bias == bias
    assert reals[np.isfinite(reals)].max() == largest
    assert reals[1 << fmt.man_bits] == normal
    assert reals[1] == subnormal
    assert set(codes[np.isinf(reals)].tolist()) == infinities
    assert set(codes[np.isnan(reals)].tolist()) == nans


@pytest.mark.parametrize("name", sheet.POSITS)
def test_posit_range_of_the_sheet(name):
    fmt = parse(name)
    least, largest = sheet.POSITS[name]
    assert decode_float(fmt, 1) == 2.0**least
    assert decode_float(fmt, (1 << fmt.bits - 1) - 1) == 2.0**largest


@pytest.mark.parametrize("variant, unit", [("", 127), ("_q15", 1 << 15), ("_fp16", None)])
@pytest.mark.parametrize("name", ["nf4", "sf4"])
def test_quantile_books_follow_their_recipe(name, variant, unit):
    """Normal (Student t, 5 degrees) quantiles of the recipe in A.9, by bisection of the CDF."""
    delta = (1 / 32 + 1 / 30) / 2
    left, right = np.linspace(delta, 0.5, 8), np.linspace(0.5, 1 - delta, 9)
    reals = np.array([quantile(name, p) for p in [*left, *right[1:]]])
    reals /= np.abs(reals).max()
    if unit is None:
        expected = reals.astype(np.float16).astype(np.float64)
    else:
        expected = np.minimum(np.rint(reals * unit), unit - (unit != 127))
        expected = expected / (1 if unit == 127 else unit)
    got = decode_float(parse(name + variant), np.arange(16))
    # The printed tables have 6 digits for sf4: allow one unit in the finer books.
    tolerance = {"_q15": 2**-15, "_fp16": 2**-11}.get(variant, 0)
    assert np.abs(got - expected).max() <= tolerance


def quantile(name: str, p: float) -> float:
    """Inverse CDF: standard normal, or Student t with 5 degrees of freedom."""
    from math import atan, erf, pi, sqrt

    def student(x: float) -> float:
        t = x / sqrt(5)
        return 0.5 + (atan(t) + t / (1 + t * t) * (1 + 2 / 3 / (1 + t * t))) / pi

    def normal(x: float) -> float:
        return (1 + erf(x / sqrt(2))) / 2

    cdf = normal if name == "nf4" else student
    low, high = -20.0, 20.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if cdf(middle) < p else (low, middle)
    return low


@pytest.mark.parametrize("row", sheet.WIDTHS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_accumulator_widths_of_the_sheet(row):
    weight, act = parse(row[0]), parse(row[1])
    assert weight.lam + act.lam == int(row[2])
    for k, bits in zip((1, 16, 32, 128, 256, 1024, 4096), row[3:], strict=True):
        assert exact_width(weight, act, k) == int(bits)


@pytest.mark.parametrize("name", ENUMERABLE)
def test_table_is_exact(name):
    fmt = parse(name)
    if fmt.bits > 8:
        return
    rows = table(fmt)
    assert [row[0] for row in rows] == list(range(1 << fmt.bits))
    for code, bits, text in rows:
        assert int(bits, 2) == code and len(bits) == fmt.bits
        if text == "illegal":
            assert code in fmt.illegal
        elif text == "NaN":
            assert np.isnan(decode_float(fmt, code))
        else:
            mantissa, _, power = text.partition("2^") if "^" in text else (text, "", "0")
            factor = {"": "1", "-": "-1"}.get(mantissa, mantissa.rstrip("*"))
            assert float(factor) * 2.0 ** int(power) == decode_float(fmt, code)


def test_table_shows_what_a_person_expects():
    assert table(parse("ternary")) == [
        (0, "00", "0"),
        (1, "01", "1"),
        (2, "10", "illegal"),
        (3, "11", "-1"),
    ]
    shown = {code: text for code, _, text in table(parse("e5m2"))}
    assert shown[0x80] == "-0"
    assert (shown[0x7C], shown[0xFC], shown[0x7D]) == ("inf", "-inf", "NaN")
    assert shown[0x01] == "0.0000152587890625"
    assert table(parse("e8m0"))[0] == (0, "00000000", "2^-127")


def test_value_text_refuses_what_is_no_binary_fraction():
    with pytest.raises(ValueError, match="1/3 is not a binary fraction"):
        value_text(Fraction(1, 3))
    assert value_text(Fraction(-3, 1 << 60)) == "-3*2^-60"


@pytest.mark.parametrize(
    "name, code, message",
    [
        ("ternary", 2, r"code 2 \(10\) is illegal in ternary"),
        ("ternary_i2s", 3, r"code 3 \(11\) is illegal in ternary_i2s"),
        ("ue4m3", 128, r"code 128 \(10000000\) is illegal in ue4m3"),
        ("int4", 16, "code 16 is not a code of int4, which has 4 bits"),
        ("int4", -1, "code -1 is not a code of int4"),
        ("int4", 1.0, "codes of int4 must be integers, not float64"),
    ],
)
def test_bad_codes_are_named(name, code, message):
    with pytest.raises(ValueError, match=message):
        decode(
            parse(name), np.array([0 if name == "int4" else 1, 1, code]) if code != 1.0 else [1.0]
        )


def test_shapes_and_types():
    ints, nan = decode(parse("int4"), np.zeros((2, 0, 3), dtype=np.uint8))
    assert ints.shape == nan.shape == (2, 0, 3)
    assert decode(parse("e4m3"), [[1, 2]])[0].dtype == np.int64
    assert decode(parse("bf16"), 0x7F00)[0] == 1 << 127 + 133

# SPDX-License-Identifier: Apache-2.0
"""Scales and groups of a layer: by format, by rule, with a tail."""

import numpy as np
import pytest

from hw.spec.formats import ENUMERABLE, parse
from sim.golden.formats import decode_float, legal_codes
from sim.study.quantize import check_format, default_rules, quantize, sizes

VALUES = np.random.default_rng(3).standard_normal((5, 40)) * [[1e-3], [0.02], [1], [30], [100]]

SIGNED = [n for n in ENUMERABLE if parse(n).signed]


def nearest(fmt, values):
    """The value of ``fmt`` nearest to each of ``values``, found by trying them all."""
    book = decode_float(fmt, legal_codes(fmt))
    book = np.unique(book[np.isfinite(book)])
    return book[np.abs(values[..., None] - book).argmin(axis=-1)]


def test_sizes():
    assert sizes(12, 4) == [4, 4, 4] and sizes(10, 4) == [4, 4, 2] and sizes(3, 3) == [3]


@pytest.mark.parametrize("name", ["e2m1", "int4", "nf4", "e4m3", "sm4", "bipolar4", "int8"])
def test_largest_magnitude_becomes_the_largest_value(name):
    fmt = parse(name)
    top = {"e2m1": 6, "int4": 7, "nf4": 127, "e4m3": 448, "sm4": 7, "bipolar4": 15, "int8": 127}
    got = quantize(fmt, VALUES, 16)
    assert got.scales.shape == (5, 3) and got.codes.shape == (5, 40)
    for begin, end, column in ((0, 16, 0), (16, 32, 1), (32, 40, 2)):
        part = VALUES[:, begin:end]
        scales = np.abs(part).max(axis=1).astype(np.float32) / np.float32(top[name])
        np.testing.assert_allclose(got.scales[:, column], scales, rtol=1e-6)
        used = got.scales[:, column, None]
        np.testing.assert_array_equal(got.values()[:, begin:end], nearest(fmt, part / used) * used)


def test_ternary_and_binary_scale_by_the_mean():
    for name in ("ternary", "ternary_i2s", "binary"):
        got = quantize(parse(name), VALUES, 40)
        np.testing.assert_allclose(got.scales[:, 0], np.abs(VALUES).mean(axis=1) + 1e-5, rtol=1e-6)
        np.testing.assert_array_equal(
            np.sign(VALUES[np.abs(VALUES) > got.scales]),
            np.sign(got.values()[np.abs(VALUES) > got.scales]),
        )


def test_posits_scale_to_one():
    got = quantize(parse("posit8_0"), VALUES, 20)
    rms = np.sqrt((VALUES.reshape(5, 2, 20) ** 2).mean(axis=-1))
    np.testing.assert_allclose(got.scales, rms, rtol=1e-6)
    assert default_rules(parse("posit16_1")) == ("rms",)


def test_wide_floats_are_only_converted():
    for name, kind in (("fp16", np.float16),):
        got = quantize(parse(name), VALUES, 16)
        assert (got.scales == 1).all()
        np.testing.assert_array_equal(got.values(), VALUES.astype(kind).astype(float))
    assert default_rules(parse("bf16")) == ("unit",)


@pytest.mark.parametrize("name", ["fp4_ea+", "fp4_ea-", "e2m1_sr", "codebook:-2,-1,0,1,2,4,6,9"])
def test_unequal_extremes_take_the_better_rule_in_each_group(name):
    fmt = parse(name)
    values = np.random.default_rng(4).standard_normal((64, 16))
    got = quantize(fmt, values, 16)
    error = ((got.values() - values) ** 2).sum(axis=1)
    each = [quantize(fmt, values, 16, [rule]) for rule in ("absmax", "full")]
    errors = np.stack([((q.values() - values) ** 2).sum(axis=1) for q in each])
    np.testing.assert_array_equal(error, errors.min(axis=0))
    winners = errors.argmin(axis=0)
    assert 0 < winners.sum() < 64, "both rules must win somewhere for this test to mean anything"


@pytest.mark.parametrize("name", SIGNED)
def test_every_signed_format_quantises(name):
    """No group grows without bound, no code is illegal or non-finite, a group of zeros works."""
    fmt = parse(name)
    check_format(fmt, "weights")
    values = np.random.default_rng(5).standard_normal((5, 24))
    values[4] = 0
    got = quantize(fmt, values, 16)
    assert np.isin(got.codes, legal_codes(fmt)).all()
    assert np.isfinite(got.values()).all() and (got.scales > 0).all()
    assert np.abs(got.values()).max() <= 2 * np.abs(values).max()
    error = ((got.values() - values)[:4] ** 2).sum() / (values**2).sum()
    assert error < {1: 0.6, 2: 0.6, 3: 0.25}.get(fmt.bits, 0.1)


@pytest.mark.parametrize("name", [n for n in ENUMERABLE if n not in SIGNED])
def test_unsigned_formats_are_refused(name):
    with pytest.raises(ValueError, match=f"weights '{name}' has no negative values.*zero point"):
        check_format(parse(name), "weights")
    with pytest.raises(ValueError, match="act 'codebook:-3,-1' has no positive values"):
        check_format(parse("codebook:-3,-1"), "act")


def test_infinities_are_refused():
    for rule in ("absmax", "rms", "unit"):
        with pytest.raises(ValueError, match="must be finite"):
            quantize(parse("fp16"), np.array([[1.0, np.inf]]), 2, [rule])

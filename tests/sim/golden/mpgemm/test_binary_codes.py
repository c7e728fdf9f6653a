# SPDX-License-Identifier: Apache-2.0
"""Quantisers of ELUTQ and ShiftAddLLM."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sim.golden.mpgemm.binary_codes import quantize_bcq, quantize_hlq, round_apot, storage_bits


def error(codes, w):
    """Squared error of each group and column."""
    squares = (codes.values() - w) ** 2
    return np.add.reduceat(squares, np.arange(0, len(w), codes.group), axis=0)


def test_elutq_storage():
    assert [storage_bits(2, 128), storage_bits(2, 64), storage_bits(3, 128)] == [2.375, 2.75, 3.5]
    assert storage_bits(3, 128, scales=3) == 3.375


def test_hlq_of_a_uniform_grid_is_exact():
    w = np.array([[-1.0], [0.0], [1.0], [2.0]])
    codes = quantize_hlq(w, 2, 4, rounds=0)
    assert codes.scales[0, :, 0].tolist() == [1, 2]
    assert codes.zeros.tolist() == [[-1]]
    assert codes.planes[:, :, 0].tolist() == [[0, 1, 0, 1], [0, 0, 1, 1]]
    assert_array_equal(codes.values(), w)


def test_hlq_finds_planes_that_are_no_powers_of_two():
    """0, 1, 5 and 6 are no uniform grid; they are 0 + 1 * b0 + 5 * b1."""
    w = np.array([[0.0], [1], [5], [6], [0], [6]])
    start, found = (quantize_hlq(w, 2, 6, rounds=rounds) for rounds in (0, 10))
    assert error(start, w) > 1 and error(found, w) < 1e-4


def test_bcq_by_hand():
    """3 and 1 with signs: the mean is 2, of what is left 1."""
    w = np.array([[3.0], [1], [-3], [-1]])
    codes = quantize_bcq(w, 2, 4, terms=1, rounds=0)
    assert codes.scales[0, :, 0].tolist() == [2, 1]
    assert codes.planes[:, :, 0].tolist() == [[1, 1, 0, 0], [1, 0, 0, 1]]
    assert_array_equal(codes.values(), w)
    assert codes.powers.exponents[0, 0, :, 0].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("value", "terms"),
    [
        (0.0, []),
        (1.0, [1]),
        (-6.0, [-8, 2]),  # log2(6) is 2.58
        (5.0, [4, 1]),
        (1.5, [2, -0.5]),  # log2(1.5) is 0.585
        (0.7, [0.5, 0.25, -0.0625]),
        (0.71, [1, -0.25, -0.03125]),
    ],
)
def test_apot(value, terms):
    powers = round_apot([value], 3)
    found = np.ldexp(powers.signs.astype(float), powers.exponents)[:, 0]
    assert found[found != 0].tolist() == terms
    for count in range(1, 4):
        assert round_apot([value], count).values()[0] == sum(terms[:count])


def test_apot_comes_nearer_with_every_term():
    x = np.random.default_rng(1).normal(size=4096)
    far = [np.abs(round_apot(x, terms).values() - x) / np.abs(x) for terms in (1, 2, 3)]
    assert all((a >= b).all() for a, b in pairwise(far))
    for apart, bound in zip(far, (0.4143, 0.13, 0.05), strict=True):
        assert apart.max() < bound


def test_the_lowest_code_of_equally_near_ones():
    assert quantize_hlq([[0.0], [1], [2]], 1, 3, rounds=0).planes[0, :, 0].tolist() == [0, 0, 1]


def test_alphas_are_positive_and_descending():
    w = np.random.default_rng(2).normal(size=(64, 9)) - 1
    for terms in (1, 3, None):
        scales = quantize_bcq(w, 3, 16, terms).scales
        assert (scales >= 0).all() and (np.diff(scales, axis=1) <= 0).all()


@pytest.mark.parametrize("k", [5, 16, 37])
@pytest.mark.parametrize("bits", [1, 2, 3])
def test_rounds_never_make_it_worse(bits, k):
    rng = np.random.default_rng([bits, k])
    w = rng.standard_t(3, (k, 6))
    for make in (
        lambda rounds: quantize_hlq(w, bits, 16, rounds),
        lambda rounds: quantize_bcq(w, bits, 16, 1, rounds),
        lambda rounds: quantize_bcq(w, bits, 16, 3, rounds),
        lambda rounds: quantize_bcq(w, bits, 16, None, rounds),
    ):
        errors = [error(make(rounds), w) for rounds in (0, 1, 4, 12)]
        for before, after in pairwise(errors):
            assert (after <= before).all()
        if bits > 1 and k > 16:
            assert errors[-1].sum() < errors[0].sum()
        again = make(12)
        assert_array_equal(again.values(), make(12).values())


def test_shared_scales_are_shared_and_cost_accuracy():
    w = np.random.default_rng(3).normal(size=(24, 8)) * np.arange(1, 9)
    own, eighth, all_columns = (
        quantize_bcq(w, 3, 8, None, outputs=outputs) for outputs in (1, 2, 8)
    )
    assert (all_columns.scales == all_columns.scales[:, :, :1]).all()
    assert (eighth.scales[:, :, ::2] == eighth.scales[:, :, 1::2]).all()
    totals = [error(codes, w).sum() for codes in (own, eighth, all_columns)]
    assert totals == sorted(totals)


def test_scales_are_stored_numbers():
    w = np.random.default_rng(4).normal(size=(32, 3))
    for codes in (quantize_hlq(w, 2, 16), quantize_bcq(w, 2, 16, None)):
        for numbers in (codes.scales, codes.zeros):
            assert_array_equal(numbers, numbers.astype(np.float16))
    assert np.isfinite(quantize_hlq(w * 1e9, 2, 16).values()).all()


def test_constant_groups():
    assert_array_equal(quantize_hlq(np.full((4, 1), 0.5), 2, 4).values(), 0.5)
    assert_array_equal(quantize_bcq(np.zeros((4, 1)), 2, 4).values(), 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quantize_hlq([1.0], 2, 1), r"K rows and N columns, not \(1,\)"),
        (lambda: quantize_hlq([[np.inf]], 2, 1), "must be finite"),
        (lambda: quantize_hlq([[1.0]], 9, 1), "bits must be 1 to 8 and group positive, not 9 and"),
        (lambda: quantize_bcq([[1.0]], 2, 0), "not 2 and 0"),
        (lambda: quantize_bcq([[1.0]], 2, 1, terms=4), "terms must be 1 to 3, or None, not 4"),
        (lambda: quantize_bcq([[1.0] * 3], 2, 1, outputs=2), "divide the 3 columns, not be 2"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()

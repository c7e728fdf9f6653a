# SPDX-License-Identifier: Apache-2.0
"""Approximate modes of T-MAC: the errors that the sheet states, and sums by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sim.golden.mpgemm.tmac import fast_average, fast_bias, tmac_product, tmac_tables_int8


def nmse(found, exact):
    return ((found - exact) ** 2).mean() / (exact**2).mean()


def test_tables():
    a = [[1, -2, 3, 60.5], [0, 0, 0, 0]]
    tables, scales = tmac_tables_int8(a, 4)
    assert_allclose(scales[:, 0], [66.5 / 127, 0])
    exact = np.array([sum(x if p >> i & 1 else -x for i, x in enumerate(a[0])) for p in range(16)])
    assert_array_equal(tables[0, 0], np.rint(exact * 127 / 66.5))
    assert tables[0, 0].max() == 127 and not tables[1].any()
    assert_array_equal(tables, -tables[..., ::-1])
    # Ties go to the even one: 1 / 2 and 3 / 2 of a scale.
    tables, scales = tmac_tables_int8([[127, 0, 0, 0, 0.5, 0, 0, 0, 1.5, 0, 0, 0]], 12)
    assert scales.tolist() == [[1]]
    assert tables[0, :, 1].tolist() == [127, 0, 2]


def test_scales_are_those_of_their_groups():
    rng = np.random.default_rng(1)
    a = rng.standard_normal((3, 192))
    tables, scales = tmac_tables_int8(a)
    assert tables.shape == (3, 48, 16) and scales.shape == (3, 3)
    sums = np.abs(a).reshape(3, 3, 16, 4).sum(axis=-1).max(axis=-1)
    assert_allclose(scales, sums / 127)
    with pytest.raises(ValueError, match="K must be a multiple of act_group"):
        tmac_tables_int8(a, 100)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["normal", "int8"])
def test_error_of_quantised_tables(bits, kind):
    rng = np.random.default_rng(bits)
    a = rng.standard_normal((16, 1024)) if kind == "normal" else rng.integers(-128, 128, (16, 1024))
    u = rng.integers(0, 1 << bits, (1024, 32))
    exact = a @ (u - 2.0 ** (bits - 1))
    error = nmse(tmac_product(a, u, bits), exact)
    assert 1e-6 < error <= 5e-4
    # Averages are worse by far.
    assert error * 3 < nmse(tmac_product(a, u, bits, act_k=16), exact) < 5e-3


def test_tables_that_need_no_rounding_are_exact():
    """Scales of 1: the product is that of integers."""
    rng = np.random.default_rng(1)
    a, u = rng.integers(-31, 32, (5, 128)), rng.integers(0, 8, (128, 7))
    a[:, ::64], a[:, 1::64], a[:, 2::64], a[:, 3::64] = 31, 32, -32, 32
    assert_array_equal(tmac_product(a, u, 3), a @ (u - 4))


@pytest.mark.parametrize("levels", [1, 2, 3, 4, 5])
def test_mean_and_spread_of_averages(levels):
    values = np.random.default_rng(1).integers(-128, 128, (50_000, 1 << levels))
    error = fast_average(values) - values.mean(axis=-1)
    assert error.mean() == pytest.approx(levels / 4, abs=0.01)
    assert fast_bias(1 << levels, "mean") == levels / 4
    if levels == 4:
        # A third of a unit, 5.5 in a sum of 16.
        assert 16 * error.std() == pytest.approx(5.5, abs=0.5)


def test_averages_by_hand():
    assert fast_average([1, 2]) == 2 and fast_average([-1, -2]) == -1
    # -3 and -1, not -2 and -1: neighbours first.
    assert fast_average([-3, -3, -2, 0]) == -2 and fast_average([-3, -2, -3, 0]) == -1
    assert fast_average([[127] * 8, [-128] * 8]).tolist() == [127, -128]
    with pytest.raises(ValueError, match="a tree takes a power of two of values, not 6"):
        fast_average([0] * 6)


def test_corrections():
    """Right for 16 only where the fraction is left out."""
    assert [fast_bias(1 << n, "tmac") for n in range(6)] == [0, 0, 0, 0, 1, 1]
    assert [fast_bias(n, "mean") - fast_bias(n, "tmac") for n in (8, 16, 32)] == [0.75, 0, 0.25]
    rng = np.random.default_rng(1)
    a, u = rng.standard_normal((8, 512)), rng.integers(0, 16, (512, 16))
    exact = a @ (u - 8.0)
    errors = {
        name: (tmac_product(a, u, 4, act_k=16, correction=name) - exact).mean()
        for name in ("none", "tmac", "mean")
    }
    assert errors["tmac"] == errors["mean"]
    assert abs(errors["tmac"]) < 0.2 * abs(errors["none"])
    # A unit for each of 16 lookups and 8 groups, halved, times 1 + 2 + 4 + 8 planes.
    scales = tmac_tables_int8(a)[1]
    assert errors["none"] - errors["tmac"] == pytest.approx(15 * 16 / 2 * scales.sum(axis=1).mean())
    assert nmse(tmac_product(a, u, 4, act_k=8), exact) > nmse(
        tmac_product(a, u, 4, act_k=8, correction="mean"), exact
    )
    with pytest.raises(ValueError, match="correction must be mean, tmac or none, not 'some'"):
        tmac_product(a, u, 4, act_k=16, correction="some")
    with pytest.raises(ValueError, match="act_k must divide 16 lookups, not be 5"):
        tmac_product(a, u, 4, act_k=5)


def test_product_one_lookup_at_a_time():
    rng = np.random.default_rng(1)
    a, u = rng.standard_normal((2, 16)), rng.integers(0, 4, (16, 3))
    tables, scales = tmac_tables_int8(a, 8)
    for act_k in (None, 2):
        found = tmac_product(a, u, 2, 8, act_k)
        for m in range(2):
            for n in range(3):
                total = 0.0
                for group in range(2):
                    planes = 0
                    for t in range(2):
                        looked = []
                        for q in (2 * group, 2 * group + 1):
                            key = sum(int(u[4 * q + i, n] >> t & 1) << i for i in range(4))
                            looked.append(int(tables[m, q, key]))
                        tree = 2 * (looked[0] + looked[1] + 1 >> 1)
                        planes += (sum(looked) if act_k is None else tree) << t
                    ones = a[m, 8 * group : 8 * group + 8].sum()
                    total += (scales[m, group] * planes - ones) / 2
                assert found[m, n] == pytest.approx(total)

# SPDX-License-Identifier: Apache-2.0
"""Group quantisation against the formulas of the sheet, group by group in plain loops."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hw.spec.formats import parse
from sim.golden.formats import decode
from sim.golden.groups import (
    BITMOD_SPECIALS,
    quantize_asymmetric,
    quantize_bitmod,
    quantize_groups,
    quantize_razer_acts,
    quantize_razer_weights,
    quantize_scales,
)

GROUP = 16


@pytest.fixture(scope="module")
def x():
    """Normal rows of different size, and two of ties: quarters up to 6 and up to 5."""
    rng = np.random.default_rng(5)
    normal = rng.normal(size=(6, 4 * GROUP)) * np.exp2(rng.uniform(-4, 4, (6, 1)))
    ties = rng.integers(-24, 25, (2, 4 * GROUP)) / 4
    ties[1] = np.clip(ties[1], -5, 5)
    ties[:, ::GROUP] = [[6], [5]]
    return np.concatenate([normal, ties])


def rows(x):
    return x.reshape(-1, GROUP)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8, 16])
def test_symmetric_integers(x, bits):
    top = 2 ** (bits - 1) - 1
    got = quantize_groups(parse(f"int{bits}"), x, GROUP, scale_type="float64")
    scales = np.abs(rows(x)).max(axis=-1) / top
    q = np.clip(np.rint(rows(x) / scales[:, None]), -top, top)
    assert_array_equal(rows(decode(got.fmt, got.codes)[0]), q)
    assert_array_equal(got.scales.ravel(), scales)
    assert_array_equal(rows(got.values()), q * scales[:, None])


def test_full_range_integers(x):
    got = quantize_groups(parse("int4"), x, GROUP, rule="full", scale_type="float64")
    scales = np.abs(rows(x)).max(axis=-1) / 8
    expected = np.clip(np.rint(rows(x) / scales[:, None]), -8, 7)
    assert_array_equal(rows(decode(got.fmt, got.codes)[0]), expected)


def test_ternary_by_mean_magnitude(x):
    got = quantize_groups(parse("ternary"), x, rule="absmean", scale_type="float64")
    scales = np.abs(x).mean(axis=-1) + 1e-5
    assert_array_equal(got.scales[:, 0], scales)
    expected = np.clip(np.rint(x / scales[:, None]), -1, 1)
    assert_array_equal(decode(got.fmt, got.codes)[0], expected)


def test_bipolar_uses_its_odd_integers(x):
    got = quantize_groups(parse("bipolar3"), x, GROUP, scale_type="float64")
    scales = np.abs(rows(x)).max(axis=-1) / 7
    expected = np.clip(np.rint((rows(x) / scales[:, None] + 7) / 2), 0, 7)
    assert_array_equal(rows(got.codes), expected)


@pytest.mark.parametrize("scale_type", ["float16", "float32"])
def test_scales_are_stored(x, scale_type):
    got = quantize_groups(parse("e2m1"), x, GROUP, scale_type=scale_type)
    exact = (np.abs(rows(x)).max(axis=-1) / 6).reshape(-1, 4)
    assert_array_equal(got.scales, exact.astype(scale_type))
    extreme = quantize_groups(parse("int4"), [[0.0, 0.0], [1e300, 1]], scale_type=scale_type)
    assert extreme.scales.tolist() == [[1.0], [np.finfo(scale_type).max]]
    assert extreme.codes.tolist() == [[0, 0], [7, 0]]


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_asymmetric_integers(x, bits):
    x = x + 0.7
    top = 2**bits - 1
    got = quantize_asymmetric(bits, x, GROUP)
    for q, scale, zero, group in zip(
        rows(got.codes), got.scales.ravel(), got.zeros.ravel(), rows(x), strict=True
    ):
        s = (group.max() - group.min()) / top
        z = min(max(round(-group.min() / s), 0), top)
        assert (scale, zero) == (s, z)
        assert q.tolist() == [min(max(round(v / s) + z, 0), top) for v in group.tolist()]
    q = rows(got.codes) - got.zeros.reshape(-1, 1)
    assert_array_equal(rows(got.values()), q * got.scales.reshape(-1, 1))


def test_constant_group_of_asymmetric_integers():
    got = quantize_asymmetric(4, [[3.0] * 4, [-3.0] * 4, [0.0] * 4], 4)
    assert got.scales.ravel().tolist() == [1, 1, 1]
    assert got.zeros.ravel().tolist() == [0, 3, 0]
    assert got.values().tolist() == [[3] * 4, [-3] * 4, [0] * 4]


def test_scales_of_two_levels(x):
    scales = quantize_groups(parse("int4"), x, GROUP, scale_type="float64").scales
    integers, coarse = quantize_scales(scales)
    assert_array_equal(coarse, scales.max(axis=-1) / 127)
    assert_array_equal(integers, np.rint(scales / coarse[:, None]))
    assert integers.max() == 127
    assert quantize_scales([[0.0, 0.0]])[1].tolist() == [1]


def by_midpoints(grid, value):
    """Published rule: at or below a midpoint the lower neighbour."""
    grid = sorted(grid)
    for low, high in itertools.pairwise(grid):
        if value <= (low + high) / 2:
            return low
    return grid[-1]


@pytest.mark.parametrize(
    "bits, basic, specials",
    [(3, [0, 1, 2, 4], [3, -3, 6, -6]), (4, [0, 0.5, 1, 1.5, 2, 3, 4, 6], [5, -5, 8, -8])],
)
def test_bitmod(x, bits, basic, specials):
    grids = [sorted({*basic, *(-v for v in basic), s}) for s in specials]
    got = quantize_bitmod(bits, x, GROUP)
    assert len(BITMOD_SPECIALS[bits]) == 4
    values, seen = rows(got.values()), set()
    for row, group in enumerate(rows(x)):
        best = None
        for index, grid in enumerate(grids):
            scale = np.abs(group).max() / max(abs(v) for v in grid)
            scale = float(np.float16(min(max(scale, 1e-5), 1e4)))
            q = np.array([by_midpoints(grid, v / scale) for v in group.tolist()]) * scale
            error = ((q - group) ** 2).sum()
            if best is None or error < best[0]:
                best = error, index, scale, q
        assert got.selectors.ravel()[row] == best[1]
        assert got.scales.ravel()[row] == best[2]
        assert_array_equal(values[row], best[3])
        seen.add(best[1])
    assert len(seen) > 2, "the data exercise the selection"


def test_bitmod_bounds_its_scales():
    got = quantize_bitmod(3, [[1e-7, 0], [1e9, 0]], 2)
    assert got.scales.ravel().tolist() == [float(np.float16(1e-5)), 1e4]


def test_bitmod_zeros_are_positive():
    got = quantize_bitmod(4, [[0.0, -0.0, -1e-9, 6.0]], 4)
    assert got.codes.tolist() == [[0, 0, 0, 7]]
    assert quantize_bitmod(4, np.zeros((1, 4)), 4).selectors.tolist() == [[0]]


E2M1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
SIGNED = sorted({*E2M1, *(-v for v in E2M1)})
E3M3 = [m / 32 for m in range(8)] + [
    (8 + m) * 2.0 ** (e - 6) for e in range(1, 8) for m in range(8)
]
E4M3 = [c / 512 if c < 8 else (8 + c % 8) * 2.0 ** (c // 8 - 10) for c in range(127)]


def rounded(grid, value):
    """Index of the nearest member of an ascending grid of codes, ties to even."""
    distance = [abs(v - value) for v in grid]
    least = min(distance)
    return min((i for i, d in enumerate(distance) if d == least), key=lambda i: i % 2)


@pytest.mark.parametrize("scale, grid", [("ue3m3", E3M3[:63]), ("ue4m3", E4M3)])
def test_razer_weights(x, scale, grid):
    got, stored, tensor = quantize_razer_weights(x, scale=scale)
    assert tensor == np.abs(x).max() / (6 * 28)
    values, seen = rows(got.values()), set()
    for row, group in enumerate(rows(x)):
        best = None
        for index, special in enumerate([5, -5, 8, -8]):
            b = np.abs(group).max() / (max(6, abs(special)) * tensor)
            code = rounded(grid, min(max(b, 2**-5), 28))
            unit = grid[code] * tensor
            q = [by_midpoints(sorted([*SIGNED, special]), v / unit) * unit for v in group.tolist()]
            error = ((np.array(q) - group) ** 2).sum()
            if best is None or error < best[0]:
                best = error, index, code, q
        assert got.selectors.ravel()[row] == best[1]
        byte = best[1] << 6 | best[2] if scale == "ue3m3" else best[2]
        assert stored.ravel()[row] == byte
        assert_array_equal(values[row], best[3])
        seen.add(best[1])
    assert len(seen) > 2


def test_razer_acts(x):
    got, stored = quantize_razer_acts(x)
    values, seen = rows(got.values()), set()
    for row, group in enumerate(rows(x)):
        code = max(rounded(E4M3, min(np.abs(group).max() / 6, 448)), 1)
        scale, best = E4M3[code], None
        for sign, special in enumerate([5, -5]):
            q = []
            for v in (group / scale).tolist():
                plain = np.copysign(E2M1[rounded(E2M1, min(abs(v), 6))], v)
                q.append(plain if abs(v - plain) < abs(v - special) else special)
            error = ((np.array(q) - group / scale) ** 2).sum()
            if best is None or error < best[0]:
                best = error, sign, q
        assert stored.ravel()[row] == best[1] << 7 | code
        assert_array_equal(values[row], np.array(best[2]) * scale)
        seen.add(best[1])
    assert seen == {0, 1}
    assert not quantize_razer_acts(np.full((1, 16), -0.0))[0].codes.any()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: quantize_groups(parse("int4"), np.zeros(10), 4), r"\(10,\) must be a multiple"),
        (lambda: quantize_groups(parse("int4"), 1.0), r"shape \(\)"),
        (lambda: quantize_groups(parse("int4"), np.zeros(4), 0), "the group, 0"),
        (lambda: quantize_groups(parse("int4"), [np.nan]), "must be finite"),
        (lambda: quantize_groups(parse("int4"), [1.0], rule="max"), "not 'max'"),
        (lambda: quantize_groups(parse("int4"), [1.0], scale_type="int8"), "not 'int8'"),
        (lambda: quantize_bitmod(5, [1.0], 1), "3 or 4 bits, not 5"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

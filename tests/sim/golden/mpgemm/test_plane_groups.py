# SPDX-License-Identifier: Apache-2.0
"""Scaled bit planes on engines of 1-bit weights, and ShiftAddLLM's two orders of shifting."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hw.spec.formats import parse
from sim.golden.encode import encode
from sim.golden.formats import decode_float
from sim.golden.mpgemm.binary_codes import BinaryCodes, PowerSums, quantize_bcq, quantize_hlq
from sim.golden.mpgemm.plane_groups import (
    accumulator_bits,
    plane_activations,
    plane_scales,
    plane_weights,
    shifted_activations,
    shifted_lookups,
)
from sim.golden.mpgemm.table_beats import entry_width
from sim.golden.mpgemm.unit import Unit

SIZES = {"act": "int8", "rows": 2, "columns": 3, "max_k": 4096, "acc_bits": 24}

exact = np.vectorize(Fraction, otypes=[object])


def drawn(make, k=37, n=5, m=3, seed=1, **others):
    rng = np.random.default_rng(seed)
    w, a = rng.normal(size=(k, n)) / 8, rng.integers(-128, 128, (m, k))
    return make(w, 2, 16, **others), a


def group_sums(codes, a):
    """Exact sums (groups', M, N) by the engine lut with one bit: a group of K' at a time."""
    unit = Unit.of({"unit": "mpgemm", "parameters": SIZES | {
        "engine": "lut", "bits": 1, "planes": 1, "group": 4, "tables": 2, "zero_point": 0,
        "table_kind": "half", "table_source": "builder",
    }})  # fmt: skip
    wide, ones = plane_activations(codes, a), plane_weights(codes)
    assert wide.shape[1] == len(ones) and set(np.unique(ones)) <= {0, 1}
    parts = [slice(at, at + codes.group) for at in range(0, len(ones), codes.group)]
    return np.stack([unit.product(wide[:, p] & 255, ones[p])[0] for p in parts])


@pytest.mark.parametrize("k", [1, 16, 37])
@pytest.mark.parametrize(
    ("make", "others"),
    [(quantize_hlq, {}), (quantize_bcq, {"terms": None}), (quantize_bcq, {"terms": 3})],
)
def test_scaled_integers_of_planes_are_the_product(make, others, k):
    codes, a = drawn(make, k, **others)
    sums = group_sums(codes, a)
    total = (exact(plane_scales(codes))[:, None] * sums).sum(axis=0)
    bits = 2 * codes.planes - 1 if codes.sigma else codes.planes
    at = np.arange(k) // 16
    w = exact(codes.zeros)[at] + (exact(codes.scales)[at].swapaxes(0, 1) * bits).sum(axis=0)
    assert_array_equal(total, a.astype(object) @ w)


def by_the_definition(codes, a, dtype):
    """Groups of K one after the other, in each plane 0, plane 1 and so on, then the zero."""
    total = np.zeros((len(a), codes.planes.shape[2]), dtype=dtype)
    for g, at in enumerate(range(0, a.shape[1], codes.group)):
        part = slice(at, at + codes.group)
        factor = 2 if codes.sigma else 1
        zero = codes.zeros[g] - (codes.scales[g].sum(axis=0) if codes.sigma else 0)
        ones = np.ones_like(codes.planes[0, part])
        planes = [*zip(factor * codes.scales[g], codes.planes[:, part], strict=True), (zero, ones)]
        for scale, beta in planes:
            total = total + (scale * (a[:, part] @ beta)).astype(dtype)
    return total


@pytest.mark.parametrize(
    ("make", "others"), [(quantize_hlq, {}), (quantize_bcq, {"terms": 1}), (quantize_hlq, {"k": 5})]
)
def test_scaled_groups_of_an_engine_add_in_that_order(make, others):
    codes, a = drawn(make, **others)
    unit = Unit.of({"unit": "mpgemm", "parameters": SIZES | {
        "engine": "shift-add", "format": "uint1", "lanes": 4, "group_size": 16, "scale": "fp16",
        "act_scale": None, "zero_points": False, "sum": "fp32-seq",
    }})  # fmt: skip
    fmt, scales = parse("fp16"), plane_scales(codes)
    s = encode(fmt, scales)
    assert_array_equal(decode_float(fmt, s), scales)
    c, _ = unit.product(plane_activations(codes, a) & 255, plane_weights(codes), s=(s, None, None))
    found = (c.astype(np.int64) & 0xFFFFFFFF).astype(np.uint32).view(np.float32)
    assert_array_equal(found, by_the_definition(codes, a, np.float32))
    assert np.abs(found - a @ codes.values()).max() < 1e-3


@pytest.mark.parametrize("terms", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 16, 37])
def test_shiftaddllm_both_orders_of_shifting_are_exact(terms, k):
    codes, a = drawn(quantize_bcq, k, 6, terms=terms, outputs=6)
    due = a.astype(object) @ exact(codes.values())
    for twin in (shifted_lookups, shifted_activations):
        c, e = twin(codes, a)
        assert_array_equal(c * Fraction(2) ** e, due, err_msg=twin.__name__)


def test_lookups_are_shifted_for_each_column():
    codes, a = drawn(quantize_bcq, terms=2)
    c, e = shifted_lookups(codes, a)
    assert_array_equal(c * Fraction(2) ** e, a.astype(object) @ exact(codes.values()))
    with pytest.raises(ValueError, match="only for scales that all columns share"):
        shifted_activations(codes, a)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("value", [-128, 127])
def test_accumulators_hold_the_largest_sums(sign, value):
    """All activations at an end of int8, all signs equal, all terms of the largest power."""
    k, bits, terms, span = 64, 3, 2, 5
    exponents = np.full((terms, 4, bits, 1), span - 2)
    exponents[-1, 0, 0, 0] = -2
    powers = PowerSums(np.full_like(exponents, sign), exponents)
    codes = BinaryCodes(
        np.ones((bits, k, 1), dtype=np.int64), powers.values(), np.zeros((4, 1)), 16, True, powers
    )
    c, e = shifted_lookups(codes, np.full((1, k), value))
    width = accumulator_bits(entry_width("int8", 8, True), span, k, bits, terms)
    assert width == 12 + 5 + 6 + 1
    assert e == -2 and -(1 << width - 1) <= c[0, 0] < 1 << width - 1
    assert abs(c[0, 0]) >> width - 4


def test_a_zero_matrix():
    codes = quantize_bcq(np.zeros((8, 2)), 2, 8, outputs=2)
    for twin in (shifted_lookups, shifted_activations):
        assert twin(codes, np.ones((1, 8), int))[0].tolist() == [[0, 0]]


def test_groups_in_order():
    """K of 3 in groups of 2, one plane: group 0 twice, group 1 twice, filled up."""
    planes = np.array([[[1], [0], [1]]])
    codes = BinaryCodes(planes, np.array([[[2.0]], [[3.0]]]), np.array([[5.0], [7.0]]), 2)
    assert plane_activations(codes, [[1, 2, 3]]).tolist() == [[1, 2, 1, 2, 3, 0, 3, 0]]
    assert plane_activations(codes, [[1, 2, 3]], zero=9)[0, 5::2].tolist() == [9, 9]
    assert plane_weights(codes)[:, 0].tolist() == [1, 0, 1, 1, 1, 0, 1, 1]
    assert plane_scales(codes)[:, 0].tolist() == [2, 5, 3, 7]
    signed = replace(codes, sigma=True)
    assert plane_scales(signed)[:, 0].tolist() == [4, 3, 6, 4]


def test_bad_input():
    codes, a = drawn(quantize_hlq)
    with pytest.raises(ValueError, match="scales must be sums of powers of two, for signs"):
        shifted_lookups(codes, a)
    codes = quantize_bcq(np.ones((8, 1)), 1, 4)
    with pytest.raises(ValueError, match="group must be a multiple of 8 weights, not 4"):
        shifted_lookups(codes, np.ones((1, 8), int))

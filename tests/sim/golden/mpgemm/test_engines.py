# SPDX-License-Identifier: Apache-2.0
"""The engines agree: the same activations and weights, whatever the keys (A.11)."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sim.golden.mpgemm import bit_plane, codebook, lut, lut_ternary, ternary_add
from sim.golden.mpgemm.frame import unpack_out
from sim.golden.mpgemm.jobs import job_word
from sim.golden.mpgemm.products import exact_product

BASE = {"act": "int8", "rows": 2, "columns": 3, "max_k": 64, "acc_bits": 24, "zero_point": None}
LUT = {**BASE, "group": 4, "tables": 1, "table_source": "builder", "table_kind": "half"}
PLANES = {**BASE, "lanes": 8, "scheme": "twos"}
SMALL = {"bits": 2, "planes": 1}
BOOK = "codebook:" + ",".join(str(code - 8) for code in range(16))

TERNARY = [
    (lut, {**LUT, **SMALL}),
    (lut, {**LUT, **SMALL, "table_kind": "full", "tables": 2}),
    (lut, {**LUT, **SMALL, "zero_point": 1, "planes": 2}),
    (lut_ternary, {**BASE, "group": 5, "tables": 1}),
    (lut_ternary, {**BASE, "group": 3, "tables": 2}),
    (ternary_add, {**BASE, "lanes": 7}),
    (bit_plane, {**PLANES, **SMALL}),
    (bit_plane, {**PLANES, **SMALL, "scheme": "offset", "planes": 2}),
]
FOUR_BITS = [
    (lut, {**LUT, "bits": 4, "planes": 3}),
    (lut, {**LUT, "bits": 8, "planes": 8, "table_kind": "full"}),
    (bit_plane, {**PLANES, "bits": 4, "planes": 4}),
    (codebook, {**BASE, "book": BOOK, "lanes": 5}),
]


def product(engine, p, a, w):
    """C; a book's codes are 8 more than weights."""
    codes = w + 8 if engine is codebook else w
    words = {
        "act": engine.pack_act(p, a & 255, w.shape[1]),
        "wgt": engine.pack_weights(p, codes, len(a)),
    }
    streams = {"s_axis_job": {"tdata": [job_word(len(a), w.shape[1], len(w))]}}
    for name, packet in words.items():
        streams[f"s_axis_{name}"] = {"tdata": packet, "tlast": [0] * (len(packet) - 1) + [1]}
    return unpack_out(p, len(a), w.shape[1], engine.run(p, streams)["m_axis_out"])[0]


@pytest.mark.parametrize("k", [1, 30, 37, 64])
def test_products_are_equal(k):
    rng = np.random.default_rng(k)
    a = rng.integers(-128, 128, (5, k))
    for engines, low, high in ((TERNARY, -1, 2), (FOUR_BITS, -8, 8)):
        w = rng.integers(low, high, (k, 7))
        for engine, p in engines:
            found = product(engine, p, a, w).astype(np.int64)
            assert_array_equal(found, a @ w, err_msg=engine.__name__)


def test_products_beyond_the_integers_of_float64():
    a, w = np.array([[1 << 30, 1]]), np.array([[1 << 40, 1], [-1 << 40, -3]])
    assert exact_product(a, w).tolist() == [[(1 << 70) + 1, -(1 << 70) - 3]]
    assert exact_product(a, w >> 20).dtype == np.int64

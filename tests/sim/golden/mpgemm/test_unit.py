# SPDX-License-Identifier: Apache-2.0
"""One product through the model of any engine: what is refused, raw groups, scales of each kind."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sim.golden.mpgemm.pq import encode
from sim.golden.mpgemm.unit import Unit

BASE = {"act": "int8", "rows": 2, "columns": 3, "max_k": 32, "acc_bits": 24}
CUBE = BASE | {"dataflow": "cube", "format": "int4", "lanes": 2, "scale": None, "group": None}
BOOKS = BASE | {"engine": "codebook", "book": "rows", "bits": 2, "entry_bits": 6, "lanes": 3}
PQ = BASE | {"engine": "pq", "subvector": 3, "centroids": 4, "distance": "l2", "entry_bits": 5}


def unit(name, parameters):
    return Unit.of({"unit": name, "parameters": parameters})


def test_books_of_columns():
    rng = np.random.default_rng(1)
    a, codes = rng.integers(-128, 128, (3, 7)), rng.integers(0, 4, (7, 5))
    books = rng.integers(-32, 32, (5, 4))
    c, _ = unit("mpgemm", BOOKS).product(a & 255, codes, s=books)
    assert_array_equal(c, a @ books[np.arange(5), codes])


def test_product_quantisation():
    rng = np.random.default_rng(2)
    a, tables = rng.integers(-128, 128, (3, 6)), rng.integers(-16, 16, (2, 4, 5))
    centroids = rng.integers(-128, 128, (2, 4, 3))
    c, _ = unit("mpgemm", PQ).product(a & 255, tables, s=centroids & 255)
    found = encode(a.reshape(3, 2, 3), centroids, "l2")
    assert_array_equal(c, tables[np.arange(2), found].sum(axis=1))


def test_shift_add_is_an_array_with_other_names():
    found = unit("mpgemm", CUBE | {"engine": "shift-add", "group_size": 4, "sum": "int"})
    assert (found.name, found.flow, found.parameters["group"]) == ("shift-add", "in place", 4)
    rng = np.random.default_rng(3)
    a, w = rng.integers(-128, 128, (5, 9)), rng.integers(-8, 8, (9, 4))
    c, _ = found.product(a & 255, w & 15)
    assert_array_equal(c, [a[:, at : at + 4] @ w[at : at + 4] for at in (0, 4, 8)])


def test_what_is_refused():
    cube = unit("array", CUBE)
    with pytest.raises(ValueError, match="K is 33, but max_k is 32"):
        cube.product(np.ones((1, 33), int), np.ones((33, 1), int))
    with pytest.raises(ValueError, match="may have 0 bit planes at most, not 2"):
        cube.product([[1]], [[1]], bits=2)
    with pytest.raises(ValueError, match="array with these parameters takes no scales"):
        cube.product([[1]], [[1]], s=([[1]], None, None))
    with pytest.raises(ValueError, match="codebook with these parameters needs scales"):
        unit("mpgemm", BOOKS).product([[1]], [[1]])
    grouped = unit("array", CUBE | {"group": 4, "sum": "int"})
    with pytest.raises(ValueError, match="2 groups have 2 beats, not 1"):
        grouped.results(1, 1, 8, {name: [0] for name in ("tdata", "tkeep", "tuser", "tlast")})

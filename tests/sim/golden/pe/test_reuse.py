# SPDX-License-Identifier: Apache-2.0
"""Sums of the reuse architecture against the plain unit, its multiplications against sets."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hw.spec.formats import parse
from sim.golden.formats import decode
from sim.golden.pe import pe
from sim.golden.pe.reuse import multiplications, run, vectors

FORMATS = ["int2", "int4", "int8", "uint4", "sm4", "bipolar3", "ternary"]


def parameters(name, columns=8, **others):
    base = {"format": name, "act": "int8", "lanes": 1, "max_k": 64, "core": "stream"}
    return {**base, "columns": columns, **others}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("columns", [1, 2, 8, 40])
def test_against_sets_and_the_plain_unit(name, columns):
    p = parameters(name, columns)
    v = vectors(p, np.random.default_rng(1), 500)
    result = run(p, v)
    assert_array_equal(result["acc"], pe.run(p, v)["acc"])
    values, _ = decode(parse(name), v["w"])
    counts = [len({abs(x) for x in row} - {0}) for row in values.tolist()]
    expected, total = [], 0
    for count, last in zip(counts, v["last"].tolist(), strict=True):
        total += count
        if last:
            expected.append(total)
            total = 0
    assert result["mults"].tolist() == expected
    assert v["w"].shape == (500, columns)


def test_sign_is_folded_and_zero_is_free():
    rows = [[0, 0, 0, 0], [1, 15, 1, 15], [8, 8, 0, 7], [1, 2, 3, 4]]
    assert multiplications("int4", rows).tolist() == [0, 1, 2, 4]


def test_expected_number_of_distinct_weights():
    """Sheet B.9: N weights, uniform over V magnitudes, cost V (1 - (1 - 1/V)**N) products."""
    rng = np.random.default_rng(1)
    v, n = 16, 32
    found = multiplications("uint5", rng.integers(1, v + 1, (20000, n))).mean()
    assert_allclose(found, v * (1 - (1 - 1 / v) ** n), rtol=2e-3)


def test_vectors_hold_rich_and_poor_beats():
    p = parameters("int4", 8)
    v = vectors(p, np.random.default_rng(1), 300)
    counts = multiplications("int4", v["w"])
    assert counts.min() == 0 and counts.max() >= 7 and 1 in counts


def test_refusals():
    for name in ("e2m1", "int9"):
        with pytest.raises(ValueError, match=f"integer of at most 8 bits, not '{name}'"):
            multiplications(name, [0])

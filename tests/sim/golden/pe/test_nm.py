# SPDX-License-Identifier: Apache-2.0
"""N:M sparse dot products against dense ones, and the choice of the weights that stay."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hw.spec.formats import parse
from sim.golden.formats import decode
from sim.golden.pe.nm import expand, prune, ratio, run, vectors
from sim.golden.pe.pe import dot

RATIOS = [(1, 2), (1, 4), (2, 4), (2, 8), (3, 4), (4, 16)]


def parameters(n, m, **others):
    base = {"format": "int4", "act": "int8", "lanes": 2 * n, "max_k": 256, "core": "stream"}
    return {**base, "sparsity": f"{n}:{m}", **others}


@pytest.mark.parametrize(("n", "m"), RATIOS)
def test_sparse_equals_dense_of_the_expanded_weights(n, m):
    rng = np.random.default_rng(n * m)
    weights = rng.integers(-8, 8, (40, 2 * m))
    values, idx = prune(weights, n, m)
    a = rng.integers(0, 256, (40, 2 * m))
    beats = {"a": a, "w": values % 16, "idx": idx, "dense": [0] * 40, "last": [1] * 40}
    result = run(parameters(n, m), beats)
    whole = expand(values, idx, n, m)
    expected, _ = dot(parse("int4"), parse("int8"), a, whole % 16)
    assert_array_equal(result["acc"].astype(int), expected)
    assert not result["bad"].any()
    assert list(result) == ["acc", "bad"]
    # What was kept is what was there, and n of every m.
    kept = whole.reshape(40, 2, m) != 0
    assert_array_equal(whole[whole != 0], weights[whole != 0])
    assert kept.sum(axis=-1).max() <= n


@pytest.mark.parametrize(("n", "m"), [(1, 2), (1, 4), (2, 4), (2, 8), (4, 16)])
def test_dense_passes_cover_the_block(n, m):
    """M/N dense beats are one dense dot product of M weights a block; then they begin anew."""
    rng = np.random.default_rng(n * m)
    weights, a = rng.integers(0, 16, (2, 2, m)), rng.integers(0, 256, (2, 2, m))
    period = m // n
    # Beat p holds weights p*n to p*n + n - 1 of either block, and all activations again.
    w = weights.reshape(2, 2, period, n).swapaxes(1, 2).reshape(2 * period, 2 * n)
    beats = {
        "a": np.repeat(a.reshape(2, -1), period, axis=0),
        "w": w,
        "idx": rng.integers(0, m, w.shape),
        "dense": [1] * 2 * period,
        "last": [0] * (2 * period - 1) + [1],
    }
    result = run(parameters(n, m), beats)
    expected, _ = dot(parse("int4"), parse("int8"), a.reshape(-1), weights.reshape(-1))
    assert result["acc"].tolist() == [int(expected)]
    assert not result["bad"][0]


def test_passes_begin_anew_after_last_and_after_a_sparse_beat():
    p = parameters(1, 4, lanes=1)
    beats = {
        "a": [[1, 10, 100, 127]] * 7,
        "w": [[1]] * 7,
        "idx": [[2]] * 7,
        "dense": [1, 1, 1, 1, 0, 1, 1],
        "last": [0, 1, 0, 0, 0, 0, 1],
    }
    assert run(p, beats)["acc"].tolist() == [11, 11 + 100 + 11]
    beats["clr"] = [1, 0, 1, 0, 0, 0, 0]
    sums = run({**p, "core": "accumulate"}, beats)["acc"].tolist()
    assert sums == [1, 11, 1, 11, 111, 112, 122]


def test_a_block_whose_indices_do_not_ascend_adds_nothing():
    p = parameters(2, 4, act="e4m3")
    a = [[0x38, 0x38, 0x7F, 0x38] * 2] * 4
    beats = {
        "a": a,
        "w": [[1, 1, 1, 1]] * 4,
        "idx": [[0, 1, 0, 3], [1, 0, 0, 3], [2, 2, 0, 1], [2, 3, 0, 1]],
        "dense": [0] * 4,
        "last": [1] * 4,
    }
    one = 1 << 9
    result = run(p, beats)
    assert result["acc"].tolist() == [4 * one, 2 * one, 2 * one, 3 * one]
    assert result["bad"].tolist() == [False, True, True, False]
    assert result["nan"].tolist() == [False, False, False, True]


def test_dense_is_refused_where_n_does_not_divide_m():
    beats = {"a": [[1] * 8], "w": [[1] * 6], "idx": [[0, 1, 2] * 2], "dense": [1], "last": [1]}
    result = run(parameters(3, 4), beats)
    assert (result["acc"].tolist(), result["bad"].tolist()) == ([0], [True])


def test_prune_keeps_the_largest_and_of_equals_the_lower_index():
    values, idx = prune([[3, -5, 5, 1], [2, 2, -2, 2], [0, 0, 0, 7], [0, 0, 0, 0]], 2, 4)
    assert values.tolist() == [[-5, 5], [2, 2], [0, 7], [0, 0]]
    assert idx.tolist() == [[1, 2], [0, 1], [0, 3], [0, 1]]
    values, idx = prune(np.array([0.5, -0.75, 0.25, 0.0]), 1, 2)
    assert (values.tolist(), idx.tolist()) == ([-0.75, 0.25], [1, 0])
    for shape in ((3, 5), ()):
        with pytest.raises(ValueError, match="cannot keep 2 of every 4"):
            prune(np.zeros(shape), 2, 4)


@pytest.mark.parametrize("core", ["stream", "accumulate"])
@pytest.mark.parametrize(("n", "m"), RATIOS)
def test_vectors_are_legal_and_reach_the_corners(n, m, core):
    p = parameters(n, m, core=core)
    v = vectors(p, np.random.default_rng(1), 400)
    assert v["a"].shape == (400, 2 * m) and v["w"].shape == v["idx"].shape == (400, 2 * n)
    assert v["idx"].min() == 0 and v["idx"].max() == m - 1
    result = run(p, v)
    assert result["bad"].any() == (n > 1) and not result["bad"].all()
    assert v["dense"].any() and not v["dense"].all()
    if m % n == 0:
        assert (v["dense"][1:] & v["dense"][:-1]).any()
    # Every lane's product matters: another weight gives another sum somewhere.
    ints, _ = decode(parse("int4"), v["w"])
    assert (ints != 0).any(axis=0).all()


@pytest.mark.parametrize("text", ["2:6", "4:4", "0:4", "8:4", "2-4", "2:32", None])
def test_ratio_refuses(text):
    with pytest.raises(ValueError, match="sparsity must be N:M"):
        ratio({"sparsity": text})
    assert ratio({"sparsity": "2:16"}) == (2, 16)

# SPDX-License-Identifier: Apache-2.0
"""Weights with pruned bit columns: their meaning, and what pruning does to them."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sim.golden.pe.bbs import METHODS, compress, cycles, decompress, run, vectors, weights_of


def parameters(zero_columns, **others):
    base = {"format": "int8", "act": "int8", "lanes": 16, "max_k": 256, "core": "stream"}
    return {**base, "zero_columns": zero_columns, **others}


def groups(rng, count=40):
    """Groups of 32 weights of different spread and mean."""
    spread = np.exp2(rng.uniform(0, 6, (count, 1)))
    mean = rng.uniform(-60, 60, (count, 1))
    return np.clip(np.rint(rng.normal(mean, spread, (count, 32))), -128, 127).astype(np.int64)


def test_cycles():
    assert [cycles(parameters(n)) for n in (0, 2, 6)] == [8, 6, 2]
    assert cycles(parameters(None)) == 8


def test_weights_by_hand():
    # Two columns of eight pruned: one redundant above, one constant below.
    assert weights_of([0b100000, 0b011111, 0], 1, 1, 2).tolist() == [-63, 63, 1]
    assert weights_of([0b10, 0b01], 0, 127, 6).tolist() == [-129, 63]
    assert weights_of([5], 3, 0, 1).tolist() == [5]  # more redundant columns than pruned ones


@pytest.mark.parametrize("zero_columns", range(7))
def test_run_in_plain_loops(zero_columns):
    p = parameters(zero_columns)
    beats = vectors(p, np.random.default_rng(zero_columns), 120)
    got = run(p, beats)["acc"].tolist()
    due, total = [], 0
    for a, w, r, c, last in zip(*(beats[k].tolist() for k in "awrc"), beats["last"], strict=True):
        for x, stored in zip(a, w, strict=True):
            bits = 8 - zero_columns
            stored -= (stored >> bits - 1) << bits
            weight = stored * 2 ** (zero_columns - min(r, zero_columns)) + c - 128 * (c >= 64)
            total += (x - 256 * (x >= 128)) * weight
        if last:
            due.append(total)
            total = 0
    assert got == due


@pytest.mark.parametrize("zero_columns", [0, 2, 4, 6])
def test_columns_by_their_rarer_bit(zero_columns):
    """The identity of the data path: a column of ones is the sum of all less that of the zeros."""
    p = parameters(zero_columns)
    beats = vectors(p, np.random.default_rng(9), 60)
    bits = 8 - zero_columns
    a = (beats["a"] ^ 128) - 128
    total = np.zeros(60, dtype=np.int64)
    for half in (slice(0, 8), slice(8, 16)):
        whole = a[:, half].sum(axis=1)
        for column in range(bits):
            ones = beats["w"][:, half] >> column & 1
            inverted = ones.sum(axis=1) > 4
            picked = ones ^ inverted[:, None]
            assert picked.sum(axis=1).max() <= 4
            part = (a[:, half] * picked).sum(axis=1)
            part = np.where(inverted, whole - part, part)
            total += np.where(column == bits - 1, -part, part) << column
    low = zero_columns - np.minimum(beats["r"], zero_columns)
    constant = (beats["c"] ^ 64) - 64
    total = (total << low) + constant * a.sum(axis=1)
    got = run(p, {**beats, "last": np.ones(60)})["acc"]
    assert_array_equal(got, total)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("zero_columns", range(7))
def test_stored_weights_fit(method, zero_columns):
    weights = groups(np.random.default_rng(1))
    stored, r, c = compress(weights, zero_columns, method)
    assert stored.shape == weights.shape and r.shape == c.shape == (40, 1)
    assert stored.min() >= 0 and stored.max() < 1 << 8 - zero_columns
    assert r.min() >= 0 and r.max() <= min(3, zero_columns)
    assert c.min() >= 0 and c.max() < 128
    back = decompress(stored, r, c, zero_columns)
    if zero_columns == 0:
        assert abs(back - weights).max() <= (method == "zero-point")  # -128 is clipped
    p = parameters(zero_columns, lanes=32)
    a = np.random.default_rng(2).integers(-128, 128, (40, 32))
    beats = {"a": a & 255, "w": stored, "r": r[:, 0], "c": c[:, 0], "last": np.ones(40)}
    assert_array_equal(run(p, beats)["acc"], (a * back).sum(axis=1))


@pytest.mark.parametrize("zero_columns", [1, 2, 4, 6])
def test_average_group_by_group(zero_columns):
    weights = groups(np.random.default_rng(3))
    stored, r, c = compress(weights, zero_columns, "average")
    back = decompress(stored, r, c, zero_columns)
    for row, found, count, constant in zip(weights, back, r[:, 0], c[:, 0], strict=True):
        extent = max(int(row.max()), -1 - int(row.min()))
        assert count == min(zero_columns, 3, 7 - extent.bit_length())
        low = zero_columns - count
        mean = round(sum(int(v) % 2**low for v in row) / 32)  # Python rounds ties to even
        assert constant == mean
        assert found.tolist() == [int(v) // 2**low * 2**low + mean for v in row]


def test_average_of_a_tie_goes_to_even():
    for low, mean in ((0, 0), (1, 2)):  # means 0.5 and 1.5 of the low two bits
        weights = np.array([100, 101] * 16) + low
        _, r, c = compress(weights, 2, "average")
        assert (r.tolist(), c.tolist()) == ([0], [mean])


@pytest.mark.parametrize("zero_columns", [1, 3, 4, 6])
def test_no_constant_is_better(zero_columns):
    """Every constant is tried here with each weight's best stored value by exhaustion."""
    weights = groups(np.random.default_rng(4), 8)
    stored, r, c = compress(weights, zero_columns, "zero-point")
    got = ((decompress(stored, r, c, zero_columns) - weights) ** 2).sum(axis=1)
    bits = 8 - zero_columns
    for row, error, constant in zip(weights, got, c[:, 0], strict=True):
        least = []
        for shift in range(-32, 32):
            moved = np.clip(row + shift, -127, 127)
            extent = max(int(moved.max()), -1 - int(moved.min()))
            low = zero_columns - min(zero_columns, 3, 7 - extent.bit_length())
            book = np.arange(-(1 << bits - 1), 1 << bits - 1) << low
            near = book[np.abs(moved[:, None] - book).argmin(axis=1)]
            least.append(int(((near - shift - row) ** 2).sum()))
        # Of two values as near to the shifted weight, one can be nearer to a clipped weight.
        assert error == min(least) or abs(row).max() >= 96
        if error == min(least):
            shift = 64 - (int(constant) ^ 64)
            assert least[shift + 32] == error


def test_zero_point_beats_truncation_and_keeps_what_fits():
    weights = groups(np.random.default_rng(5))
    for zero_columns in (2, 4):
        errors = []
        for method in METHODS:
            found = compress(weights, zero_columns, method)
            errors.append(((decompress(*found, zero_columns) - weights) ** 2).mean())
        low = weights >> zero_columns << zero_columns
        assert max(errors) < ((low - weights) ** 2).mean()
    narrow = 20 + np.arange(32) % 8  # three bits wide beside a constant: nothing is lost
    assert_array_equal(decompress(*compress(narrow, 3, "zero-point"), 3), narrow)


def test_refusals():
    p, beats = parameters(2), {"a": [[0] * 16], "w": [[0] * 16], "r": [0], "c": [0], "last": [1]}
    for change, text in itertools.chain(
        [({"format": "int4"}, "format must be int8 with arch bbs, not 'int4'")],
        [({"act": "uint8"}, "act must be int8 with arch bbs, not 'uint8'")],
        [({"zero_columns": 7}, "zero_columns must be an integer from 0 to 6, not 7")],
        [({"max_k": 15}, "a dot product has 16 products, more than max_k")],
    ):
        with pytest.raises(ValueError, match=text):
            run({**p, **change}, beats)
    with pytest.raises(ValueError, match="w must have codes of 6 bits"):
        run(p, {**beats, "w": [[64] * 16]})
    with pytest.raises(ValueError, match=r"w must have shape \(beats, 16\)"):
        run(p, {**beats, "w": [[0] * 8]})
    with pytest.raises(ValueError, match="method must be average or zero-point, not 'mean'"):
        compress(np.zeros(32), 2, "mean")
    with pytest.raises(ValueError, match="weights must be int8"):
        compress(np.full(32, 128), 2)
    with pytest.raises(ValueError, match="33 weights are no multiple of the group, 32"):
        compress(np.zeros(33), 2)


@pytest.mark.parametrize("zero_columns", [0, 3, 6])
@pytest.mark.parametrize("beats", [1, 5, 200])
def test_vectors(zero_columns, beats):
    p = parameters(zero_columns)
    stimuli = vectors(p, np.random.default_rng(7), beats)
    assert all(len(v) == beats for v in stimuli.values())
    got = run(p, stimuli)["acc"]
    first = int(np.flatnonzero(stimuli["last"])[0]) + 1
    assert got[0] == first * 16 * 128 * 192
    if beats == 200:
        assert set(stimuli["r"].tolist()) == {0, 1, 2, 3}

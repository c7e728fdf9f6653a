# SPDX-License-Identifier: Apache-2.0
"""Bank conflicts and hazards of the butterfly engine, gone through completely."""

from itertools import pairwise

import numpy as np
import pytest

from sim.golden.butterfly.banks import (
    RULES,
    bank_of,
    compute_cycles,
    hazard_distance,
    reversed_index,
    stages,
    waits,
)

SIZES = [1 << k for k in range(3, 13)]


def conflicts(elements, lanes, rule, **options):
    """Return which beats (rows) do not meet every bank once."""
    banks = np.sort(bank_of(elements, lanes, rule, **options), axis=1)
    return (banks != np.arange(elements.shape[1])).any(axis=1)


def elements_of(stage):
    return np.concatenate([stage.upper, stage.lower], axis=1)


@pytest.mark.parametrize("lanes", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("rule", RULES)
def test_no_beat_of_any_size_meets_a_bank_twice(rule, lanes):
    for size in SIZES:
        for stage in stages(size, lanes):
            elements = elements_of(stage)
            assert np.array_equal(np.sort(elements.ravel()), np.arange(size))
            if size >= lanes:
                assert not conflicts(elements, lanes, rule).any(), (size, stage.stride)
            else:
                assert len(np.unique(bank_of(elements, lanes, rule))) == size
        rows = np.arange(size).reshape(-1, min(size, lanes))
        assert all(len(set(row)) == len(row) for row in bank_of(rows, lanes, rule).tolist())


@pytest.mark.parametrize("lanes", [2, 4, 8, 16, 32])
def test_only_rule_xor_lets_whole_beats_leave_bit_reversed(lanes):
    clashes = {rule: 0 for rule in RULES}
    for size in SIZES:
        if size >= lanes:
            elements = reversed_index(size.bit_length() - 1).reshape(-1, lanes)
            for rule in RULES:
                clashes[rule] += int(conflicts(elements, lanes, rule).sum())
    assert clashes["xor"] == 0
    assert lanes == 2 or (clashes["parity"] and clashes["popcount"])


def test_published_rotation_of_eight_bits_conflicts_at_4096():
    first, second = stages(4096, 8)[:2]
    assert conflicts(elements_of(first), 8, "popcount", row_bits=8).sum() == 512
    assert not conflicts(elements_of(second), 8, "popcount", row_bits=8).any()
    for stage in stages(2048, 8):
        assert not conflicts(elements_of(stage), 8, "popcount", row_bits=8).any()


def test_tops_in_their_own_order_conflict_and_need_another_layout():
    size, lanes = 256, 8
    stride = size // 2
    while stride >= lanes:
        tops = np.arange(size)[np.arange(size) & stride == 0].reshape(-1, lanes // 2)
        both = np.concatenate([tops, tops + stride], axis=1)
        for rule in ("parity", "popcount"):
            assert conflicts(both, lanes, rule).all()
        half = lanes // 2
        odd = np.vectorize(lambda v: v.bit_count() & 1)(both // half)
        banks = np.sort(both % half + half * odd, axis=1)
        assert (banks == np.arange(lanes)).all()
        stride //= 2


def test_unknown_rule_is_named():
    with pytest.raises(ValueError, match="banks must be one of parity, popcount, xor, not 'odd'"):
        bank_of(0, 8, "odd")


@pytest.mark.parametrize("lanes", [2, 4, 8, 16, 32])
def test_least_distance_is_what_the_schedule_shows(lanes):
    for size in SIZES:
        turns = []
        for stage in stages(size, lanes):
            turn = np.zeros(size, dtype=int)
            turn[elements_of(stage)] = np.arange(len(stage.upper))[:, np.newaxis]
            turns.append(turn)
        beats = max(1, size // lanes)
        for k, (before, after) in enumerate(pairwise(turns)):
            least = int((after + beats - before).min())
            assert least == hazard_distance(size, lanes, k), (size, k)
            if beats >> k + 1:  # the sheet's formula, where it is an integer
                assert least == beats - beats // 2 ** (k + 1)


@pytest.mark.parametrize(("size", "tolerated"), [(64, 4), (128, 8), (256, 16)])
def test_latency_that_eight_lanes_tolerate(size, tolerated):
    assert sum(waits(size, 8, tolerated)) == 0
    assert waits(size, 8, tolerated + 1)[0] == 1


def simulate(size, lanes, pipeline, idle):
    """Issue every beat; return the cycles taken, or None if an element was read too early."""
    ready = np.zeros(size, dtype=int)
    cycle = 0
    for number, stage in enumerate(stages(size, lanes)):
        cycle += idle[number - 1] if number else 0
        for elements in elements_of(stage):
            if (ready[elements] > cycle).any():
                return None
            ready[elements] = cycle + pipeline
            cycle += 1
    return cycle


@pytest.mark.parametrize("lanes", [4, 8, 32])
@pytest.mark.parametrize("size", [8, 16, 64, 128, 512])
def test_waits_are_as_long_as_they_must_be(size, lanes):
    parameters = {"lanes": lanes, "scaling": "half"}
    log2n = size.bit_length() - 1
    for pipeline in (1, 2, 5, 8, 13):
        idle = waits(size, lanes, pipeline)
        due = compute_cycles(parameters, 1, log2n, pipeline)
        assert simulate(size, lanes, pipeline, idle) == due
        for k in range(len(idle)):
            if idle[k]:
                fewer = [*idle[:k], idle[k] - 1, *idle[k + 1 :]]
                assert simulate(size, lanes, pipeline, fewer) is None


@pytest.mark.parametrize(("log2n", "cycles"), [(8, 256), (9, 576), (10, 1280), (12, 6144)])
def test_cycles_of_the_sheet(log2n, cycles):
    for scaling in ("half", "grow"):
        assert compute_cycles({"lanes": 8, "scaling": scaling}, 1, log2n, 8) == cycles
    assert compute_cycles({"lanes": 8, "scaling": "bfp"}, 0, log2n, 8) == cycles
    assert compute_cycles({"lanes": 8, "scaling": "bfp"}, 2, log2n, 8) == cycles + 8 * (log2n - 1)

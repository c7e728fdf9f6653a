# SPDX-License-Identifier: Apache-2.0
"""Engine ``lut-ternary`` against tables of sums that are looked up by the keys of A.0.2."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sim.golden.mpgemm import lut_ternary
from sim.golden.mpgemm.frame import unpack_out
from sim.golden.mpgemm.jobs import job_word
from tests.sim.golden.mpgemm.tables import Machine, jobs_of, split_out, ternary_table


def parameters(**others):
    base = {"engine": "lut-ternary", "act": "int8", "rows": 2, "columns": 3, "max_k": 40}
    base |= {"acc_bits": 16, "pipeline": 0, "target": "gates", "group": 5, "tables": 1}
    return {**base, **others}


def lookups(p):
    group, tables = p["group"], p["tables"]
    bits = {2: 4, 3: 5, 4: 7, 5: 8}[group]

    def column(a, words, c, _):
        total = 0
        for table in range(tables):
            key = words[0] >> (c * tables + table) * bits & (1 << bits) - 1
            found = ternary_table(a[table * group : (table + 1) * group])
            signed = key - (1 << bits) if key >> bits - 1 else key
            total += (1 if signed > 0 else -1) * found.get(abs(signed), 0)
        return total

    return Machine(p, group * tables, 1, column)


CASES = [
    {"columns": 5, "max_k": 20},
    {"group": 4, "act": "int4"},
    {"group": 3, "tables": 2, "rows": 1},
    {"group": 2, "tables": 3, "act": "uint8", "columns": 2},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_vectors_against_lookups(case):
    p = parameters(**case)
    streams = lut_ternary.vectors(p, np.random.default_rng(1), 12)
    jobs = jobs_of(streams)
    if p["group"] == 5:  # its tables are large
        jobs = jobs[:-1]
    outs = split_out(lut_ternary.run(p, streams))
    for (job, act, wgt), out in zip(jobs, outs, strict=False):
        c, _ = unpack_out(p, job.m, job.n, out)
        assert c.tolist() == lookups(p).run(job, act, wgt)
    assert len(outs) == 12


@pytest.mark.parametrize("group", [2, 3, 4, 5])
def test_every_key(group):
    """All keys times corner vectors; keys of no weights find nothing."""
    bits, low, high = lut_ternary.KEY_BITS[group], -128, 127
    corners = [[low] * group, [high] * group, [0] * group]
    corners += [[(low, high)[i % 2] for i in range(group)]]
    corners += [[low * (i == hot) for i in range(group)] for hot in range(group)]
    keys = np.arange(1 << bits)
    trits = lut_ternary.trits_of(keys, group)
    assert sorted(map(tuple, trits[trits.any(axis=1)])) == sorted(
        t for t in itertools.product((-1, 0, 1), repeat=group) if any(t)
    )
    for a in corners:
        table = ternary_table(a)
        assert len(table) == (3**group - 1) // 2
        for key, weights in zip(keys.tolist(), trits, strict=True):
            signed = key - (1 << bits) if key >> bits - 1 else key
            found = (1 if signed > 0 else -1) * table.get(abs(signed), 0)
            assert found == int(weights @ a)
    legal = keys[trits.any(axis=1)]
    assert_array_equal(lut_ternary.keys_of(trits[legal]), legal)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_products_and_both_ways(case):
    p = (
        parameters(**case, max_k=100)
        if "max_k" not in case
        else parameters(**{**case, "max_k": 99})
    )
    rng = np.random.default_rng(1)
    w, a = rng.integers(-1, 2, (37, 7)), rng.integers(0, 8, (5, 37))
    for padding in (None, rng):
        words = lut_ternary.pack_weights(p, w, 5, padding)
        assert_array_equal(lut_ternary.unpack_weights(p, words, 37, 7), w)
        act = lut_ternary.pack_act(p, a, 7, padding)
        streams = {"s_axis_job": {"tdata": [job_word(5, 7, 37)]}}
        for name, packet in (("s_axis_act", act), ("s_axis_wgt", words)):
            streams[name] = {"tdata": packet, "tlast": [0] * (len(packet) - 1) + [1]}
        c, _ = unpack_out(p, 5, 7, lut_ternary.run(p, streams)["m_axis_out"])
        assert_array_equal(c.astype(np.int64), a @ w)


def test_keys_by_hand():
    p = parameters(rows=1, columns=2)
    w = np.array([[1, -1], [0, -1], [0, -1], [0, -1], [1, -1], [-1, 1]])
    # 1 + 81 and -121 in a byte each, then -1 and 1.
    assert lut_ternary.pack_weights(p, w) == [0x8752, 0x01FF]
    assert lut_ternary.trits_of([121, 122, 134, 135, 128], 5).tolist() == [
        [1] * 5,
        [0] * 5,
        [0] * 5,
        [-1] * 5,
        [0] * 5,
    ]
    with pytest.raises(ValueError, match="weights must be -1 to 1, not -1 to 2"):
        lut_ternary.pack_weights(p, [[2], [-1]])


def test_stimuli():
    p = parameters(group=4)
    streams = lut_ternary.vectors(p, np.random.default_rng(1), 15)
    keys, illegal = set(), set()
    for word in streams["s_axis_wgt"]["tdata"]:
        keys |= {word >> 7 * c & 127 for c in range(3)}
    illegal = set(range(41, 128 - 40))
    assert keys == set(range(128)) and illegal < keys
    codes = [
        out["tuser"][-1] & 15
        for out in split_out(lut_ternary.run(p, lut_ternary.faulty(p, np.random.default_rng(1))))
    ]
    assert set(codes) == set(range(8))


def test_bits_are_refused():
    p = parameters()
    streams = lut_ternary.vectors(p, np.random.default_rng(1), 1)
    streams["s_axis_job"]["tdata"][0] |= 1 << 48
    assert lut_ternary.run(p, streams)["m_axis_out"]["tuser"] == [3]


def test_cycles():
    p = parameters(columns=64, tables=2)
    assert lut_ternary.cycles(p, 5, 65, 32) == 6 * 4 + 1 + 3
    assert lut_ternary.cycles({**p, "pipeline": 2}, 4, 129, 8) == 5 * 2 + 1 + 2 + 5

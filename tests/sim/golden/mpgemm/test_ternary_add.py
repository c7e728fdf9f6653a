# SPDX-License-Identifier: Apache-2.0
"""Engine ``ternary-add`` against additions, subtractions and skips one after the other."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sim.golden.mpgemm import ternary_add
from sim.golden.mpgemm.frame import pack_act, unpack_out
from sim.golden.mpgemm.jobs import job_word
from tests.sim.golden.mpgemm.tables import Machine, jobs_of, split_out


def parameters(**others):
    base = {"engine": "ternary-add", "act": "int8", "rows": 2, "columns": 3, "max_k": 40}
    base |= {"acc_bits": 16, "pipeline": 0, "target": "gates", "lanes": 4}
    return {**base, **others}


def additions(p):
    lanes = p["lanes"]

    def column(a, words, c, _):
        total = 0
        for lane in range(lanes):
            skip_not = words[0] >> 2 * (c * lanes + lane) & 1
            minus = words[0] >> 2 * (c * lanes + lane) + 1 & 1
            if skip_not:
                total += -a[lane] if minus else a[lane]
        return total

    return Machine(p, lanes, 1, column)


CASES = [{}, {"lanes": 1, "columns": 5, "act": "uint4"}, {"rows": 3, "columns": 1, "lanes": 7}]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_vectors_against_additions(case):
    p = parameters(**case)
    streams = ternary_add.vectors(p, np.random.default_rng(1), 16)
    outs = split_out(ternary_add.run(p, streams))
    for (job, act, wgt), out in zip(jobs_of(streams), outs, strict=True):
        c, _ = unpack_out(p, job.m, job.n, out)
        assert c.tolist() == additions(p).run(job, act, wgt)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_products_and_both_ways(case):
    p, rng = parameters(**case), np.random.default_rng(1)
    w, a = rng.integers(-1, 2, (37, 7)), rng.integers(0, 8, (5, 37))
    for padding in (None, rng):
        words = ternary_add.pack_weights(p, w, 5, padding)
        assert_array_equal(ternary_add.unpack_weights(p, words, 37, 7), w)
        act = pack_act(p, a, 7, padding)
        streams = {"s_axis_job": {"tdata": [job_word(5, 7, 37)]}}
        for name, packet in (("s_axis_act", act), ("s_axis_wgt", words)):
            streams[name] = {"tdata": packet, "tlast": [0] * (len(packet) - 1) + [1]}
        c, _ = unpack_out(p, 5, 7, ternary_add.run(p, streams)["m_axis_out"])
        assert_array_equal(c.astype(np.int64), a @ w)


def test_by_hand():
    p = parameters(rows=1, columns=2, lanes=2)
    assert ternary_add.pack_weights(p, [[1, -1], [-1, 0], [0, 1]]) == [0b00_11_11_01, 0b00_01_00_00]
    assert ternary_add.unpack_weights(p, [0b10_11_01_10], 2, 2).tolist() == [[0, -1], [1, 0]]
    with pytest.raises(ValueError, match="weights must be -1 to 1, not -2 to 0"):
        ternary_add.pack_weights(p, [[0], [-2]])


def test_faulty():
    p = parameters()
    out = ternary_add.run(p, ternary_add.faulty(p, np.random.default_rng(1)))
    assert {user & 15 for user in out["m_axis_out"]["tuser"]} == set(range(8))


def test_cycles():
    p = parameters(columns=64)
    assert ternary_add.cycles(p, 5, 65, 13) == 6 * 4 + 1 + 3
    assert ternary_add.cycles({**p, "pipeline": 1}, 4, 129, 4) == 5 * 2 + 1 + 2 + 4

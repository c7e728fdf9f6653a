# SPDX-License-Identifier: Apache-2.0
"""Engine ``pq`` against distances and entries one after the other, and against plain products."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sim.golden.mpgemm import pq
from sim.golden.mpgemm.frame import unpack_out
from sim.golden.mpgemm.jobs import job_word
from tests.sim.golden.mpgemm.tables import jobs_of, split_out


def parameters(**others):
    base = {"engine": "pq", "act": "int8", "rows": 2, "columns": 3, "max_k": 40}
    base |= {"acc_bits": 20, "pipeline": 0, "target": "gates", "subvector": 4, "centroids": 8}
    return {**base, "distance": "l1", "entry_bits": 6, **others}


def signed(word, at, bits):
    code = word >> at * bits & (1 << bits) - 1
    return code - (1 << bits) if code >> bits - 1 else code


def one_by_one(p, job, act, wgt, scale, seen):
    """C of a good job; ``seen`` notes ties."""
    v, size = p["subvector"], p["centroids"]
    bits = int(p["act"][3:])
    act, wgt, scale = iter(act), iter(wgt), iter(scale)
    c = [[0] * job.n for _ in range(job.m)]
    for top in range(0, job.m, p["rows"]):
        for left in range(0, job.n, p["columns"]):
            for base in range(0, job.k, v):
                a, w, near = next(act), next(wgt), next(scale)
                for r in range(min(p["rows"], job.m - top)):
                    best, found = None, None
                    for j in range(size):
                        far = 0
                        for i in range(min(v, job.k - base)):
                            apart = signed(a, r * v + i, bits) - signed(near, j * v + i, bits)
                            far += abs(apart) if p["distance"] == "l1" else apart**2
                        if far == best:
                            seen.add("tie")
                        if best is None or far < best:
                            best, found = far, j
                    for col in range(min(p["columns"], job.n - left)):
                        c[top + r][left + col] += signed(w, col * size + found, p["entry_bits"])
    assert [next(rest, None) for rest in (act, wgt, scale)] == [None] * 3
    return c


CASES = [
    {},
    {"distance": "l2", "subvector": 3, "act": "int4"},
    {"subvector": 1, "centroids": 2, "entry_bits": 2, "columns": 5},
    {"centroids": 5, "rows": 1, "distance": "l2", "entry_bits": 8},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_vectors_one_by_one(case):
    p = parameters(**case)
    streams = pq.vectors(p, np.random.default_rng(1), 14)
    outs, seen = split_out(pq.run(p, streams)), set()
    for (job, *words), out in zip(jobs_of(streams), outs, strict=True):
        c, _ = unpack_out(p, job.m, job.n, out)
        assert c.tolist() == one_by_one(p, job, *words, seen)
    assert seen == {"tie"}


@pytest.mark.parametrize("distance", ["l1", "l2"])
@pytest.mark.parametrize("k", [1, 8, 11])
def test_centroids_that_are_the_activations_give_the_plain_product(distance, k):
    """T[s][j][n] = centroid . W, as A.8 makes tables."""
    p = parameters(distance=distance, entry_bits=24, acc_bits=32)
    rng = np.random.default_rng(k)
    a, w, steps = rng.integers(-128, 128, (7, k)), rng.integers(-9, 10, (k, 5)), -(-k // 4)
    near = np.zeros((8, steps * 4), dtype=np.int64)
    near[:7, :k], near[7] = a, rng.integers(-128, 128, steps * 4)
    weights = np.zeros((steps * 4, 5), dtype=np.int64)
    weights[:k] = w
    centroids = near.reshape(8, steps, 4).swapaxes(0, 1)
    tables = centroids @ weights.reshape(steps, 4, 5)
    for padding in (None, rng):
        words = {
            "act": pq.pack_act(p, a & 255, 5, padding),
            "wgt": pq.pack_weights(p, tables, 7, padding),
            "scale": pq.pack_centroids(p, centroids & 255, (7, 5), padding),
        }
        assert_array_equal(pq.unpack_weights(p, words["wgt"], k, 5), tables)
        streams = {"s_axis_job": {"tdata": [job_word(7, 5, k)]}}
        for name, packet in words.items():
            streams[f"s_axis_{name}"] = {"tdata": packet, "tlast": [0] * (len(packet) - 1) + [1]}
        c, _ = unpack_out(p, 7, 5, pq.run(p, streams)["m_axis_out"])
        assert_array_equal(c.astype(np.int64), a @ w)


def test_elements_beyond_k_count_as_equal():
    p = parameters(subvector=2, centroids=2, rows=1, columns=1, act="int4", entry_bits=4)
    streams = {"s_axis_job": {"tdata": [job_word(1, 1, 1)]}}
    # Activation 3 and anything; centroids (4, anything) and (1, as the activation).
    for name, word in (("act", 0x73), ("wgt", 0x21), ("scale", 0x7184)):
        streams[f"s_axis_{name}"] = {"tdata": [word], "tlast": [1]}
    assert pq.run(p, streams)["m_axis_out"]["tdata"] == [1]
    streams["s_axis_job"]["tdata"] = [job_word(1, 1, 2)]
    assert pq.run(p, streams)["m_axis_out"]["tdata"] == [2]


def test_encode():
    near = [[[0, 0], [4, 0], [3, 3]]]
    a = [[[2, 0]], [[3, 1]], [[4, 4]], [[0, 3]]]
    assert pq.encode(a, near, "l1").ravel().tolist() == [0, 1, 2, 0]
    assert pq.encode([[[2, 2]]], near, "l2").tolist() == [[2]]
    assert pq.encode([[[0, 3]]], [[[3, 3], [1, 0], [2, 1]]], "l2").tolist() == [[2]]


def test_layout_by_hand():
    p = parameters(subvector=2, centroids=2, rows=1, columns=2, act="int4", entry_bits=4)
    tables = [[[1, 2, 3], [4, 5, 6]], [[-1, -2, -3], [-4, -5, -6]]]
    assert pq.pack_weights(p, tables) == [0x5241, 0xBECF, 0x0063, 0x00AD]
    assert (
        pq.pack_centroids(p, [[[1, 2], [3, 4]], [[5, 6], [7, 8]]], (1, 3)) == [0x4321, 0x8765] * 2
    )
    with pytest.raises(ValueError, match="weights must be -8 to 7, not 8 to 8"):
        pq.pack_weights(p, [[[8]]])


def test_faulty():
    p = parameters()
    streams = pq.faulty(p, np.random.default_rng(1))
    assert {user & 15 for user in pq.run(p, streams)["m_axis_out"]["tuser"]} == set(range(10))
    with pytest.raises(ValueError, match="distance must be l1 or l2, not 'l3'"):
        pq.run(parameters(distance="l3"), streams)


def test_cycles():
    p = parameters(columns=64)
    assert pq.cycles(p, 5, 65, 13) == 6 * 4 + 1 + 3
    assert pq.cycles({**p, "pipeline": 1}, 4, 129, 4) == 5 * 2 + 1 + 2 + 4

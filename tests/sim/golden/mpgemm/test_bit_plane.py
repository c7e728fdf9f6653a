# SPDX-License-Identifier: Apache-2.0
"""Engine ``bit-plane`` against popcounts of pairs of planes, as A.9 has them."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hw.spec.formats import parse
from sim.golden.formats import decode
from sim.golden.mpgemm import bit_plane
from sim.golden.mpgemm.frame import pack_act, unpack_out
from sim.golden.mpgemm.jobs import job_word
from tests.sim.golden.mpgemm.tables import jobs_of, split_out


def parameters(**others):
    base = {"engine": "bit-plane", "act": "int8", "rows": 2, "columns": 3, "max_k": 40}
    base |= {"acc_bits": 24, "pipeline": 0, "target": "gates", "bits": 4, "lanes": 8}
    base |= {"scheme": "twos", "zero_point": None}
    return {**base, "planes": others.get("bits", 4), **others}


def popcounts(p, job, act, wgt):
    """C by planes of both operands: AND of 0 and 1, XOR of -1 and +1."""
    fmt, lanes = parse(p["act"]), p["lanes"]
    own = (job.bits or p["bits"]) if p["planes"] < p["bits"] else p["bits"]
    beats = -(-own // p["planes"])
    count, plane_mask = beats * p["planes"], (1 << lanes) - 1
    zero = p["zero_point"] if p["zero_point"] is not None else 1 << p["bits"] - 1
    act, wgt = iter(act), iter(wgt)
    c = [[0] * job.n for _ in range(job.m)]
    for top in range(0, job.m, p["rows"]):
        for left in range(0, job.n, p["columns"]):
            for base in range(0, job.k, lanes):
                a, words = next(act), [next(wgt) for _ in range(beats)]
                valid = min(lanes, job.k - base)
                mask = (1 << valid) - 1
                for r in range(min(p["rows"], job.m - top)):
                    x = [
                        sum(
                            (a >> (r * lanes + lane) * fmt.bits + i & 1) << lane
                            for lane in range(lanes)
                        )
                        & mask
                        for i in range(fmt.bits)
                    ]
                    for col in range(min(p["columns"], job.n - left)):
                        w = [
                            words[t // p["planes"]] >> (col * p["planes"] + t % p["planes"]) * lanes
                            & plane_mask
                            for t in range(count)
                        ]
                        total = 0
                        for i in range(fmt.bits):
                            top_x = fmt.encoding == "twos" and i == fmt.bits - 1
                            for t in range(count):
                                if p["scheme"] == "bipolar":
                                    part = valid - 2 * ((x[i] ^ w[t]) & mask).bit_count()
                                    total += part << i + t
                                    continue
                                top_w = p["scheme"] == "twos" and t == count - 1
                                part = (x[i] & w[t]).bit_count() << i + t
                                total += -part if top_x != top_w else part
                            if p["scheme"] == "offset":
                                part = zero * x[i].bit_count() << i
                                total -= -part if top_x else part
                        c[top + r][left + col] += total
    return c


CASES = [
    {},
    {"planes": 1},
    {"planes": 3, "act": "uint4"},
    {"bits": 1, "act": "int4", "lanes": 5},
    {"scheme": "offset", "planes": 2, "bits": 3, "lanes": 3},
    {"scheme": "offset", "zero_point": 5, "act": "uint8"},
    {"scheme": "bipolar", "act": "bipolar3"},
    {"scheme": "bipolar", "act": "bipolar1", "planes": 2, "lanes": 16, "columns": 1},
    {"bits": 6, "act": "int6", "rows": 1},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_vectors_against_popcounts(case):
    p = parameters(**case)
    streams = bit_plane.vectors(p, np.random.default_rng(1), 12)
    outs = split_out(bit_plane.run(p, streams))
    jobs = jobs_of(streams)
    for (job, act, wgt), out in zip(jobs, outs, strict=True):
        c, _ = unpack_out(p, job.m, job.n, out)
        assert c.tolist() == popcounts(p, job, act, wgt)
    serial = range(p["bits"]) if p["planes"] < p["bits"] else [0]
    steps = p["planes"] if p["scheme"] == "bipolar" else 1
    assert {job.bits for job, _, _ in jobs} == set(serial[::steps])


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bits", [0, 2])
def test_products_and_both_ways(case, bits):
    p, rng = parameters(**case), np.random.default_rng(1)
    if bits and p["planes"] >= p["bits"]:
        return
    w = rng.choice(bit_plane.values_of(p, bits), (37, 7))
    a = rng.integers(0, 1 << parse(p["act"]).bits, (5, 37))
    for padding in (None, rng):
        words = bit_plane.pack_weights(p, w, 5, bits, padding)
        assert_array_equal(bit_plane.unpack_weights(p, words, 37, 7, bits), w)
        act = pack_act(p, a, 7, padding)
        streams = {"s_axis_job": {"tdata": [job_word(5, 7, 37, bits)]}}
        for name, packet in (("s_axis_act", act), ("s_axis_wgt", words)):
            streams[name] = {"tdata": packet, "tlast": [0] * (len(packet) - 1) + [1]}
        c, _ = unpack_out(p, 5, 7, bit_plane.run(p, streams)["m_axis_out"])
        assert_array_equal(c.astype(np.int64), decode(parse(p["act"]), a)[0] @ w)


def test_values():
    assert bit_plane.values_of(parameters(bits=2)).tolist() == [0, 1, -2, -1]
    assert bit_plane.values_of(parameters(planes=1), 1).tolist() == [0, -1]
    # The zero point is that of the engine, however few bits a job has.
    offset = parameters(scheme="offset", planes=1)
    assert bit_plane.values_of(offset, 2).tolist() == [-8, -7, -6, -5]
    bipolar = parameters(scheme="bipolar", act="bipolar2", planes=1)
    assert bit_plane.values_of(bipolar, 2).tolist() == [-3, -1, 1, 3]


def test_layout_by_hand():
    """Two columns of two lanes, three planes in beats of two."""
    p = parameters(rows=1, columns=2, lanes=2, bits=3, planes=2)
    w = np.array([[-4, 3], [1, -1]])
    # Codes with sign extension: 1100 and 0001, 0011 and 1111; bits 1:0 are plane 0 of column 0.
    assert bit_plane.pack_weights(p, w) == [0b11_11_00_10, 0b10_10_01_01]
    offset = {**p, "scheme": "offset"}
    # Codes 0 and 5, 7 and 3, zeros above.
    assert bit_plane.pack_weights(offset, w) == [0b11_11_00_10, 0b00_01_00_10]


def test_refusals():
    with pytest.raises(ValueError, match="weights must be -8 to 7 in steps of 1, not 8"):
        bit_plane.pack_weights(parameters(), [[-8], [8]])
    p = parameters(scheme="bipolar", act="bipolar2", bits=2)
    with pytest.raises(ValueError, match="weights must be -3 to 3 in steps of 2, not 0"):
        bit_plane.pack_weights(p, [[1], [0]])


@pytest.mark.parametrize(
    ("case", "refused"),
    [
        ({}, {1, 4, 5}),
        ({"planes": 3}, {5}),
        ({"scheme": "bipolar", "act": "bipolar2", "planes": 2}, {1, 3, 5}),
        ({"scheme": "bipolar", "act": "bipolar2", "planes": 1}, {5}),
    ],
)
def test_bits_that_are_refused(case, refused):
    p = parameters(**case)
    one = bit_plane.vectors(p, np.random.default_rng(1), 1)
    for bits in (1, 2, 3, 4, 5):
        given = {**one, "s_axis_job": {"tdata": [job_word(1, 1, 40, bits)]}}
        code = bit_plane.run(p, given)["m_axis_out"]["tuser"][-1] & 15
        if p["planes"] >= p["bits"]:
            assert code == 3
        else:
            assert (code == 3) == (bits in refused)


@pytest.mark.parametrize("case", CASES[:3] + CASES[6:8], ids=str)
def test_faulty(case):
    p = parameters(**case)
    streams = bit_plane.faulty(p, np.random.default_rng(1))
    codes = [out["tuser"][-1] & 15 for out in split_out(bit_plane.run(p, streams))]
    assert set(codes) == set(range(8))
    if p["scheme"] == "bipolar" and p["planes"] == 2:
        assert codes[0] == 3


def test_cycles():
    p = parameters(columns=64, planes=1)
    assert bit_plane.cycles(p, 5, 65, 32) == 6 * 16 + 1 + 3
    assert bit_plane.cycles(p, 5, 65, 32, 2) == 6 * 8 + 1 + 3
    assert bit_plane.cycles({**p, "planes": 4}, 4, 129, 8) == 5 * 2 + 1 + 2 + 3

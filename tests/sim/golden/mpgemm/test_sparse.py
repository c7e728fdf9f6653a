# SPDX-License-Identifier: Apache-2.0
"""Arrays of N:M weights: against the unit ``pe``, plain products of what is kept, and by hand."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hw.spec.formats import parse
from sim.golden.mpgemm import array
from sim.golden.mpgemm.cycles import cycles
from sim.golden.mpgemm.draws import joined, split
from sim.golden.mpgemm.image import pack, unpack
from sim.golden.mpgemm.jobs import Job, job_word
from sim.golden.mpgemm.sparse import (
    Sparsity,
    pack_activations,
    pack_dense,
    pack_kept,
    pruned,
    unpack_weights,
)
from sim.golden.mpgemm.unit import Unit
from sim.golden.mpgemm.words import pack_codes, unpack_codes
from sim.golden.pe import nm

BASE = {"arch": "nm", "dataflow": "cube", "format": "int4", "act": "int8", "sparsity": "2:4"}
BASE |= {"rows": 2, "columns": 3, "lanes": 4, "max_k": 96, "acc_bits": 24, "pipeline": 0}
BASE |= {"scale": None, "group": None}

RATIOS = [("2:4", 4), ("2:8", 2), ("1:4", 3), ("4:8", 8), ("3:8", 3), ("1:2", 2), ("5:16", 5)]
SHAPES = [(1, 1, 1), (2, 3, 16), (3, 4, 17), (5, 7, 41)]


def unit(**others):
    return Unit.of({"unit": "array", "parameters": BASE | others})


@pytest.mark.parametrize(("ratio", "lanes"), RATIOS)
def test_what_is_kept_times_activations(ratio, lanes):
    engine, rng = unit(sparsity=ratio, lanes=lanes), np.random.default_rng(1)
    n, m = (int(part) for part in ratio.split(":"))
    for rows, columns, k in SHAPES:
        a, w = rng.integers(-128, 128, (rows, k)), rng.integers(-8, 8, (k, columns))
        full = np.zeros((-(-k // m) * m, columns), dtype=int)
        full[:k] = w
        values, idx = nm.prune(full.T, n, m)
        c, flags = engine.product(a & 255, w & 15)
        assert_array_equal(c, a @ nm.expand(values, idx, n, m).T[:k])
        assert not flags.any()
        if engine.engine.planes:
            c, flags = engine.product(a & 255, w & 15, bits=m)
            assert_array_equal(c, a @ w)
            assert not flags.any()


@pytest.mark.parametrize("formats", [("int4", "int8"), ("e5m2", "e4m3")])
@pytest.mark.parametrize(("ratio", "lanes"), [("2:4", 4), ("3:8", 6), ("1:4", 2)])
def test_one_row_and_column_as_the_unit_pe(ratio, lanes, formats):
    """Beats with spoilt blocks, and with codes that are not finite."""
    p = BASE | {"sparsity": ratio, "lanes": lanes, "format": formats[0], "act": formats[1]}
    p |= {"rows": 1, "columns": 1, "acc_bits": 64, "max_k": 96}
    depth, fields = Sparsity.of(p).depth, Sparsity.of(p).width
    rng = np.random.default_rng(2)
    beats = nm.vectors({**p, "core": "stream"}, rng, 300)
    keep = ~beats["dense"]
    last = beats["last"][keep].astype(bool)
    last[-1] = True
    beats = {name: values[keep] for name, values in beats.items()} | {"last": last}
    due = nm.run({**p, "core": "stream", "acc_bits": 64}, beats)
    starts = np.append(0, np.flatnonzero(last)[:-1] + 1)
    act = pack_codes(beats["a"], parse(formats[1]).bits)
    bits = fields + Sparsity.of(p).index_bits
    wgt = pack_codes(beats["w"] | beats["idx"] << fields, bits)
    jobs = [
        (job_word(1, 1, (stop - start) * depth), {"s_axis_act": act[start:stop],
                                                  "s_axis_wgt": wgt[start:stop]})
        for start, stop in zip(starts, np.flatnonzero(last) + 1, strict=True)
    ]  # fmt: skip
    out = array.run({**p, "max_k": 65535}, joined(jobs))["m_axis_out"]
    flags = due["bad"] | due.get("nan", False)
    assert flags.any() != (ratio == "1:4" and formats[0] == "int4") and not flags.all()
    assert [user >> 4 for user in out["tuser"]] == flags.tolist()
    found = [data - (data >> 63 << 64) for data in out["tdata"]]
    assert found == due["acc"].tolist()


def fields_of(blocks, columns=1):
    """Beats of one column from blocks of (value, index) pairs, int4 of 2:4, two blocks a beat."""
    flat = [value & 15 | index << 4 for block in blocks for value, index in block]
    return pack_codes(np.array(flat).reshape(-1, 4 * columns), 6)


def outcome(k, wgt, beats=None, **others):
    p = BASE | {"rows": 1, "columns": 1} | others
    a = np.arange(1, k + 1)[None]
    packets = {"s_axis_act": beats or pack_activations(p, a, 1), "s_axis_wgt": wgt}
    out = array.run(p, joined([(job_word(1, 1, k), packets)]))["m_axis_out"]
    return out["tdata"][-1], out["tuser"][-1]


def test_blocks_by_hand():
    """A step has activations 1 to 8; lanes 0 and 1 belong to the first four of them."""
    good = fields_of([[(1, 0), (2, 3)], [(3, 1), (4, 2)]])
    assert outcome(8, good) == (1 * 1 + 2 * 4 + 3 * 6 + 4 * 7, 0)
    twice = fields_of([[(1, 0), (2, 3)], [(3, 1), (4, 1)]])
    assert outcome(8, twice) == (9, 16)
    falling = fields_of([[(1, 3), (2, 0)], [(3, 1), (4, 2)]])
    assert outcome(8, falling) == (46, 16)
    # A block that begins beyond K is never bad; one that reaches beyond K is, whatever it names.
    assert outcome(4, twice) == (9, 0)
    assert outcome(5, twice) == (9, 16)
    assert outcome(6, good) == (9 + 18, 0)


def test_codes_beyond_k_do_not_matter():
    """A NaN marks its column only where a weight that is kept meets an activation below K."""
    formats = {"format": "e4m3", "act": "e4m3", "acc_bits": 50}
    p = BASE | formats

    def beat(code):
        return [sum((c | i << 8) << at * 10 for at, (c, i) in
                    enumerate([(0, 0), (0, 1), (0, 0), (code, 3)]))]  # fmt: skip

    act = pack_activations(p | {"rows": 1}, np.full((1, 8), 0x38), 1)
    nan = [act[0] | 0x7F << 56]
    assert outcome(8, beat(0x7F), act, **formats)[1] == 16
    assert outcome(7, beat(0x7F), act, **formats)[1] == 0
    assert outcome(8, beat(0), nan, **formats)[1] == 16
    assert outcome(7, beat(0), nan, **formats)[1] == 0
    unmet = [act[0] | 0x7F << 48]
    assert outcome(8, beat(0), unmet, **formats)[1] == 0


def test_groups():
    """Flags of a group in raw sums, of any group in scaled ones, where NaN stays in the numbers."""
    rng = np.random.default_rng(3)
    a, w = rng.integers(0, 256, (2, 40)), rng.integers(0, 16, (40, 3))
    signed = {256: a - (a >> 7 << 8), 16: w - (w >> 3 << 4)}
    kept = pruned(BASE, w)
    whole = np.zeros_like(w)
    place = np.arange(len(kept[0]))[:, None] // 2 * 4 + kept[1]
    np.put_along_axis(whole, place, kept[0] - (kept[0] >> 3 << 4), axis=0)
    parts = [slice(at, at + 16) for at in (0, 16, 32)]
    raw = unit(group=16, sum="int", zero_point=False, act_scale=None)
    c, flags = raw.product(a, w)
    assert_array_equal(c, [signed[256][:, p] @ whole[p] for p in parts])
    assert not flags.any()
    codes = unpack_codes(raw.weights(w), 12, 6)
    codes[3, 4:6] |= 3 << 4  # the second step of group 1, column 1: both indices 3
    wgt = pack_codes(codes, 6)
    out = raw.module.run(raw.parameters, raw.job(a, wgt, 3))["m_axis_out"]
    _, flags = raw.results(2, 3, 40, out)
    assert flags.nonzero()[0].tolist() == [1, 1] and flags[1, :, 1].all()
    for scale, mode in (("int8", "exact"), ("fp16", "fp32-seq")):
        scaled = unit(group=16, scale=scale, sum=mode, zero_point=False, act_scale=None)
        streams = scaled.job(a, wgt, 3, s=(np.ones((3, 3), int), None, None))
        out = scaled.module.run(scaled.parameters, streams)["m_axis_out"]
        assert [user >> 4 for user in out["tuser"]] == [2, 2]
    nan = unit(group=16, scale="fp16", sum="fp32-seq", zero_point=False, act_scale=None)
    c, flags = nan.product(a, w, s=(np.full((3, 3), 0x7E00), None, None))
    assert set(c.ravel()) == {0x7FC00000} and not flags.any()


def test_pruning():
    """The two largest of four, the lower of equals, lowest free places for zeros."""
    w = np.array([[5, 0, 1], [-6, 0, -1], [7, 3, 1], [1, 0, 1], [2, 0, 0]])
    codes, idx = pruned(BASE, w & 15)
    assert (codes - (codes >> 3 << 4)).T.tolist() == [[-6, 7, 2, 0], [0, 3, 0, 0], [1, -1, 0, 0]]
    assert idx.T.tolist() == [[1, 2, 0, 1], [0, 2, 0, 1], [0, 1, 0, 1]]
    special = {**BASE, "format": "e4m3"}
    assert pruned(special, [[0x7E], [0x7E], [0x7F], [0x7E]])[1].T.tolist() == [[0, 2]]


def test_what_is_refused():
    with pytest.raises(ValueError, match="of block 1 of column 0 must ascend, not be 2, 2"):
        pack_kept(BASE, (np.ones((4, 1), int), [[0], [1], [2], [2]]))
    with pytest.raises(ValueError, match="indices must be 0 to 3, not 0 to 4"):
        pack_kept(BASE, (np.ones((2, 1), int), [[0], [4]]))
    odd = BASE | {"sparsity": "3:8", "lanes": 3}
    with pytest.raises(ValueError, match="an array of 3:8 has no dense jobs"):
        pack_dense(odd, [[1]])
    engines = {"2:4": {0, 4}, "3:8": {0}, "1:2": {0, 2}, "2:16": {0}, "2:8": {0, 8}}
    for ratio, legal in engines.items():
        engine = unit(sparsity=ratio, lanes=int(ratio[0])).engine
        taken = {bits for bits in range(16) if not engine.refusal(Job(1, 1, 1, bits))}
        assert taken == legal


def test_weights_come_back():
    p, rng = BASE | {"sparsity": "2:8", "lanes": 4}, np.random.default_rng(4)
    w = rng.integers(0, 16, (21, 5)) * (rng.random((21, 5)) < 0.2)
    back = unpack_weights(p, pack_kept(p, pruned(p, w)), 21, 5)
    sparse = np.add.reduceat(w != 0, [0, 8, 16]).repeat([8, 8, 5], axis=0) <= 2
    assert_array_equal(back[sparse], w[sparse])
    image = pack({"unit": "array", "parameters": p}, w, 8)
    assert_array_equal(unpack({"unit": "array", "parameters": p}, image).matrix(), w)
    with pytest.raises(ValueError, match="packed for sparsity 2:8, not None"):
        unpack({"unit": "array", "parameters": {**p, "sparsity": None}}, image)


@pytest.mark.parametrize(("ratio", "lanes"), [("2:4", 4), ("3:8", 3)])
@pytest.mark.parametrize("formats", [("int4", "int8"), ("e4m3", "e4m3"), ("ternary_i2s", "int4")])
def test_vectors_and_faults(formats, ratio, lanes):
    p = BASE | {"sparsity": ratio, "lanes": lanes, "format": formats[0], "act": formats[1]}
    p["acc_bits"] = 60
    rng = np.random.default_rng(5)
    streams = array.vectors(p, rng, 24)
    jobs = [Job.of(word) for word in streams["s_axis_job"]["tdata"]]
    assert {job.bits for job in jobs} == ({0, 4} if ratio == "2:4" else {0})
    assert len({job.k for job in jobs}) > 4
    users = array.run(p, streams)["m_axis_out"]["tuser"]
    assert not any(user & 15 for user in users)
    assert 0 < sum(user > 0 for user in users) < len(users)
    jobs = array.faulty(p, rng)
    assert len(split(jobs)) == len(jobs["s_axis_job"]["tdata"])
    assert {user & 15 for user in array.run(p, jobs)["m_axis_out"]["tuser"]} == set(range(8))


def test_cycles():
    """A dense job takes M / N times the steps; a sparse one as many fewer than a plain array."""
    plain = BASE | {"sparsity": None}
    for m, n, k in SHAPES:
        wide = {**plain, "lanes": 8}
        assert cycles(BASE, m, n, k) == cycles(wide, m, n, k)
        if k % 8 == 0:
            assert cycles(BASE, m, n, k, 4) == cycles(plain, m, n, k)

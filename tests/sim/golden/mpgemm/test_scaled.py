# SPDX-License-Identifier: Apache-2.0
"""Scaled groups of arrays against plain arithmetic of numpy and Python."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hw.spec.formats import parse
from hw.spec.gemm import ERRORS
from sim.golden.formats import decode_float, legal_codes
from sim.golden.mpgemm import array
from sim.golden.mpgemm.cycles import cycles
from sim.golden.mpgemm.draws import joined
from sim.golden.mpgemm.draws import split as jobs_of
from sim.golden.mpgemm.jobs import Job, job_word, out_bits
from sim.golden.mpgemm.scale_beats import pack_scales
from sim.golden.mpgemm.scaled import group_steps, out_width
from sim.golden.pe.operands import operands

SHAPES = [(1, 1, 1), (2, 3, 8), (3, 4, 9), (5, 7, 3), (4, 3, 16), (3, 2, 29)]


def parameters(mode, scale=None, act_scale=None, zero_point=False, **others):
    base = {"dataflow": "cube", "format": "int4", "act": "int8", "arch": "multiply", "rows": 2}
    base |= {"columns": 3, "lanes": 2, "max_k": 40, "acc_bits": 16, "pipeline": 0, "group": 8}
    return base | {
        "sum": mode, "scale": scale, "act_scale": act_scale, "zero_point": zero_point, **others
    }  # fmt: skip


def job(p, rng, m, n, k, scales=None, specials=False):
    """Operands and scales of a job, and its packets."""
    weight, act = operands(p)
    a, w = rng.choice(act.codes, (m, k)), rng.choice(weight.codes, (k, n))
    groups = -(-k // p["group"])
    s, t = (
        rng.choice(_finite(p[name], specials) if p[name] else [0], (groups, size))
        for name, size in (("scale", n), ("act_scale", m))
    )
    z = rng.integers(-128, 128, (groups, n))
    act_beats, wgt_beats = array.pack(p, a, w, rng)
    packets = {"s_axis_act": act_beats, "s_axis_wgt": wgt_beats}
    if p["scale"]:
        packets["s_axis_scale"] = pack_scales(p, m, s, z, t, rng)
    return (a, w, s, z, t), (job_word(m, n, k), packets)


def _finite(name, specials):
    codes = legal_codes(parse(name))
    return codes if specials else codes[np.isfinite(decode_float(parse(name), codes))]


def by_the_definition(p, given, dtype):
    """The sums by the formula, each group rounded to ``dtype``, then added in that type."""
    a, w, s, z, t = given
    weight, act = operands(p)
    ia, iw = act.decode(a)[0].astype(object), weight.decode(w)[0].astype(object)
    unit = 2.0 ** (weight.lam + act.lam) if dtype is np.float32 else 1
    total = np.zeros((a.shape[0], w.shape[1]), dtype=dtype)
    for g, start in enumerate(range(0, a.shape[1], p["group"])):
        part = slice(start, start + p["group"])
        value = ia[:, part] @ iw[part]
        if p["zero_point"]:
            value = value - np.outer(ia[:, part].sum(axis=1), z[g])
        for name, codes in (("scale", s[g][None, :]), ("act_scale", t[g][:, None])):
            if p[name]:
                reals = decode_float(parse(p[name]), codes)
                value = value * (reals if dtype is np.float32 else reals.astype(int).astype(object))
        total = total + (value * unit).astype(dtype)
    return total


def results(p, m, n, out, bits):
    """Fields (m, n) of a job's beats, as they are."""
    c, nan = array.unpack({**p, "acc_bits": bits}, m, n, out)
    return c, nan


@pytest.mark.parametrize("zero_point", [False, True])
@pytest.mark.parametrize("act_scale", [None, "e8m0", "ue4m3"])
@pytest.mark.parametrize("scale", ["fp16", "e8m0", "ue4m3"])
def test_sums_in_fp32(scale, act_scale, zero_point):
    p = parameters("fp32-seq", scale, act_scale, zero_point)
    rng = np.random.default_rng(1)
    made = [job(p, rng, *shape) for shape in SHAPES]
    outs = split(array.run(p, joined(packets for _, packets in made)))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for (m, n, _), (given, _), out in zip(SHAPES, made, outs, strict=True):
            c, nan = results(p, m, n, out, 32)
            due = by_the_definition(p, given, np.float32)
            codes = np.where(np.isnan(due), 0x7FC00000, due.view(np.int32))
            assert_array_equal(c.astype(np.int64), codes)
            assert not nan.any()


@pytest.mark.parametrize("zero_point", [False, True])
@pytest.mark.parametrize("act_scale", [None, "int8"])
@pytest.mark.parametrize("flow", ["broadcast", "os"])
def test_exact_sums(flow, act_scale, zero_point):
    lanes = {"lanes": 1 if flow == "broadcast" else 4}
    p = parameters("exact", "int8", act_scale, zero_point, dataflow=flow, **lanes)
    rng = np.random.default_rng(1)
    made = [job(p, rng, *shape) for shape in SHAPES]
    outs = split(array.run(p, joined(packets for _, packets in made)))
    for (m, n, _), (given, _), out in zip(SHAPES, made, outs, strict=True):
        c, _ = results(p, m, n, out, out_width(p))
        assert_array_equal(c, by_the_definition(p, given, object))


def test_groups_as_they_are():
    p = parameters("int")
    rng = np.random.default_rng(1)
    (a, w, *_), packets = job(p, rng, 3, 4, 19)
    out = array.run(p, joined([packets]))["m_axis_out"]
    weight, act = operands(p)
    ia, iw = act.decode(a)[0], weight.decode(w)[0]
    due = []
    for rows in (slice(0, 2), slice(2, 3)):
        for columns in (slice(0, 3), slice(3, 4)):
            for part in (slice(0, 8), slice(8, 16), slice(16, 19)):
                due += [list(row) for row in ia[rows, part] @ iw[part, columns]]
    found = []
    for data, keep in zip(out["tdata"], out["tkeep"], strict=True):
        fields = [data >> 16 * at & 0xFFFF for at in range(keep.bit_length() // 2)]
        found.append([field - (field >> 15 << 16) for field in fields])
    assert found == due
    assert out["tlast"] == [0] * (len(due) - 1) + [1]


def test_layout_by_hand():
    p = parameters("exact", "int8", "ue4m3", True, rows=2, columns=3)
    s, z, t = [[1, 2, 3, 4], [5, 6, 7, 8]], [[-1, -2, -3, -4], [9, 10, 11, 12]], [[80], [81]]
    assert pack_scales(p, 1, s, z, t) == [
        0x00_50_FD_FE_FF_03_02_01, 0x00_51_0B_0A_09_07_06_05,
        0x00_50_00_00_FC_00_00_04, 0x00_51_00_00_0C_00_00_08,
    ]  # fmt: skip


@pytest.mark.parametrize("mode", ["exact", "fp32-seq"])
@pytest.mark.parametrize("of", ["scale", "act_scale", "format"])
def test_what_is_not_finite(mode, of):
    """A NaN in the second of two groups; in an exact sum it counts as 0."""
    formats = {"scale": "int8", "act_scale": "int8", "format": "e5m2"}
    formats[of] = "ue4m3" if of != "format" else "e5m2"
    p = parameters(mode, act="int4", acc_bits=40, **formats)
    a, w = np.ones((2, 16), dtype=int), np.full((16, 3), 0x3C)  # 1, whose integer is 2**16
    s, t = (np.full((2, size), 56 if formats[name] == "ue4m3" else 1)
            for name, size in (("scale", 3), ("act_scale", 2)))  # fmt: skip
    where = {"scale": (s, (1, 2)), "act_scale": (t, (1, 1)), "format": (w, (9, 2))}[of]
    where[0][where[1]] = 0x7F
    marks = np.zeros((2, 3), dtype=bool)
    marks[(1,) if of == "act_scale" else (slice(None), 2)] = True
    act_beats, wgt_beats = array.pack(p, a, w)
    packets = {"s_axis_act": act_beats, "s_axis_wgt": wgt_beats}
    packets["s_axis_scale"] = pack_scales(p, 2, s, None, t)
    out = array.run(p, joined([(job_word(2, 3, 16), packets)]))["m_axis_out"]
    width = out_width(p)
    c, nan = results(p, 2, 3, out, width)
    if mode == "fp32-seq":
        assert not nan.any()
        assert_array_equal(c == 0x7FC00000, marks)
        assert set(c[~marks]) == {int(np.float32(16).view(np.int32))}
    else:
        assert_array_equal(nan, marks)
        whole = c[~marks][0]
        rest = whole * 15 // 16 if of == "format" else whole // 2
        assert set(c[marks]) == {rest}


def test_faults_of_scales():
    """Four tiles of three groups; a fault at the end of a group ends the job there."""
    p = parameters("fp32-seq", "fp16")
    rng = np.random.default_rng(1)
    _, (word, packets) = job(p, rng, 4, 6, 19)
    scale, act, wgt = (packets[f"s_axis_{name}"] for name in ("scale", "act", "wgt"))

    def outcome(**changed):
        cut = {**packets, **{f"s_axis_{name}": words for name, words in changed.items()}}
        out = array.run(p, joined([(word, cut)]))["m_axis_out"]
        assert out["tlast"] == [0] * (len(out["tlast"]) - 1) + [1]
        return len(out["tdata"]) - 1, ERRORS[out["tuser"][-1]]

    assert outcome() == (7, "none")
    assert outcome(scale=scale[:2]) == (0, "scales end early")
    assert outcome(scale=scale[:4]) == (2, "scales end early")
    assert outcome(scale=scale[:11]) == (6, "scales end early")
    assert outcome(scale=[*scale, 0]) == (6, "scales end late")
    # Ten steps a tile: the second group of the second tile ends with step 17.
    early = {at: act[: at + 1] for at in (16, 17, 18)}
    told = [outcome(scale=scale[:5], act=words)[1] for words in early.values()]
    assert told == ["activations end early"] * 2 + ["scales end early"]
    assert outcome(scale=[*scale, 0], wgt=[*wgt, 0]) == (6, "weights end late")


def test_sums_beyond_the_accumulator_are_refused():
    p = parameters("fp32-seq", "fp16", acc_bits=10)
    act, wgt = array.pack(p, np.full((1, 8), 128), np.full((8, 1), 8))
    packets = {"s_axis_act": act, "s_axis_wgt": wgt, "s_axis_scale": [0]}
    with pytest.raises(ValueError, match="the sum 8192 does not fit 10 bits"):
        array.run(p, joined([(job_word(1, 1, 8), packets)]))


@pytest.mark.parametrize(
    ("mode", "scale", "act_scale"),
    [("fp32-seq", "fp16", "e8m0"), ("exact", "int8", "int8"), ("int", None, None)],
)
def test_vectors_and_faults(mode, scale, act_scale):
    p = parameters(mode, scale, act_scale, bool(scale))
    rng = np.random.default_rng(1)
    streams = array.vectors(p, rng, 24)
    sizes = {Job.of(word).k for word in streams["s_axis_job"]["tdata"]}
    assert {1, 7, 8, 9, 17, 40} <= sizes
    out = array.run(p, streams)["m_axis_out"]
    assert not any(user & 15 for user in out["tuser"])
    jobs = array.faulty(p, rng)
    assert len(jobs_of(jobs)) == len(jobs["s_axis_job"]["tdata"])
    codes = {user & 15 for user in array.run(p, jobs)["m_axis_out"]["tuser"]}
    assert codes == set(range(10 if scale else 8))


def test_exact_sums_reach_their_width():
    """The largest sums of the stimulus need as many bits as an output has."""
    p = parameters("exact", "int8", "int8", max_k=64, acc_bits=15)
    bits = out_bits(out_width(p))
    values = [
        field - (field >> bits - 1 << bits)
        for data in array.run(p, array.vectors(p, np.random.default_rng(1), 6))["m_axis_out"][
            "tdata"
        ]
        for field in [data >> bits * at & (1 << bits) - 1 for at in range(3)]
    ]
    assert out_width(p) - 2 <= 1 + max(map(abs, values)).bit_length() <= out_width(p)
    assert out_width({**p, "zero_point": True}) == out_width(p) + 7


def test_cycles_of_groups():
    """Ends of groups are as far apart as their steps, at least as their rows."""
    whole = parameters("int", group=None, rows=4)
    assert group_steps(parameters("int"), 19) == [4, 4, 2]
    for mode, extra in (("int", 0), ("exact", 2), ("fp32-seq", 3)):
        p = parameters(mode, rows=4)
        assert cycles(p, 8, 6, 19) == cycles(whole, 8, 6, 24) + extra
        assert cycles({**p, "group": 2}, 4, 3, 10) == cycles(whole, 4, 3, 2) + 4 * 4 + extra


def split(out):
    """Output beats of each job."""
    out = out["m_axis_out"]
    stops = [0, *(at + 1 for at, last in enumerate(out["tlast"]) if last)]
    return [{k: v[a:b] for k, v in out.items()} for a, b in pairwise(stops)]

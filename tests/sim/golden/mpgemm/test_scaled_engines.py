# SPDX-License-Identifier: Apache-2.0
"""Scaled groups of engines that are no arrays, against plain arithmetic of numpy and Python."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hw.spec.formats import parse
from sim.golden.encode import encode
from sim.golden.formats import decode, decode_float
from sim.golden.mpgemm import array
from sim.golden.mpgemm.binary_codes import quantize_bcq, quantize_hlq
from sim.golden.mpgemm.draws import joined, split
from sim.golden.mpgemm.jobs import Job
from sim.golden.mpgemm.plane_groups import plane_activations, plane_scales, plane_weights
from sim.golden.mpgemm.scale_beats import array_names, pack_scales
from sim.golden.mpgemm.scaled import group_steps
from sim.golden.mpgemm.unit import Unit

BASE = {"act": "int4", "rows": 2, "columns": 3, "max_k": 60, "acc_bits": 14, "pipeline": 0}
LUT = {"engine": "lut", "bits": 3, "planes": 2, "group": 3, "tables": 2, "zero_point": None}
LUT |= {"table_kind": "half", "table_source": "builder"}
PLANES = {"engine": "bit-plane", "bits": 3, "lanes": 6, "scheme": "twos", "zero_point": None}

#: Parameters, products of a step, and the range of weights. Groups have 12 products.
ENGINES = {
    "lut": (LUT, 6, (-4, 3)),
    "lut-full": (LUT | {"zero_point": 2, "table_kind": "full", "planes": 3}, 6, (-2, 5)),
    "lut-port": (LUT | {"table_source": "port"}, 6, (-4, 3)),
    "lut-ternary": ({"engine": "lut-ternary", "group": 3, "tables": 2}, 6, (-1, 1)),
    "ternary-add": ({"engine": "ternary-add", "lanes": 4}, 4, (-1, 1)),
    "bit-plane": (PLANES, 6, (-4, 3)),
    "bit-plane-serial": (PLANES | {"planes": 1, "scheme": "offset"}, 6, (-4, 3)),
    "codebook": ({"engine": "codebook", "book": "nf4", "lanes": 3}, 3, (0, 15)),
}

SHAPES = [(1, 1, 1), (2, 3, 12), (3, 4, 13), (5, 7, 3), (3, 2, 29)]


def unit(name, mode=None, scale=None, act_scale=None, zero=False, **others):
    chosen, _, _ = ENGINES[name]
    groups = {"group_size": 12, "scale": scale, "act_scale": act_scale, "zero_points": zero}
    if name == "codebook":
        others = {"acc_bits": 24, **others}
    return Unit.of(
        {"unit": "mpgemm", "parameters": {**BASE, **chosen, **groups, "sum": mode, **others}}
    )


def drawn(name, rng, m, n, k):
    """Activations (codes), weights (codes of a book), and the integers of both."""
    low, high = ENGINES[name][2]
    a, w = rng.integers(0, 16, (m, k)), rng.integers(low, high + 1, (k, n))
    values = decode(parse("nf4"), w)[0] if name == "codebook" else w
    return a, w, a - (a >> 3 << 4), values


def parts_of(k, group=12):
    return [slice(at, at + group) for at in range(0, k, group)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ENGINES)
def test_groups_as_they_are(name, shape):
    a, w, ia, iw = drawn(name, np.random.default_rng(1), *shape)
    c, nan = unit(name, "int").product(a, w)
    assert_array_equal(c, [ia[:, p] @ iw[p] for p in parts_of(shape[2])])
    assert not nan.any()


@pytest.mark.parametrize("name", ENGINES)
def test_what_lies_outside_does_not_matter(name):
    engine = unit(name, "exact", "int8", None, name not in ("codebook", "lut-port"))
    (p, module), (m, n, k), outs = (engine.parameters, engine.module), (3, 4, 29), []
    a, w, _, _ = drawn(name, np.random.default_rng(8), m, n, k)
    scales = np.arange(12).reshape(3, 4)
    for rng in (None, np.random.default_rng(7)):
        packets = {
            "s_axis_act": module.pack_act(p, a, n, rng),
            "s_axis_wgt": module.pack_weights(p, w, m, padding=rng),
            "s_axis_scale": pack_scales(p, m, scales, scales - 5, None, rng),
        }
        outs.append(module.run(p, joined([(Job(m, n, k).word, packets)])))
    assert outs[0] == outs[1]


@pytest.mark.parametrize("act_scale", [None, "int8"])
@pytest.mark.parametrize("name", ENGINES)
def test_exact_sums(name, act_scale):
    zero = name not in ("codebook", "lut-port")
    engine = unit(name, None, "int8", act_scale, zero)
    rng = np.random.default_rng(2)
    for m, n, k in SHAPES:
        a, w, ia, iw = drawn(name, rng, m, n, k)
        groups = len(parts_of(k))
        s, t = rng.integers(-128, 128, (groups, n)), rng.integers(-128, 128, (groups, m))
        z = rng.integers(-128, 128, (groups, n))
        found, _ = engine.product(a, w, s=(s & 255, z, t & 255))
        due = sum(
            (ia[:, p] @ iw[p] - zero * np.outer(ia[:, p].sum(axis=1), z[g]))
            * s[g]
            * (t[g][:, None] if act_scale else 1)
            for g, p in enumerate(parts_of(k))
        )
        assert_array_equal(found, due)


@pytest.mark.parametrize("name", ENGINES)
def test_sums_in_fp32(name):
    """Each group is rounded to binary32, then added in that type."""
    engine = unit(name, None, "fp16", None, name not in ("codebook", "lut-port"))
    zero, fmt = engine.parameters["zero_points"], parse("fp16")
    lam = parse("nf4").lam if name == "codebook" else 0
    rng = np.random.default_rng(3)
    for m, n, k in SHAPES:
        a, w, ia, iw = drawn(name, rng, m, n, k)
        groups = len(parts_of(k))
        reals, z = rng.normal(size=(groups, n)), rng.integers(-128, 128, (groups, n))
        s = encode(fmt, reals)
        found, _ = engine.product(a, w, s=(s, z, None))
        due = np.zeros((m, n), dtype=np.float32)
        for g, p in enumerate(parts_of(k)):
            value = ia[:, p] @ iw[p] - zero * np.outer(ia[:, p].sum(axis=1), z[g])
            due = due + (value * 2.0**lam * decode_float(fmt, s[g])).astype(np.float32)
        assert_array_equal(found.astype(np.int64), due.view(np.int32))


@pytest.mark.parametrize("name", ["lut", "bit-plane-serial"])
def test_fewer_planes(name):
    engine, rng = unit(name, None, "int8"), np.random.default_rng(4)
    low = -4 if ENGINES[name][0].get("scheme") == "offset" else -1
    a, w = rng.integers(0, 16, (3, 30)), rng.integers(low, low + 2, (30, 4))
    s, ia = rng.integers(-128, 128, (3, 4)), a - (a >> 3 << 4)
    found, _ = engine.product(a, w, bits=1 if low == -4 else 2, s=(s & 255, None, None))
    assert_array_equal(found, sum(ia[:, p] @ w[p] * s[g] for g, p in enumerate(parts_of(30))))


def test_activations_that_are_not_finite():
    """A NaN marks its row of an exact sum and is one in binary32."""
    for scale, nan in (("int8", 1), ("fp16", 0)):
        one = encode(parse(scale), [[1.0]])
        engine = unit("ternary-add", None, scale, act="e4m3", acc_bits=40)
        a = np.full((2, 30), encode(parse("e4m3"), [1.0])[0])
        a[1, 25] = 0x7F
        c, marks = engine.product(a, np.ones((30, 2), int), s=(np.broadcast_to(one, (3, 2)), 0, 0))
        assert_array_equal(marks, [[0, 0], [nan, nan]])
        due = [30 << 9, 29 << 9] if nan else [np.float32(30).view(np.int32), 0x7FC00000]
        assert c[:, 0].tolist() == due


@pytest.mark.parametrize(("make", "others"), [(quantize_hlq, {}), (quantize_bcq, {"terms": 1})])
@pytest.mark.parametrize("k", [5, 37])
def test_scaled_planes_inside_of_tables(make, others, k):
    """D4: as an engine of groups of plain 1-bit products gives them, to the last bit."""
    rng = np.random.default_rng(5)
    codes, a = make(rng.normal(size=(k, 5)) / 8, 2, 16, **others), rng.integers(0, 256, (3, k))
    groups = {"group_size": 16, "scale": "fp16", "act_scale": None, "zero_points": False}
    common = BASE | groups | {"act": "int8", "max_k": 256, "acc_bits": 16, "sum": "fp32-seq"}
    tables = LUT | {"bits": 1, "planes": 1, "group": 4, "zero_point": 0}
    plain = {"engine": "shift-add", "format": "uint1", "lanes": 4}
    wide, ones = plane_activations(codes, a), plane_weights(codes)
    s = encode(parse("fp16"), plane_scales(codes))
    found = [
        Unit.of({"unit": "mpgemm", "parameters": common | chosen}).product(
            wide, ones, s=(s, None, None)
        )[0]
        for chosen in (tables, plain)
    ]
    assert_array_equal(*found)
    signed = a - (a >> 7 << 8)
    real = found[0].astype(np.int64).astype(np.int32).view(np.float32)
    assert np.abs(real - signed @ codes.values()).max() < 1e-2


@pytest.mark.parametrize("mode", ["int", "exact", "fp32-seq"])
@pytest.mark.parametrize("name", ENGINES)
def test_vectors_and_faults(name, mode):
    scale = {"int": None, "exact": "int8", "fp32-seq": "fp16"}[mode]
    engine = unit(name, mode, scale, scale, bool(scale) and name not in ("codebook", "lut-port"))
    p, module, rng = engine.parameters, engine.module, np.random.default_rng(6)
    streams = module.vectors(p, rng, 14)
    assert {11, 12, 13, 29, 60} <= {Job.of(word).k for word in streams["s_axis_job"]["tdata"]}
    assert not any(user & 15 for user in module.run(p, streams)["m_axis_out"]["tuser"])
    jobs = module.faulty(p, rng)
    assert len(split(jobs)) == len(jobs["s_axis_job"]["tdata"])
    codes = {user & 15 for user in module.run(p, jobs)["m_axis_out"]["tuser"]}
    assert codes == set(range(10 if scale else 8))


@pytest.mark.parametrize("name", ENGINES)
def test_cycles(name):
    """An array that takes as many products a step, as often as there are beats of weights."""
    engine, (_, depth, _) = unit(name, "exact", "int8"), ENGINES[name]
    p, module = engine.parameters, engine.module
    planes = -(-p["bits"] // p["planes"]) if "planes" in p else 1
    assert group_steps(array_names(p), 29, depth) == [12 // depth] * 2 + [-(-5 // depth)]
    for m, n, k in SHAPES:
        wide = {**array_names(p), "lanes": depth, "rows": 1}
        due = array.cycles(wide, m, n, k) + (planes - 1) * m * -(-n // 3) * -(-k // depth)
        assert module.cycles({**p, "rows": 1}, m, n, k) == due

# SPDX-License-Identifier: Apache-2.0
"""Matrix products of arrays against plain ones, on all dataflows, shapes and formats."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hw.spec.formats import ENUMERABLE, exact_width, parse
from sim.golden.formats import decode, legal_codes
from sim.golden.mpgemm import array
from sim.golden.mpgemm.jobs import Job, job_word
from sim.golden.pe.operands import operands

FLOWS = ["broadcast", "tree", "cube", "os", "ws", "is"]


def parameters(flow, rows=2, columns=3, lanes=2, weight="int8", act="int8", max_k=512, **others):
    base = {"dataflow": flow, "format": weight, "act": act, "max_k": max_k, "arch": "mul"}
    base |= {"rows": rows, "columns": columns, "lanes": lanes, "pipeline": 0, "target": None}
    base |= {"acc_bits": exact_width(parse(weight), parse(act), max_k)}
    return {**base, **({"depth": 4} if flow in ("ws", "is") else {}), **others}


def jobs_of(p, products, rng=None):
    """Streams of jobs from pairs of codes."""
    names = ("s_axis_act", "s_axis_wgt")
    streams = {name: {"tdata": [], "tlast": []} for name in names}
    words = []
    for a, w in products:
        words.append(job_word(a.shape[0], w.shape[1], a.shape[1]))
        for name, packet in zip(names, array.pack(p, a, w, rng), strict=True):
            streams[name]["tdata"] += packet
            streams[name]["tlast"] += [0] * (len(packet) - 1) + [1]
    return {"s_axis_job": {"tdata": words}, **streams}


def split(out):
    """Output beats of each job."""
    out = out["m_axis_out"]
    stops = [at + 1 for at, last in enumerate(out["tlast"]) if last]
    return [
        {name: values[start:stop] for name, values in out.items()}
        for start, stop in zip([0, *stops[:-1]], stops, strict=True)
    ]


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("tile", [(1, 1, 1), (2, 3, 2), (4, 2, 3)])
def test_shapes_against_numpy(flow, tile):
    p = parameters(flow, *tile)
    rng = np.random.default_rng(1)
    sizes = [[1, size - 1 or 1, size, size + 1, 2 * size + 3] for size in tile]
    shapes = [(m, n, k) for m in sizes[0] for n in sizes[1] for k in sizes[2]]
    shapes += [(5, 13, 7), (9, 1, 41)]
    values = [
        (rng.integers(-128, 128, (m, k)), rng.integers(-128, 128, (k, n))) for m, n, k in shapes
    ]
    streams = jobs_of(p, [(a & 255, w & 255) for a, w in values], rng)
    outs = split(array.run(p, streams))
    for (m, n, _), (a, w), out in zip(shapes, values, outs, strict=True):
        c, nan = array.unpack(p, m, n, out)
        assert_array_equal(c.astype(np.int64), a @ w)
        assert not nan.any()


def product_of_values(weight, act, a, w):
    """Products and marks by the definition, in Python integers."""
    (ia, na), (iw, nw) = decode(parse(act), a), decode(parse(weight), w)
    marks = na[:, :, None] | nw[None, :, :]
    products = np.where(marks, 0, ia.astype(object)[:, :, None] * iw.astype(object)[None, :, :])
    return products.sum(axis=1), marks.any(axis=1)


@pytest.mark.parametrize("role", ["weight", "act"])
@pytest.mark.parametrize("name", [name for name in ENUMERABLE if name != "bf16"])
def test_formats(name, role):
    weight, act = (name, "int8") if role == "weight" else ("e2m1", name)
    p = parameters("os", weight=weight, act=act, max_k=9)
    rng = np.random.default_rng(1)
    a = rng.choice(legal_codes(parse(act)), (3, 5))
    w = rng.choice(legal_codes(parse(weight)), (5, 4))
    c, nan = array.unpack(p, 3, 4, array.run(p, jobs_of(p, [(a, w)], rng))["m_axis_out"])
    sums, marks = product_of_values(weight, act, a, w)
    assert c.tolist() == sums.tolist()
    assert_array_equal(nan, marks)


def test_wide_activations_have_the_window_of_the_pe():
    p = parameters("ws", act="bf16", weight="bf16", max_k=4, acc_bits=400)
    ones, huge = np.full((1, 1), 0x3F80), np.full((1, 1), 0x4780)  # 1 and 2**16
    outs = split(array.run(p, jobs_of(p, [(ones, ones), (huge, ones)])))
    (one, _), (none, nan) = (array.unpack(p, 1, 1, out) for out in outs)
    weight, act = operands(p)
    assert one.tolist() == [[1 << -weight.lam - act.lam]]
    assert (none.tolist(), nan.tolist()) == ([[0]], [[True]])


def test_illegal_codes_matter_in_the_matrix_only():
    p = parameters("cube", weight="ternary", act="ternary")
    streams = jobs_of(p, [(np.array([[1, 3, 1]]), np.array([[1], [0], [3]]))])
    outside = [1 << 2 * at for at in (3, 5, 7)]
    streams["s_axis_act"]["tdata"][1] |= 2 * outside[0]
    streams["s_axis_wgt"]["tdata"][1] |= 2 * sum(outside)
    assert array.run(p, streams)["m_axis_out"]["tdata"] == [0]
    streams["s_axis_wgt"]["tdata"][0] ^= 3
    with pytest.raises(ValueError, match=r"code 2 \(10\) is illegal in ternary"):
        array.run(p, streams)


def test_sums_beyond_the_accumulator_are_refused():
    p = parameters("tree", acc_bits=16)
    full = np.full((1, 2), 128), np.full((2, 1), 128)
    with pytest.raises(ValueError, match="the sum 32768 does not fit 16 bits"):
        array.run(p, jobs_of(p, [full]))


def test_unknown_dataflow():
    with pytest.raises(ValueError, match=r"dataflow must be one of broadcast, .*, not 'ring'"):
        array.run(parameters("ring"), {})


@pytest.mark.parametrize("flow", FLOWS)
def test_a_large_job(flow):
    """64 x 64 x 256, and beats as many as the layout says."""
    p = parameters(flow, 8, 8, 4, depth=32)
    rng = np.random.default_rng(1)
    a, w = rng.integers(-128, 128, (64, 256)), rng.integers(-128, 128, (256, 64))
    streams = jobs_of(p, [(a & 255, w & 255)])
    c, _ = array.unpack(p, 64, 64, array.run(p, streams)["m_axis_out"])
    assert_array_equal(c.astype(np.int64), a @ w)
    counts = {"ws": (64 * 8 * 8, 2 * 8 * 64), "is": (2 * 8 * 64, 64 * 8 * 8)}
    found = tuple(len(streams[name]["tdata"]) for name in ("s_axis_act", "s_axis_wgt"))
    assert found == counts.get(flow, (64 * 64, 64 * 64))


def test_layout_of_ws_by_hand():
    """Two rows of two products each: four a tile; three columns of weights in tiles of two."""
    p = parameters("ws", 2, 2, 2, weight="int4", act="int4", depth=2)
    a = np.array([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 12, 13, 14, 15]])
    w = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12], [13, 14, 15]])
    act, wgt = array.pack(p, a, w)
    top, rest = [0x4321, 0x9876, 0x0005, 0x000A], [0xEDCB, 0x000F]
    left, right = [0x5241, 0xB8A7, 0x0E0D, 0], [0x0063, 0x00C9, 0x000F, 0]
    assert act == [*top, *top, *rest, *rest]
    assert wgt == [*left, *right, *left, *right]
    # The same machine, operands exchanged.
    exchanged = array.pack({**p, "dataflow": "is"}, w.T, a.T)
    assert exchanged == (wgt, act)


def test_is_gives_columns():
    p = parameters("is", 1, 2, 1, weight="int4", act="int4", max_k=1, depth=2)
    out = array.run(p, jobs_of(p, [(np.array([[1], [2], [3]]), np.array([[1, 2, 3]]))]))
    assert out["m_axis_out"] == {
        "tdata": [0x0201, 0x0402, 0x03, 0x06, 0x0603, 0x09],
        "tkeep": [3, 3, 1, 1, 3, 1],
        "tuser": [0] * 6,
        "tlast": [0, 0, 0, 0, 0, 1],
    }


@pytest.mark.parametrize("flow", FLOWS)
def test_vectors_are_good_jobs_that_reach_the_corners(flow):
    p = parameters(flow, max_k=40)
    streams = array.vectors(p, np.random.default_rng(1), 30)
    outs = split(array.run(p, streams))
    jobs = [Job.of(word) for word in streams["s_axis_job"]["tdata"]]
    assert len(jobs) == len(outs) == 30
    largest, least = 0, 0
    for job, out in zip(jobs, outs, strict=True):
        c, _ = array.unpack(p, job.m, job.n, out)
        largest, least = max(largest, c.max()), min(least, c.min())
    assert (largest, least) == (40 * 128 * 128, -40 * 128 * 127)
    tile = {"ws": (4, 3, 4), "is": (3, 4, 4)}.get(flow, (2, 3, 2))
    primes = {2: 5, 3: 7, 4: 11}
    for size, found in zip(tile, ({getattr(j, x) for j in jobs} for x in "mnk"), strict=True):
        assert {1, size - 1, size, size + 1, primes[size]} <= found
    assert {name: len(set(s["tdata"])) > 20 for name, s in streams.items()} == {
        name: True for name in ("s_axis_job", "s_axis_act", "s_axis_wgt")
    }


def test_vectors_are_the_same_for_the_same_seed():
    p = parameters("cube", weight="e4m3", act="posit8_0", max_k=40)
    first, again, other = (array.vectors(p, np.random.default_rng(seed), 5) for seed in (1, 1, 2))
    assert first == again != other
    assert any(user >> 4 for user in array.run(p, first)["m_axis_out"]["tuser"])

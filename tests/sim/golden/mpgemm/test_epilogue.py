# SPDX-License-Identifier: Apache-2.0
"""Requantisation at the end of engines: the unit ``requant``'s model on every sum, and by hand."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sim.golden import requant
from sim.golden.mpgemm.cycles import cycles
from sim.golden.mpgemm.draws import joined, split
from sim.golden.mpgemm.epilogue import draw_requant, numbers
from sim.golden.mpgemm.jobs import Job, job_word
from sim.golden.mpgemm.scale_beats import array_names, pack_scales, unpack_requant
from sim.golden.mpgemm.two_flows import of_flow
from sim.golden.mpgemm.unit import Unit

SCHEMES = ["rhu", "rha", "rne", "floor", "gemmlowp", "tflite", "rbe"]

OFF = {"requant": None, "requant_out": None, "mult_bits": None}
OFF |= {"bias": False, "out_zero_point": False}
BASE = {"act": "int4", "rows": 2, "columns": 3, "max_k": 40, "acc_bits": 14, "pipeline": 0} | OFF
CUBE = BASE | {"dataflow": "cube", "format": "int4", "lanes": 2, "scale": None, "group": None}
TERNARY = BASE | {"engine": "ternary-add", "lanes": 4}
LUT = BASE | {"engine": "lut", "bits": 4, "planes": 2, "group": 2, "tables": 2, "zero_point": None}
LUT |= {"table_kind": "half", "table_source": "builder"}
GROUPS = {"group_size": 8, "scale": "int8", "act_scale": None, "zero_points": True, "sum": "exact"}

SHAPES = [(1, 1, 1), (2, 3, 8), (3, 4, 9), (5, 7, 29)]


def unit(parameters, **others):
    p = parameters | others
    return Unit.of({"unit": "mpgemm" if "engine" in p else "array", "parameters": p})


def on(scheme, out="int8", bias=False, zero=False):
    mult = 16 if scheme == "rbe" else 32
    chosen = {"requant": scheme, "requant_out": out, "mult_bits": mult}
    return chosen | {"bias": bias, "out_zero_point": zero}


def one_by_one(p, sums, given):
    """The unit ``requant`` on every sum, with the bias added before."""
    scheme = p["requant"]
    settings = {"scheme": scheme, "in_bits": 64, "out": p["requant_out"], "lanes": 1}
    settings |= {"mult_bits": p["mult_bits"], "multiplier": None, "shift": None}
    settings |= {"zero_point": p["out_zero_point"]}
    m, n = sums.shape
    beats = {name: np.tile(values, m) for name, values in given.items()}
    x = sums.ravel()
    if p["bias"] and scheme != "rbe":
        x = x + beats["add"]
    return requant.run(settings, {**beats, "x": x[:, None]})["y"].reshape(m, n)


@pytest.mark.parametrize(
    ("out", "bias", "zero"),
    [("int8", False, False), ("uint8", True, True), ("int4", True, False), ("uint16", False, True)],
)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("base", [CUBE, TERNARY, LUT])
def test_every_sum_as_the_unit_requant(base, scheme, out, bias, zero):
    engine = unit(base, **on(scheme, out, bias and scheme != "rbe", zero))
    plain, rng = unit(base), np.random.default_rng(1)
    low = -8 if base is LUT else -1
    draw = draw_requant(engine.parameters, 14, rng)
    for m, n, k in SHAPES:
        a, w = rng.integers(0, 16, (m, k)), rng.integers(low, -low, (k, n))
        w = w & 15 if base is CUBE else w
        given, (sums, _) = draw(Job(m, n, k)), plain.product(a, w)
        found, nan = engine.product(a, w, s=(None, None, None, given))
        assert_array_equal(found, one_by_one(engine.parameters, sums, given))
        assert not nan.any()


@pytest.mark.parametrize("scheme", ["rhu", "rbe"])
def test_exact_sums_of_groups(scheme):
    plain = unit(TERNARY, **GROUPS)
    engine = unit(TERNARY, **GROUPS, **on(scheme, "int8", scheme != "rbe", True))
    rng = np.random.default_rng(2)
    draw = draw_requant(engine.parameters, 24, rng)
    for m, n, k in SHAPES:
        a, w = rng.integers(0, 16, (m, k)), rng.integers(-1, 2, (k, n))
        s, z = rng.integers(0, 256, (-(-k // 8), n)), rng.integers(-128, 128, (-(-k // 8), n))
        given = draw(Job(m, n, k))
        sums, _ = plain.product(a, w, s=(s, z, None))
        found, _ = engine.product(a, w, s=(s, z, None, given))
        assert_array_equal(found, one_by_one(engine.parameters, sums, given))


def test_by_hand():
    """Sums 6 and -6, and a bias of 1: 7/2 and -5/2 rounded up, then a zero point."""
    engine = unit(TERNARY, **on("rhu", "uint8", True, True))
    given = {"m": [1, 1], "s": [1, 1], "add": [1, 1], "z": [250, 3]}
    found, _ = engine.product([[1, 2, 3]], [[1, -1]] * 3, s=(None, None, None, given))
    assert found.tolist() == [[254, 1]]
    given = {"m": [-3, 3], "s": [0, 0], "add": [0, 0], "z": [0, -256]}
    found, _ = engine.product([[1, 2, 3]], [[1, -1]] * 3, s=(None, None, None, given))
    assert found.tolist() == [[0, 0]]


def test_layout_by_hand():
    """Of two groups the second one's beat has the numbers, above the scales of three columns."""
    p = unit(TERNARY, **GROUPS, **on("tflite", "int8", True, True)).parameters
    assert [(part.name, part.bits) for part in numbers(p)] == [
        ("m", 32), ("s", 7), ("add", 32), ("z", 9)
    ]  # fmt: skip
    s, z = [[1, 2], [3, 4]], [[5, 6], [7, 8]]
    given = {"m": [1 << 30, 5], "s": [-1, 6], "add": [-1, 7], "z": [-1, 8]}
    words = pack_scales(p, 1, s, z, requant=given)
    field = 1 << 30 | 127 << 32 | 0xFFFFFFFF << 39 | 511 << 71
    other = 5 | 6 << 32 | 7 << 39 | 8 << 71
    assert words == [0x00_06_05_00_02_01, 0x00_08_07_00_04_03 | (field | other << 80) << 48]
    (found,) = unpack_requant(array_names(p), words[1:])
    assert {name: values[:2].tolist() for name, values in found.items()} == given


def test_unsigned_results_fill_their_field():
    engine = unit(TERNARY, **on("floor", "uint8"))
    given = {"m": [1], "s": [0]}
    streams = engine.job([[7] * 36], engine.weights([[1]] * 36), 1, s=(None,) * 3 + (given,))
    out = engine.module.run(engine.parameters, streams)["m_axis_out"]
    assert out == {"tdata": [252], "tkeep": [1], "tuser": [0], "tlast": [1]}
    narrow = unit(TERNARY, **on("floor", "int4"))
    streams = narrow.job([[15] * 36], narrow.weights([[1]] * 36), 1, s=(None,) * 3 + (given,))
    assert narrow.module.run(narrow.parameters, streams)["m_axis_out"]["tdata"] == [0xF8]


def test_not_a_number_stays_one():
    engine = unit(TERNARY, act="e4m3", **on("rhu"), acc_bits=40)
    given = {"m": [1], "s": [9]}
    _, nan = engine.product([[0x38], [0x7F]], [[1]], s=(None, None, None, given))
    assert nan.tolist() == [[False], [True]]


def test_numbers_that_do_not_fit():
    with pytest.raises(ValueError, match="s must be 0 to 63, not 64 to 64"):
        unit(TERNARY, **on("rhu")).scales((None,) * 3 + ({"m": [1], "s": [64]},), 1, 1)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("base", [CUBE, TERNARY | GROUPS])
def test_vectors_and_faults(base, scheme):
    engine = unit(base, **on(scheme, "int8", False, True))
    p, module, rng = engine.parameters, engine.module, np.random.default_rng(3)
    streams = module.vectors(p, rng, 16)
    out = module.run(p, streams)["m_axis_out"]
    assert not any(user & 15 for user in out["tuser"])
    found = {data >> 8 * at & 255 for data, keep in zip(out["tdata"], out["tkeep"], strict=True)
             for at in range(keep.bit_length())}  # fmt: skip
    assert len(found) > 15 and {127, 128} <= found
    jobs = module.faulty(p, rng)
    assert len(split(jobs)) == len(jobs["s_axis_job"]["tdata"])
    assert {user & 15 for user in module.run(p, jobs)["m_axis_out"]["tuser"]} == set(range(10))


def test_one_cycle_more():
    for base, others in ((CUBE, {}), (CUBE, {"dataflow": "os"}), (TERNARY, GROUPS), (LUT, {})):
        plain, engine = unit(base, **others), unit(base, **others, **on("rne"))
        for m, n, k in SHAPES:
            if base is CUBE:
                assert cycles(engine.parameters, m, n, k) == cycles(plain.parameters, m, n, k) + 1
            else:
                module = engine.module
                due = module.cycles(plain.parameters, m, n, k) + 1
                assert module.cycles(engine.parameters, m, n, k) == due


STAYS = CUBE | {"columns": 2, "depth": 3, "load": "row"}


@pytest.mark.parametrize("scheme", ["rhu", "rbe"])
@pytest.mark.parametrize("flow", ["ws", "is"])
def test_numbers_belong_to_columns_of_c_in_every_dataflow(flow, scheme):
    own = on(scheme, "uint8", scheme != "rbe", True)
    engine, cube = unit(STAYS, dataflow=flow, **own), unit(CUBE, **own)
    rng = np.random.default_rng(3)
    draw = draw_requant(engine.parameters, 14, rng)
    for m, n, k in [*SHAPES, (7, 2, 5), (2, 8, 4), (6, 6, 12)]:
        a, w = rng.integers(0, 16, (m, k)), rng.integers(0, 16, (k, n))
        given = None, None, None, draw(Job(m, n, k))
        assert_array_equal(engine.product(a, w, s=given)[0], cube.product(a, w, s=given)[0])


def test_beats_by_hand():
    """Five rows, batches of three, two columns of the array; the numbers are those of columns."""
    given = {"m": [1, 2, 3], "s": [0, 0, 0]}
    p = STAYS | on("rhu") | {"mult_bits": 8}
    words = pack_scales(p | {"dataflow": "ws"}, 5, requant=given)
    assert words == [1 | 2 << 14, 3, 1 | 2 << 14, 3]
    words = pack_scales(p | {"dataflow": "ws"}, 3, requant=given)
    assert words == [1 | 2 << 14, 3]
    # Rows of A in tiles of two; of the five columns three are in the first batch.
    given = {"m": [1, 2, 3, 4, 5], "s": [0] * 5}
    words = pack_scales(p | {"dataflow": "is"}, 3, requant=given)
    assert words == [1, 2, 3, 1, 2, 3, 4, 5, 4, 5]


def test_when_the_beats_are_taken():
    """Of two loads of a tile of four products: with the first row, or each row, of the second."""
    p = STAYS | on("rhu") | {"lanes": 1}
    job = Job(4, 3, 4)
    schedule = unit(p, dataflow="ws").engine.schedule(job)
    assert schedule.beats["scale"] == 4
    # Of a batch of 3 rows two tiles of columns, each of two loads of 2 and 3, then of one row.
    assert [schedule.time("scale", beat) for beat in range(4)] == [7, 17, 25, 31]
    schedule = unit(p, dataflow="is").engine.schedule(Job(3, 4, 4))
    assert schedule.beats["scale"] == 8
    times = [schedule.time("scale", beat) for beat in range(8)]
    assert times == [7, 8, 9, 17, 18, 19, 25, 31]
    rows = [schedule.done(time) for time in times]
    assert rows == list(range(8))


@pytest.mark.parametrize("flow", ["ws", "is"])
def test_scales_at_fault(flow):
    """Rows of the batches before come out, and what streams is blamed first."""
    engine = unit(STAYS, dataflow=flow, **on("rhu"))
    a, w = np.ones((5, 3), int), np.ones((3, 5), int)
    given = {"m": [1] * 5, "s": [0] * 5}
    ((word, good),) = split(engine.job(a, engine.weights(w, 5), 5, s=(None, None, None, given)))
    streams, other = ("s_axis_act", "s_axis_wgt") if flow == "ws" else ("s_axis_wgt", "s_axis_act")
    scale, codes = good["s_axis_scale"], (8, 9)
    rows = {"ws": (3, 13), "is": (1, 14)}[flow]  # with the second beat, with the last one

    def run(**packets):
        jobs = joined([(word, {**good, **packets})])
        out = engine.module.run(engine.parameters, jobs)["m_axis_out"]
        return len(out["tdata"]) - 1, out["tuser"][-1]

    assert run(s_axis_scale=scale[:2]) == (rows[0], codes[0])
    assert run(s_axis_scale=scale + scale[:1]) == (rows[1], codes[1])
    assert other in good
    both = {"s_axis_scale": scale[:1], streams: good[streams][:1]}
    assert run(**both) == (0, 4 if flow == "ws" else 6)


def test_jobs_of_both_dataflows():
    p = STAYS | {"dataflow": "os-ws"} | on("rhu")
    both, given = unit(p), (None, None, None, {"m": [1] * 3, "s": [1] * 3})
    a, w = [[1, 2]] * 5, [[3, 4, 5]] * 2
    jobs = []
    for flow in (0, 1, 0):
        one = Unit.of({"unit": "array", "parameters": of_flow(p, flow)})
        ((_, packets),) = split(one.job(a, one.weights(w, 5), 3, s=given))
        jobs.append((job_word(5, 3, 2, 0, flow), packets))
    out = both.module.run(p, joined(jobs))["m_axis_out"]
    assert not any(out["tuser"]) and out["tlast"].count(1) == 3
    for at, flow in enumerate((0, 1)):
        assert cycles(p, 5, 3, 2, flow=flow) == cycles(p | OFF, 5, 3, 2, flow=flow) + 1, at

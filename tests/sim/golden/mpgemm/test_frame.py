# SPDX-License-Identifier: Apache-2.0
"""Frame of the matrix engines: jobs that are fine and not, by hand and one beat at a time."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sim.golden.mpgemm import array
from sim.golden.mpgemm.frame import pack_act, pack_wgt, plain_schedule, unpack_out
from sim.golden.mpgemm.jobs import Engine, Job, Schedule, job_word, out_bits, run_jobs
from tests.sim.golden.mpgemm.probes import OneByOne

#: One row, two columns, one product a step; fields of 16 bits.
SMALL = {
    "dataflow": "broadcast",
    "format": "int4",
    "act": "int4",
    "rows": 1,
    "columns": 2,
    "lanes": 1,
    "max_k": 4,
    "acc_bits": 10,
}


def streams(jobs, act, wgt):
    """Streams of words; a negative number is the complement of a word with TLAST."""
    packets = {
        f"s_axis_{name}": {
            "tdata": [~word if word < 0 else word for word in words],
            "tlast": [int(word < 0) for word in words],
        }
        for name, words in (("act", act), ("wgt", wgt))
    }
    return {"s_axis_job": {"tdata": jobs}, **packets}


def beats(out):
    listed = out["m_axis_out"]
    assert list(listed) == ["tdata", "tkeep", "tuser", "tlast"]
    return list(zip(*listed.values(), strict=True))


# A is [3 1; -2 1] and W is [1 2 -1; 1 -1 4], so C is [4 5 1; -1 -5 6]; four tiles of two steps.
JOB = job_word(2, 3, 2)
ACT = [3, 1, 3, 1, 0xE, 1, 0xE, 1]
WGT = [0x21, 0xF1, 0xAF, 0xA4, 0x21, 0xF1, 0x5F, 0x54]
ROWS = [
    (0x0005_0004, 0xF, 0, 0),
    (0x0000_0001, 0x3, 0, 0),
    (0xFFFB_FFFF, 0xF, 0, 0),
    (0x0000_0006, 0x3, 0, 1),
]
# 5 * [2 -8]
NEXT, NEXT_ACT, NEXT_WGT = job_word(1, 2, 1), [~5], [~0x82]
NEXT_ROW = (0xFFD8_000A, 0xF, 0, 1)


def ended(words):
    """A packet: ``words`` with TLAST on the final one."""
    return [*words[:-1], ~words[-1]]


GOOD_ACT, GOOD_WGT = ended(ACT), ended(WGT)


def error(code):
    return (0, 0, code, 1)


CASES = {
    "good": (JOB, GOOD_ACT, GOOD_WGT, ROWS),
    "no rows": (job_word(0, 3, 2), GOOD_ACT, GOOD_WGT, [error(1)]),
    "no columns": (job_word(2, 0, 2), GOOD_ACT, GOOD_WGT, [error(1)]),
    "no products": (job_word(2, 3, 0), [~7], [~0], [error(1)]),
    "k above max_k": (job_word(2, 3, 5), [~7], GOOD_WGT, [error(2)]),
    "largest k": (job_word(1, 1, 4), [1, 2, 3, ~4], [1, 1, 1, ~1], [(10, 3, 0, 1)]),
    "reserved bits": (JOB | 1 << 63, [1, ~7], [~0], [error(3)]),
    "bit planes": (job_word(2, 3, 2, bits=1), [1, ~7], [1, 2, ~0], [error(3)]),
    "zero before reserved": (job_word(0, 3, 9, reserved=1), [~7], [~0], [error(1)]),
    "k before reserved": (job_word(1, 3, 9, reserved=1), [~7], [~0], [error(2)]),
    "act early, first beat": (JOB, ended(ACT[:1]), GOOD_WGT, [error(4)]),
    "act early, end of a tile": (JOB, ended(ACT[:2]), GOOD_WGT, [error(4)]),
    "act early, after a tile": (JOB, ended(ACT[:3]), GOOD_WGT, [ROWS[0], error(4)]),
    "act early, last but one": (JOB, ended(ACT[:7]), GOOD_WGT, [*ROWS[:3], error(4)]),
    "act late by one": (JOB, [*ACT, ~1], GOOD_WGT, [*ROWS[:3], error(5)]),
    "act late by many": (JOB, [*ACT, *GOOD_ACT], GOOD_WGT, [*ROWS[:3], error(5)]),
    "wgt early": (JOB, GOOD_ACT, ended(WGT[:5]), [*ROWS[:2], error(6)]),
    "wgt late": (JOB, GOOD_ACT, [*WGT, 3, ~3], [*ROWS[:3], error(7)]),
    "both early at once": (JOB, ended(ACT[:4]), ended(WGT[:4]), [ROWS[0], error(4)]),
    "wgt first": (JOB, ended(ACT[:6]), ended(WGT[:4]), [ROWS[0], error(6)]),
    "act first": (JOB, ended(ACT[:6]), ended(WGT[:7]), [*ROWS[:2], error(4)]),
    "both late": (JOB, [*ACT, ~1], [*WGT, ~1], [*ROWS[:3], error(5)]),
    "act late, wgt early": (JOB, [*ACT, ~1], ended(WGT[:7]), [*ROWS[:3], error(6)]),
    "act early, wgt late": (JOB, ended(ACT[:7]), [*WGT, ~1], [*ROWS[:3], error(4)]),
}


@pytest.mark.parametrize("name", CASES)
def test_by_hand(name):
    job, act, wgt, expected = CASES[name]
    jobs = [NEXT, job, NEXT, job, job, NEXT]
    given = streams(
        jobs,
        [*NEXT_ACT, *act, *NEXT_ACT, *act, *act, *NEXT_ACT],
        [*NEXT_WGT, *wgt, *NEXT_WGT, *wgt, *wgt, *NEXT_WGT],
    )
    result = beats(array.run(SMALL, given))
    assert result == [NEXT_ROW, *expected, NEXT_ROW, *expected, *expected, NEXT_ROW]


@pytest.mark.parametrize(
    ("act", "wgt", "expected"),
    [
        # Nothing more comes: tiles whose beats are there come out, and errors that are seen.
        ([], [], []),
        (ACT[:3], GOOD_WGT, ROWS[:1]),
        (GOOD_ACT, WGT[:6], ROWS[:3]),
        (ACT, GOOD_WGT, [*ROWS[:3], error(5)]),
        (ended(ACT[:3]), WGT[:2], ROWS[:1]),
        (ended(ACT[:3]), WGT[:3], [ROWS[0], error(4)]),
        # The next job does not begin before the packets of this one end.
        (ended(ACT[:3]), WGT, [ROWS[0], error(4)]),
        # A packet that lacks its end swallows the next one.
        ([*ACT, *NEXT_ACT], [*GOOD_WGT, *NEXT_WGT], [*ROWS[:3], error(5)]),
        # The rest of a packet that ends early is the packet of the next job.
        (
            [*ended(ACT[:3]), *NEXT_ACT, *NEXT_ACT],
            [*GOOD_WGT, *NEXT_WGT],
            [ROWS[0], error(4), NEXT_ROW],
        ),
    ],
)
def test_streams_that_stop(act, wgt, expected):
    assert beats(array.run(SMALL, streams([JOB, NEXT], act, wgt))) == expected


def test_a_refused_job_tells_at_once():
    assert beats(array.run(SMALL, streams([0, NEXT], [3, 4], []))) == [error(1)]
    assert beats(array.run(SMALL, streams([], [3, 4], [5]))) == []
    # But only after the packets of the job before, whose weights do not end here.
    assert beats(array.run(SMALL, streams([0, 0], [~3, ~4], [5]))) == [error(1)]


def test_nan_and_columns_beyond_n():
    """An infinity in the last product, and codes of infinity in every place that does not exist."""
    p = {**SMALL, "act": "int2", "format": "e5m2", "rows": 2, "lanes": 2, "acc_bits": 40}
    inf, one = 0x7C, 0x3C
    job = job_word(1, 2, 3)
    act = [0b1111_0101, ~0b1111_1101]
    wgt = [one << 24 | one << 16 | one << 8 | one, ~(inf << 24 | inf << 16 | inf << 8 | one)]
    unit = 1 << 16
    # Column 0 is 1 + 1 + 1, column 1 is 1 + 1 and an infinity; 64 bits a field.
    expected = [(2 * unit << 64 | 3 * unit, 0xFFFF, 0b10_0000, 1)]
    assert beats(array.run(p, streams([job], act, wgt))) == expected
    job, expected = job_word(1, 1, 3), [(3 * unit, 0xFF, 0, 1)]
    assert beats(array.run(p, streams([job], act, wgt))) == expected


def test_pack_by_hand():
    p = {**SMALL, "rows": 2, "lanes": 2}
    # A of 3 x 3, W of 3 x 3: two row tiles, two column tiles, two steps.
    a = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    first, second = [0x5421, 0x0603], [0x0087, 0x0009]
    assert pack_act(p, a, 3) == [*first, *first, *second, *second]
    assert pack_wgt(p, a, 3) == [0x5241, 0x0807, 0x0063, 0x0009] * 2


@pytest.mark.parametrize(
    ("bits", "field"), [(2, 8), (8, 8), (9, 16), (33, 64), (64, 64), (65, 128)]
)
def test_out_bits(bits, field):
    assert out_bits(bits) == field


def test_unpack_out():
    out = dict(zip(("tdata", "tkeep", "tuser", "tlast"), zip(*ROWS, strict=True), strict=True))
    c, nan = unpack_out(SMALL, 2, 3, out)
    assert c.tolist() == [[4, 5, 1], [-1, -5, 6]] and not nan.any()
    with pytest.raises(ValueError, match="a job of 2 x 5 has 6 beats, not 4"):
        unpack_out(SMALL, 2, 5, out)
    for name, value in (("tkeep", 0xF), ("tuser", 1), ("tlast", 0)):
        with pytest.raises(ValueError, match="beat 3: "):
            unpack_out(SMALL, 2, 3, {**out, name: [*out[name][:3], value]})


def test_descriptor():
    assert Job.of(0xFFF5_0003_0002_0001) == Job(1, 2, 3, 5, 0xFFF)
    assert job_word(1, 2, 3, 5, 0xFFF) == 0xFFF5_0003_0002_0001
    with pytest.raises(ValueError, match="k must be 0 to 65535, not 65536"):
        job_word(1, 1, 65536)


def test_schedule_of_bit_planes():
    """Five steps a tile, three beats of weights a step."""
    schedule = plain_schedule({**SMALL, "columns": 2}, Job(3, 4, 5), planes=3)
    assert schedule.beats == {"act": 30, "wgt": 90}
    assert (schedule.tiles, schedule.end) == (6, 30)
    assert [schedule.time("act", beat) for beat in (0, 7, 29)] == [0, 7, 29]
    assert [schedule.time("wgt", beat) for beat in (0, 2, 3, 89)] == [0, 0, 1, 29]
    assert [schedule.done(time) for time in (0, 4, 5, 29, 30)] == [0, 0, 1, 5, 6]


def test_an_engine_with_planes_and_scales():
    """One scale and one beat of activations a tile, two of weights; the product is their sum."""
    schedule = Schedule(
        beats={"act": 2, "wgt": 4, "scale": 2},
        tiles=2,
        end=2,
        time=lambda name, beat: beat // 2 if name == "wgt" else beat,
        done=lambda time: time,
    )

    def tiles(job, words, count):
        for at in range(count):
            total = words["act"][at] + words["scale"][at] + sum(words["wgt"][2 * at : 2 * at + 2])
            yield np.array([[total]]), np.array([[False]])

    engine = Engine(9, 3, 1, 8, lambda job: schedule, tiles, streams=("act", "wgt", "scale"))
    job = job_word(2, 1, 1, bits=3)

    def run(act, wgt, scale):
        given = streams([job], act, wgt)
        given["s_axis_scale"] = streams([], scale, [])["s_axis_act"]
        return [beat[0::2] for beat in beats(run_jobs(engine, given))]

    assert run([1, ~2], [3, 4, 5, ~6], [10, ~20]) == [(18, 0), (33, 0)]
    assert run([1, ~2], [3, 4, 5, ~6], [10, 20, ~9]) == [(18, 0), (0, 9)]
    assert run([1, ~2], [3, 4, 5, ~6], [~9]) == [(0, 8)]
    assert run([1, ~2], [3, 4, ~5], [10, ~9]) == [(18, 0), (0, 6)]
    assert run([1, ~2], [3, ~4], [~9]) == [(0, 6)]
    assert run([1, ~2], [3], [~9]) == []
    with pytest.raises(ValueError, match="the sum 128 does not fit 8 bits"):
        run([1, ~2], [100, 17, 0, ~0], [10, ~20])


@pytest.mark.parametrize("flow", ["cube", "ws", "is", "tile"])
@pytest.mark.parametrize("fmt", ["int3", "e4m3"])
def test_any_stimulus_against_one_beat_at_a_time(flow, fmt):
    """Streams whose TLASTs are moved, added and lost, whose beats are lost and doubled."""
    flow, load = ("ws", "tile") if flow == "tile" else (flow, "row")
    codes = {f"C{code}" for code in range(8)}
    seen = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rows, columns, lanes, depth = (int(rng.integers(1, 4)) for _ in range(4))
        p = {**SMALL, "dataflow": flow, "format": fmt, "acc_bits": 40, "act": "int5"}
        p |= {"rows": rows, "columns": columns, "lanes": lanes, "depth": depth, "max_k": 7}
        p["load"] = load
        given = array.vectors(p, rng, 6)
        for name in ("s_axis_act", "s_axis_wgt"):
            data, last = given[name]["tdata"], given[name]["tlast"]
            for _ in range(int(rng.integers(0, 3))):
                at = int(rng.integers(0, len(data)))
                kind = rng.integers(0, 4)
                if kind < 2:
                    last[at] ^= 1
                elif kind == 2:
                    data.insert(at, data[at])
                    last.insert(at, 0)
                elif len(data) > 1:
                    del data[at], last[at]
        if rng.random() < 0.3:
            at = int(rng.integers(0, 6))
            given["s_axis_job"]["tdata"][at] ^= 1 << int(rng.integers(0, 64))
            if given["s_axis_job"]["tdata"][at] >> 8 & 0xFFFF_FF00_FF00_FF:
                given["s_axis_job"]["tdata"][at] |= 1 << 63
        result = beats(array.run(p, given))
        assert result == OneByOne(p, given).run(), seed
        seen |= {f"C{user & 15}" for _, _, user, _ in result}
    assert codes - {"C1", "C2"} <= seen


@pytest.mark.parametrize("flow", ["os", "ws", "is"])
def test_faulty_has_every_error_and_good_jobs_after_it(flow):
    p = {**SMALL, "dataflow": flow, "rows": 3, "lanes": 2, "max_k": 9, "depth": 4}
    given = array.faulty(p, np.random.default_rng(1))
    result = beats(array.run(p, given))
    assert result == OneByOne(p, given).run()
    ends = [user & 15 for _, _, user, last in result if last]
    assert len(ends) == len(given["s_axis_job"]["tdata"])
    assert set(ends) == set(range(8))
    assert ends[0] == ends[-1] == 0
    assert {code for code, after in itertools.pairwise(ends) if not after} == set(range(1, 8))
    assert sum(not code for code in ends) > 20


def test_padding_does_not_matter():
    p = {**SMALL, "rows": 2, "lanes": 3, "format": "e4m3", "acc_bits": 40}
    rng = np.random.default_rng(1)
    a, w = rng.integers(0, 16, (3, 4)), rng.integers(0, 127, (4, 5))
    clean, dirty = array.pack(p, a, w), array.pack(p, a, w, rng)
    assert clean != dirty
    outs = [
        beats(array.run(p, streams([job_word(3, 5, 4)], ended(x), ended(y))))
        for x, y in (clean, dirty)
    ]
    assert_array_equal(outs[0], outs[1])

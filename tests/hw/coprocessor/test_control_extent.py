# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/coprocessor/control_extent.py``: random jobs, and those that just fit."""

import random

import pytest
from amaranth.sim import Simulator

from hw.coprocessor.control_extent import Extents
from hw.coprocessor.control_facts import ControlFacts, facts_of
from hw.coprocessor.params import CoprocessorParams

PLAIN = {
    "addr_bits": 32, "data_width": 64, "max_k": 65535, "rows": 4, "columns": 4, "depth": 4,
    "act_slot": 8, "c_bytes": 4, "w_slot": 8,
}  # fmt: skip
CASES = {
    "plain": {},
    "odd": {"rows": 3, "columns": 7, "depth": 5, "act_slot": 2, "c_bytes": 8},
    "planes": {"w_beats": 3, "planes": (1, 2, 3, 4, 5), "planes_per_beat": 2, "act_slot": 16},
    "scales": {"s_slot": 32, "s_group": 96, "columns": 5, "addr_bits": 40},
    "scales of rows": {"s_slot": 16, "s_group": 8, "s_rows": True, "rows": 6, "act_slot": 1},
    "one scale": {"s_slot": 64, "s_rows": True, "addr_bits": 64},
    "narrow": {"addr_bits": 16, "columns": 256, "rows": 1, "w_slot": 1024, "s_slot": 16},
}
SIZES = {"m": 16, "n": 16, "k": 16, "a_stride": 16, "c_stride": 16, "w_stride": 16}


def ceil(x, y):
    return -(-x // y)


def extents(facts, job):
    """Return where A, C, W and S end, without their addresses."""
    m, n, k = job["m"], job["n"], job["k"]
    if job["copy"]:
        return {"a": (m - 1) * job["a_stride"] + n, "c": (m - 1) * job["c_stride"] + n}
    beats = ceil(job["bits"], facts.planes_per_beat) if job["bits"] else facts.w_beats
    tiles, panel = ceil(n, facts.columns), ceil(k, facts.depth) * beats * facts.w_slot
    found = {
        "a": (m - 1) * job["a_stride"] + ceil(k * facts.act_slot, 8),
        "c": (m - 1) * job["c_stride"] + n * facts.c_bytes,
        "w": (tiles - 1) * (job["w_stride"] or panel) + panel,
    }
    if facts.s_slot:
        groups = ceil(k, facts.s_group) if facts.s_group else 1
        rows = ceil(m, facts.rows) if facts.s_rows else 1
        found["s"] = tiles * rows * groups * facts.s_slot
    return found


def draw(random, facts):
    """Draw a job: half of the time one of which some operand ends where addresses do."""
    job = {}
    for name, bits in SIZES.items():
        bits = random.choice((1, 4, 8, 9, bits if random.randrange(3) == 0 else 6))
        job[name] = random.randrange(1, 1 << bits)
    job["c_stride"] *= 4
    job["w_stride"] *= 16 * random.randrange(2)
    job["copy"] = int(random.randrange(8) == 0)
    job["bits"] = random.choice((0, *facts.planes))
    top = 1 << facts.addr_bits
    need = extents(facts, job)
    for name in "acws":
        free = top - need.get(name, 1)
        if free < 0:
            job[name] = random.randrange(top)
        else:
            job[name] = random.choice((0, free, free, min(free + 1, top - 1), free // 2))
    return job, any(job[name] + size > top for name, size in need.items())


@pytest.mark.parametrize("name", CASES)
def test_any_job(name):
    facts = ControlFacts(**{**PLAIN, **CASES[name]})
    dut, source, seen = Extents(facts), random.Random(1), set()

    async def bench(ctx):
        for _ in range(220):
            job, beyond = draw(source, facts)
            for key, value in job.items():
                ctx.set(dut.job[key], value)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            cycles = 1
            while not ctx.get(dut.done) and cycles < 160:
                await ctx.tick()
                cycles += 1
            wide = max(job[key] for key in "mnk") > 256
            passes = 2 if job["copy"] else 4 + bool(facts.s_slot) * (2 + facts.s_rows)
            assert cycles <= passes * (20 if wide else 12) + 1, job
            assert ctx.get(dut.beyond) == beyond, job
            seen.add(beyond)
            await ctx.tick()
            assert not ctx.get(dut.done)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == {False, True}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data_width": 48}, "data_width must be a power of two, not 48"),
        ({"data_width": 16}, "data_width must be at least 32, not 16"),
        ({"act_slot": 3}, "act_slot must be a power of two, not 3"),
        ({"addr_bits": 65}, r"addr_bits must be in 12 \.\.\. 64, not 65"),
        ({"rows": 0}, r"rows must be in 1 \.\.\. 65536, not 0"),
    ],
)
def test_bad_facts(given, message):
    with pytest.raises(ValueError, match=message):
        ControlFacts(**{**PLAIN, **given})


def test_facts_of_a_coprocessor():
    facts = facts_of(CoprocessorParams(engine="mpgemm --engine lut --bits 3", data_width=128))
    assert (facts.data_width, facts.act_slot, facts.c_bytes) == (128, 8, 4)
    assert facts.planes == (1, 2, 3) and facts.w_fmt == 0 and facts.layout == 1
    assert facts.step_bytes == [facts.w_slot * n for n in (3, 1, 2, 3)]
    assert facts.group == facts.s_slot == 0 and facts.integer
    grouped = "array --dataflow cube --format int4 --lanes 4 --group 32 --scale fp16 --sum fp32-seq"
    facts = facts_of(CoprocessorParams(engine=grouped))
    assert (facts.group, facts.s_group, facts.s_rows) == (32, 32, False)
    assert facts.s_slot == 8 and not facts.integer

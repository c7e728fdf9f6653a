# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/coprocessor/descriptor.py``: the golden model refuses the same descriptors."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hw.coprocessor.control_extent import Extents
from hw.coprocessor.control_facts import facts_of
from hw.coprocessor.coprocessor import contract_of
from hw.coprocessor.descriptor import DescriptorReader
from hw.coprocessor.params import CoprocessorParams
from hw.spec.coprocessor import OPS, Descriptor
from sim.golden.coprocessor.contract import Contract

ENGINES = {
    "int4": ("array --dataflow cube --rows 4 --columns 4 --lanes 4 --format int4", 32),
    "planes": ("mpgemm --engine lut --bits 3 --rows 3 --columns 5", 40),
    "scales": (
        "array --dataflow cube --rows 2 --columns 3 --lanes 4 --format int4 --act int16 "
        "--group 32 --scale fp16 --act-scale fp16 --zero-point --sum fp32-seq --max-k 1000",
        64,
    ),
    "several": (
        "array --dataflow cube --rows 2 --columns 3 --lanes 4 --format int4; "
        "mpgemm --engine bit-plane --act int6 --bits 3 --planes 1 --lanes 8 --rows 2 --columns 3; "
        "array --dataflow cube --rows 2 --columns 3 --lanes 2 --format int2 --act fp16 --group 6 "
        "--scale fp16 --act-scale fp16 --max-k 200; "
        "array --dataflow os --rows 2 --columns 3 --format e2m1 --requant rhu --bias --max-k 99",
        32,
    ),
    "requant": (
        "array --dataflow broadcast --rows 1 --columns 4 --format ternary --act int4 "
        "--requant tflite --requant-out int8 --bias",
        16,
    ),
}


class Judge(wiring.Component):
    """Reader and extents, as the control has them."""

    def __init__(self, facts):
        self.facts = facts
        ports = {"valid": In(1), "index": In(4), "word": In(32), "go": In(1)}
        super().__init__({**ports, "error": Out(4), "done": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader = reader = DescriptorReader(self.facts)
        m.submodules.extents = extents = Extents(self.facts)
        at_once = Signal()
        m.d.comb += [
            reader.valid.eq(self.valid),
            reader.index.eq(self.index),
            reader.word.eq(self.word),
            extents.job.eq(reader.job),
            extents.start.eq(self.go),
            at_once.eq(self.go & (reader.error.any() | reader.fence)),
            self.done.eq(at_once | extents.done),
            self.error.eq(Mux(at_once, reader.error, Mux(extents.beyond, 8, 0))),
        ]
        return m


def draw(source, params):
    """Draw a descriptor that is good, or has a fault or two."""
    top, number = 1 << params.addr_bits, source.randrange(len(params.parts))
    part = params.parts[number]
    m, n = source.randrange(1, 40), source.randrange(1, 40)
    k = source.randrange(1, min(part.max_k, 300))
    d = Descriptor(
        op=source.choice((0, 0, 0, 0, 1, 2, 255)),
        flags=source.choice((0, 1, 8, 9)),
        engine=number,
        a_fmt=source.choice((0, part.a_format)),
        w_fmt=source.choice((0, part.w_format)),
        w_layout=source.choice((0, part.layout)),
        activation=source.choice((0, 1)),
        m=m,
        n=n,
        k=k,
        g=source.choice((0, part.group)),
        a=source.randrange(top >> 4),
        w=source.randrange(top >> 4) & ~15,
        c=source.randrange(top >> 4),
        s=source.randrange(top >> 4) & ~15,
        a_stride=k * part.act_slot // 8 + source.randrange(1, 9),
        c_stride=n * params.c_bytes // 4 + source.randrange(1, 4),
        w_stride=source.choice((0, 0, 500)),
        tag=source.randrange(1 << 16),
    )
    d = replace(d, m=1) if d.op == OPS["gemv"] else d
    if d.op == OPS["copy"]:
        d = replace(d, k=1, a_stride=n + source.randrange(4))
    for _ in range(source.choice((0, 0, 1, 1, 2))):
        high = top - source.randrange(1, 2000)
        d = replace(d, **source.choice((
            {"magic": 1}, {"version": 0}, {"op": source.choice((0, 3, 254))},
            {"flags": 1 << source.randrange(8)}, {"a_fmt": source.randrange(16)},
            {"w_fmt": source.randrange(16)}, {"c_fmt": source.randrange(2)},
            {"w_layout": source.randrange(16)}, {"round_mode": 8},
            {"engine": source.choice((len(params.parts), 15))},
            {"scale_mode": 1}, {"activation": source.randrange(16)},
            {"m": source.choice((0, 1, 512, 65535))}, {"n": source.choice((0, 1, 512, 65535))},
            {"k": source.choice((0, 1, part.max_k, part.max_k + 1))},
            {"g": source.randrange(64)}, {"a": high}, {"w": high & ~15}, {"c": high},
            {"s": high & ~15}, {"w": d.w | 8}, {"s": d.s | 1}, {"a": 1 << 63}, {"s": 1 << 63},
            {"a_stride": source.choice((0, max(0, d.a_stride - 9), d.a_stride - 1))},
            {"c_stride": max(0, d.c_stride - source.randrange(4))},
            {"w_stride": 65535, "w": high & ~15}, {"w_stride": 8192, "n": 40},
            {"c_stride": 32768, "m": 3}, {"m": 1, "a_stride": 0, "c_stride": 0},
        )))  # fmt: skip
    return d


@pytest.mark.parametrize(
    ("name", "more"),
    [*((name, {}) for name in ENGINES), ("requant", {"copies": False, "size_bits": 9})],
)
def test_refusals(name, more):
    engine, addr_bits = ENGINES[name]
    more = {"accumulate": name in ("several", "planes"), **more}
    params = CoprocessorParams(engine=engine, addr_bits=addr_bits, **more)
    contract = Contract.of({"unit": "coprocessor", "contract": contract_of(params)})
    dut, source, seen = Judge(facts_of(params)), random.Random(4), Counter()

    async def bench(ctx):
        for _ in range(350):
            d = draw(source, params)
            ctx.set(dut.valid, 1)
            for index, word in enumerate(d.pack()):
                ctx.set(dut.index, index)
                ctx.set(dut.word, word)
                await ctx.tick()
            ctx.set(dut.valid, 0)
            ctx.set(dut.go, 1)
            cycles = 0
            while not ctx.get(dut.done):
                await ctx.tick()
                ctx.set(dut.go, 0)
                cycles += 1
                assert cycles < 200
            got = ctx.get(dut.error)
            ctx.set(dut.go, 0)
            assert got == contract.refusal(d.pack()), d
            seen[got] += 1
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert min(seen[code] for code in (0, 5, 6, 7, 8)) > 4, seen

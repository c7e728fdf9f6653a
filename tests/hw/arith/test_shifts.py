# SPDX-License-Identifier: Apache-2.0
"""Shifters of floating-point datapaths, on every value of small widths."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hw.arith.shifts import normalized, shifted_down


@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_normalized(width):
    m, value = Module(), Signal(width)
    top, zeros = normalized(m, value)
    result, count = Signal(width), Signal(4)
    m.d.comb += [result.eq(top), count.eq(zeros)]

    async def bench(ctx):
        for number in range(1 << width):
            ctx.set(value, number)
            zeros = width - max(1, number.bit_length())
            assert ctx.get(count) == zeros
            assert ctx.get(result) == number << zeros

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize(("width", "bits"), [(1, 1), (5, 2), (5, 3), (6, 4), (8, 3)])
def test_shifted_down(width, bits):
    m, value, by = Module(), Signal(width), Signal(bits)
    result = Signal(width)
    m.d.comb += result.eq(shifted_down(m, value, by))

    async def bench(ctx):
        for number in range(1 << width):
            for places in range(1 << bits):
                ctx.set(value, number)
                ctx.set(by, places)
                lost = number & (1 << places) - 1
                assert ctx.get(result) == number >> places | bool(lost)

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()

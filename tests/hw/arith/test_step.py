# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/arith/step.py``: every word, up, down and still."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hw.arith.step import stepped


@pytest.mark.parametrize("width", [0, 1, 2, 5])
def test_every_word(width):
    m = Module()
    word, up, down, result = Signal(width), Signal(), Signal(), Signal(width)
    m.d.comb += result.eq(stepped(m, word, up, down))

    async def bench(ctx):
        for value in range(1 << width):
            for rise, fall in ((0, 0), (1, 0), (0, 1)):
                ctx.set(word, value)
                ctx.set(up, rise)
                ctx.set(down, fall)
                assert ctx.get(result) == (value + rise - fall) % (1 << width)

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()

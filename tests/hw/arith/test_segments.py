# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/arith/segments.py``: carries that wait at cuts are never lost."""

import random

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hw.arith.segments import CutAccumulator, cuts


def test_cuts():
    assert cuts(32, 16, False) == [0, 4, 8, 12, 16, 24]
    assert cuts(32, 16, True) == [0, 8, 16]
    assert cuts(6, 16, False) == [0, 4]
    assert cuts(17, 9, False) == [0, 4, 8, 12]


@pytest.mark.parametrize("chains", [False, True])
@pytest.mark.parametrize("places", [[0], [0, 4, 8], list(range(11)), [0, 1, 9]])
def test_words_add_up(places, chains):
    m, width = Module(), 11
    addend, keep, carry = Signal(width), Signal(), Signal()
    accumulator = CutAccumulator(m, width, places, chains)
    m.d.sync += accumulator.step(addend, accumulator.kept(keep), keep, carry)
    words = [Signal(width), Signal(width)]
    total = Signal(width)
    m.d.comb += [
        words[0].eq(accumulator.word),
        words[1].eq(accumulator.carries),
        total.eq(accumulator.total),
    ]
    rng = random.Random(1)

    async def bench(ctx):
        due = 0
        for step in range(400):
            value, kept, bit = (
                rng.choice((0, 1, 2**11 - 1, rng.getrandbits(11))),
                step % 37,
                step % 2,
            )
            ctx.set(addend, value)
            ctx.set(keep, int(kept > 0))
            ctx.set(carry, bit)
            await ctx.tick()
            due = ((due if kept else 0) + value + bit) % 2**width
            assert sum(ctx.get(word) for word in words) % 2**width == due == ctx.get(total)
            assert not ctx.get(words[1]) & ~sum(1 << at for at in places[1:])

    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()

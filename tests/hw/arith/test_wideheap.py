# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/arith/wideheap.py``: a word of any width plus sums up to the bound."""

import random

import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator

from hw.arith.wideheap import WideHeap


@pytest.mark.parametrize("width", [3, 4, 5, 6, 9, 20])
@pytest.mark.parametrize("bound", [1, 2, 7, 8])
def test_word_plus_sum(width, bound):
    rng = random.Random(width * 10 + bound)
    m, word = Module(), Signal(signed(width))
    addends = [Signal(signed(5), name=f"x{k}") for k in range(2)]
    heap = WideHeap(m, word, bound)
    for addend in addends:
        heap.add(addend)
    total = heap.total()
    assert total.shape() == signed(width)
    seen = Signal(signed(width))
    m.d.comb += seen.eq(total)
    edges = [0, -1, (1 << width - 1) - 1, -1 << width - 1]

    async def bench(ctx):
        for sample in range(150):
            value = edges[sample % 4] if sample < 60 else rng.randrange(-1 << width - 1, edges[2])
            added = rng.choice((-bound, bound, rng.randint(-bound, bound)))
            part = rng.randint(max(-16, added - 15), min(15, added + 16))
            ctx.set(word, value)
            ctx.set(addends[0], part)
            ctx.set(addends[1], added - part)
            assert (ctx.get(seen) - value - added) % (1 << width) == 0

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()

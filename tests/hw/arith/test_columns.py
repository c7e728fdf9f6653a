# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/arith/columns.py``: columns of any height add up."""

import random

import pytest
from amaranth.hdl import Module, Signal, Value
from amaranth.sim import Simulator

from hw.arith.columns import _full, column_sum


@pytest.mark.parametrize("seed", range(12))
def test_columns_add_up(seed):
    rng = random.Random(seed)
    heights = [rng.choice((0, 1, 2, 3, 5, 8)) for _ in range(rng.randint(1, 7))]
    ones = rng.randrange(1 << len(heights)) if seed % 3 else 0
    m, bits = Module(), Signal(max(1, sum(heights)))
    columns: list[list[Value]] = []
    for height in heights:
        at = sum(map(len, columns))
        columns.append([bits[at + k] for k in range(height)])
    total = Signal(len(heights))
    m.d.comb += total.eq(column_sum(m, columns, ones))

    async def bench(ctx):
        for _ in range(100):
            word = rng.choice((0, (1 << len(bits)) - 1, rng.getrandbits(len(bits))))
            ctx.set(bits, word)
            exact, rest = ones, word
            for place, height in enumerate(heights):
                exact += (rest & (1 << height) - 1).bit_count() << place
                rest >>= height
            assert ctx.get(total) == exact % (1 << len(heights))

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("small", [False, True])
def test_full_adders(small):
    m, bits, total, carry = Module(), Signal(3), Signal(), Signal()
    found = _full(m, bits[0], bits[1], bits[2], small=small)
    m.d.comb += [total.eq(found[0]), carry.eq(found[1])]

    async def bench(ctx):
        for word in range(8):
            ctx.set(bits, word)
            assert ctx.get(total) + 2 * ctx.get(carry) == word.bit_count()

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()

# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/arith/paired_shift.py``: every word by every two numbers of places."""

import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator

from hw.arith.paired_shift import shifted_twice
from hw.arith.select import lines


@pytest.mark.parametrize("width", [2, 3, 5])
def test_shift_by_two_numbers(width):
    m, word, first, second = Module(), Signal(signed(width)), Signal(2), Signal(2)
    result = Signal(signed(width + 6))
    places = [lines(m, number, 2) for number in (first, second)]
    shifted = shifted_twice(m, word, *places)
    assert shifted.shape() == signed(width + 4)
    m.d.comb += result.eq(shifted)

    async def bench(ctx):
        for value in range(-1 << width - 1, 1 << width - 1):
            for j in range(3):
                for k in range(3):
                    ctx.set(word, value)
                    ctx.set(first, j)
                    ctx.set(second, k)
                    assert ctx.get(result) == value << j + k, (value, j, k)

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()

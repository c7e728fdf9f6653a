# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/arith/select.py``: lines of every number, shifts by every sum."""

import pytest
from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.sim import Simulator

from hw.arith.select import lines, lines_of_sum, shifted


def run(m, bench):
    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("top", range(8))
def test_one_line_of_every_number(top):
    m, number = Module(), Signal(max(1, top.bit_length()))
    found = [Signal(name=f"line{k}") for k in range(top + 1)]
    m.d.comb += [s.eq(line) for s, line in zip(found, lines(m, number, top), strict=True)]

    async def bench(ctx):
        for value in range(top + 1):
            ctx.set(number, value)
            assert [ctx.get(line) for line in found] == [k == value for k in range(top + 1)]

    run(m, bench)


@pytest.mark.parametrize("kind", [signed, unsigned])
def test_shift_by_a_sum(kind):
    m, word, first, second = Module(), Signal(kind(3)), Signal(2), Signal(2)
    places = lines_of_sum(m, lines(m, first, 2), lines(m, second, 3))
    result = Signal(kind(8))
    m.d.comb += result.eq(shifted(word, places))
    none = Signal(kind(8), name="none")
    m.d.comb += none.eq(shifted(word, [place & 0 for place in places]))

    async def bench(ctx):
        for value in range(-4, 4) if kind is signed else range(8):
            for j in range(3):
                for k in range(4):
                    ctx.set(word, value)
                    ctx.set(first, j)
                    ctx.set(second, k)
                    assert ctx.get(result) == value << j + k
                    assert ctx.get(none) == 0

    run(m, bench)

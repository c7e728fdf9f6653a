# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/arith/bitheap.py``: sums of any addends, signed or not, at any weight."""

import random

import pytest
from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.sim import Simulator

from hw.arith.bitheap import BitHeap


def sums_of(shapes, weights, constant, width, samples, chains=False):
    """Return (operands and carries, total, sum of the two compressed words) from simulation."""
    m = Module()
    operands = [Signal(shape, name=f"x{k}") for k, shape in enumerate(shapes)]
    carries = [Signal(name=f"c{k}") if k % 3 else None for k in range(len(shapes))]
    heap = BitHeap(m, width, chains)
    for operand, weight, carry in zip(operands, weights, carries, strict=True):
        heap.add(operand, weight, carry)
    heap.add_constant(constant)
    first, second = heap.compress()
    pair = Signal(width + 1)
    total = heap.total()
    m.d.comb += pair.eq(first + second)
    seen = []

    async def bench(ctx):
        for sample in samples:
            for operand, carry, (value, bit) in zip(operands, carries, sample, strict=True):
                ctx.set(operand, value)
                if carry is not None:
                    ctx.set(carry, bit)
            seen.append((sample, ctx.get(total), ctx.get(pair)))

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()
    return seen


def random_value(rng, shape):
    span = 1 << shape.width
    low, high = (-span // 2, span // 2) if shape.signed else (0, span)
    return rng.choice((low, high - 1, rng.randrange(low, high)))


@pytest.mark.parametrize("chains", [False, True])
@pytest.mark.parametrize("seed", range(16))
def test_sum_of_random_addends(seed, chains):
    rng = random.Random(seed)
    count, width = rng.randint(1, 12), rng.randint(4, 24)
    shapes = [rng.choice((signed, unsigned))(rng.randint(1, 8)) for _ in range(count)]
    weights = [rng.randint(0, 6) for _ in range(count)]
    constant = rng.randint(-500, 500)
    bits = [k % 3 and 1 for k in range(count)]
    samples = [
        [(random_value(rng, s), b and rng.randrange(2)) for s, b in zip(shapes, bits, strict=True)]
        for _ in range(60)
    ]
    for sample, total, pair in sums_of(shapes, weights, constant, width, samples, chains):
        exact = constant + sum(v + c << w for (v, c), w in zip(sample, weights, strict=True))
        assert (total - exact) % (1 << width) == 0
        assert (pair - exact) % (1 << width) == 0
        assert -(1 << width - 1) <= total < 1 << width - 1


@pytest.mark.parametrize("chains", [False, True])
def test_empty_heap_is_its_constant(chains):
    ((_, total, _),) = sums_of([], [], -3, 6, [[]], chains)
    assert total == -3

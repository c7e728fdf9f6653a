# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/arith/bitheap.py``: sums of any addends, signed or not, at any weight."""

import random

import pytest
from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.sim import Simulator

from hw.arith.bitheap import BitHeap


def sums_of(shapes, weights, constant, width, samples):
    """Yield (operands, total word, sum of the two compressed words) from simulation."""
    m = Module()
    operands = [Signal(shape, name=f"x{k}") for k, shape in enumerate(shapes)]
    heap = BitHeap(m, width)
    for operand, weight in zip(operands, weights, strict=True):
        heap.add(operand, weight)
    heap.add_constant(constant)
    first, second = heap.compress()
    pair = Signal(width + 1)
    total = heap.total()
    m.d.comb += pair.eq(first + second)
    seen = []

    async def bench(ctx):
        for sample in samples:
            for operand, value in zip(operands, sample, strict=True):
                ctx.set(operand, value)
            seen.append((sample, ctx.get(total), ctx.get(pair)))

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()
    return seen


def random_value(rng, shape):
    span = 1 << shape.width
    low, high = (-span // 2, span // 2) if shape.signed else (0, span)
    return rng.choice((low, high - 1, rng.randrange(low, high)))


@pytest.mark.parametrize("seed", range(12))
def test_sum_of_random_addends(seed):
    rng = random.Random(seed)
    count, width = rng.randint(1, 12), rng.randint(4, 24)
    shapes = [rng.choice((signed, unsigned))(rng.randint(1, 8)) for _ in range(count)]
    weights = [rng.randint(0, 6) for _ in range(count)]
    constant = rng.randint(-500, 500)
    samples = [[random_value(rng, shape) for shape in shapes] for _ in range(60)]
    for sample, total, pair in sums_of(shapes, weights, constant, width, samples):
        exact = constant + sum(v << w for v, w in zip(sample, weights, strict=True))
        assert (total - exact) % (1 << width) == 0
        assert (pair - exact) % (1 << width) == 0
        assert -(1 << width - 1) <= total < 1 << width - 1


def test_empty_heap_is_its_constant():
    ((_, total, _),) = sums_of([], [], -3, 6, [[]])
    assert total == -3

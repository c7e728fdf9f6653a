# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/arith/leading.py``: every word with every limit."""

import random

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hw.arith.leading import normalized_to_limit, normalized_top
from tests.hw.arith.tables import table


@pytest.mark.parametrize(("width", "limit_bits"), [(1, 1), (3, 2), (4, 4), (5, 2), (6, 5), (7, 3)])
def test_every_word(width, limit_bits):
    mask = (1 << width) - 1
    inputs = (width, limit_bits, 1)
    for (word, limit, fill), (shifted, amount) in table(inputs, normalized_to_limit):
        zeros = width - word.bit_length()
        if word == 0 and not fill:
            assert shifted == 0
            assert amount == min(limit, (1 << width.bit_length()) - 1)
            continue
        due = min(zeros, limit)
        assert amount == due
        assert shifted == (word << due | (1 << due) - 1 if fill else word << due) & mask


def expected(width, kept, word, flip, idle, limit):
    """The top, the rest and the amount, of a word with enough idle bits below it."""
    mask, below = (1 << width) - 1, 2 * width + kept + 2
    word = (word ^ mask * flip) << below | ((1 << below) - 1) * (idle ^ flip)
    total = width + below
    due = min(total - word.bit_length() if word else limit, limit, (1 << width.bit_length()) - 1)
    word = (word << due | ((1 << due) - 1) * (idle ^ flip)) & (1 << total) - 1
    low = word & (1 << total - kept) - 1
    return word >> total - kept, low != ((1 << total - kept) - 1) * (idle ^ flip), due


@pytest.mark.parametrize(
    ("width", "limit_bits", "kept"),
    [(1, 1, 1), (2, 3, 4), (4, 3, 2), (6, 4, 3), (9, 3, 11), (10, 4, 1), (11, 5, 4), (25, 6, 12)],
)
def test_top_of_a_word_with_its_inverse(width, limit_bits, kept):
    m = Module()
    word, limit, flip, idle = Signal(width), Signal(limit_bits), Signal(), Signal()
    normal = normalized_top(m, word, flip, idle, limit, kept)
    outputs = Signal(kept), Signal(), Signal(width.bit_length())
    m.d.comb += [
        output.eq(value)
        for output, value in zip(outputs, (normal.top, normal.rest, normal.amount), strict=True)
    ]
    rng = random.Random(width)
    cases = [(0, 0, 0), (0, 0, 1), ((1 << width) - 1, 1, 1)]
    for _ in range(1500):
        size = rng.randint(0, width)
        flipped = rng.randint(0, 1)
        number = rng.getrandbits(size) ^ rng.choice((0, (1 << size) - 1))
        cases.append((number ^ flipped * ((1 << width) - 1), flipped, flipped | rng.randint(0, 1)))

    async def bench(ctx):
        for number, flipped, below in cases:
            limited = rng.getrandbits(limit_bits)
            for signal, value in ((word, number), (flip, flipped), (idle, below), (limit, limited)):
                ctx.set(signal, value)
            got = tuple(ctx.get(output) for output in outputs)
            assert got == expected(width, kept, number, flipped, below, limited)

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()

# SPDX-License-Identifier: Apache-2.0
"""One wrong bit of a word is corrected, two are told."""

import random
from itertools import combinations
from typing import Any

import pytest
from amaranth.sim import Simulator

from hw.coprocessor.secded import SecdedDecoder, check_bits, columns


def code_of(word: int, width: int) -> int:
    """Return a word and its check bits, from the definition."""
    checks = 0
    for k, column in enumerate(columns(width)):
        checks ^= column if word >> k & 1 else 0
    return word | checks << width


@pytest.mark.parametrize(
    ("width", "checks"), [(1, 3), (8, 5), (32, 7), (64, 8), (128, 9), (256, 10)]
)
def test_columns_tell_errors_apart(width: int, checks: int) -> None:
    assert check_bits(width) == checks
    found = columns(width)
    every = {*found, *(1 << bit for bit in range(checks))}
    assert len(found) == width and len(every) == width + checks
    assert all(column.bit_count() % 2 for column in every)
    loads = [sum(column >> bit & 1 for column in found) for bit in range(checks)]
    assert max(loads) - min(loads) <= 3


@pytest.mark.parametrize("width", [8, 32, 64])
def test_flips(width: int) -> None:
    dut, source = SecdedDecoder(width), random.Random(1)
    total = width + check_bits(width)

    async def bench(ctx: Any) -> None:
        for _ in range(3):
            word = source.getrandbits(width)
            code = code_of(word, width)

            def seen(flips: int, code: int = code) -> tuple[int, int, int]:
                ctx.set(dut.word, code ^ flips)
                return ctx.get(dut.data), ctx.get(dut.corrected), ctx.get(dut.detected)

            assert seen(0) == (word, 0, 0)
            for bit in range(total):
                assert seen(1 << bit) == (word, 1, 0)
            pairs = list(combinations(range(total), 2))
            for a, b in source.sample(pairs, min(len(pairs), 300)):
                assert seen(1 << a | 1 << b)[1:] == (0, 1)

    sim = Simulator(dut)
    sim.add_testbench(bench)
    sim.run()

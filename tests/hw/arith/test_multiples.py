# SPDX-License-Identifier: Apache-2.0
"""Multiples by constants: the plan of additions, and the words that it makes."""

import random
from typing import Any

import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator

from hw.arith.multiples import multiples, plan
from hw.spec.formats import parse


def made(targets: list[int]) -> int:
    """Hold a plan to its targets; return the number of its sums."""
    sums, known = plan(targets), {1}
    for s in sums:
        assert {s.first, s.second} <= known
        assert s.total == (s.first << s.first_shift) + s.sign * (s.second << s.second_shift)
        known.add(s.total)
    for target in filter(None, targets):
        assert target // (target & -target) in known, target
    return len(sums)


def test_every_target_is_made() -> None:
    rng = random.Random(1)
    for _ in range(300):
        most = 1 << rng.randint(1, 16)
        made([rng.randint(-most, most) for _ in range(rng.randint(1, 12))])


def test_powers_of_two_need_no_sum() -> None:
    assert made([0, 1, 2, 64]) == 0


def test_a_quantile_book_needs_about_one_sum_for_each_magnitude() -> None:
    assert made([abs(v) for v in parse("nf4").table]) == 12


@pytest.mark.parametrize("chains", [False, True], ids=["gates", "chains"])
def test_words(chains: bool) -> None:
    constants = [-127, -12, -1, 5, 20, 43, 113]
    m, word = Module(), Signal(signed(5))
    outputs = {c: Signal(signed(16), name=f"m{k}") for k, c in enumerate(constants)}
    for c, value in multiples(m, word, constants, chains).items():
        m.d.comb += outputs[c].eq(value)

    async def bench(ctx: Any) -> None:
        for number in range(-16, 16):
            ctx.set(word, number)
            for c, output in outputs.items():
                assert ctx.get(output) == c * number, (c, number)

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()

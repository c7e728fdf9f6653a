# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/arith/ent.py``: digits of every value, and how few of them are not 0."""

import math

import pytest
from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.sim import Simulator

from hw.arith.ent import ent, ent_count, ent_digits


def recoded(shape):
    """Return value -> digits, lowest first, from simulation of every value."""
    m = Module()
    value = Signal(shape)
    digits = ent_digits(m, value)
    seen = {}

    async def bench(ctx):
        low = -(1 << shape.width - 1) if shape.signed else 0
        for number in range(low, low + (1 << shape.width)):
            ctx.set(value, number)
            fields = [[ctx.get(x) for x in (d.one, d.two, d.negative)] for d in digits]
            assert all(one + two < 2 for one, two, _ in fields)
            seen[number] = [(one + 2 * two) * (1 - 2 * neg) for one, two, neg in fields]

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()
    assert [d.weight for d in digits] == [2 * k for k in range(len(digits))]
    return seen


@pytest.mark.parametrize(
    "shape",
    [*(unsigned(n) for n in range(1, 10)), *(signed(n) for n in range(2, 10))],
    ids=str,
)
def test_every_value(shape):
    for value, digits in recoded(shape).items():
        assert sum(d << 2 * k for k, d in enumerate(digits)) == value
        assert digits == ent(value, len(digits))
        # The sheet's set {-1, 0, 1, 2}, negated for negative values.
        assert all((d if value >= 0 else -d) in (-1, 0, 1, 2) for d in digits)


def test_int8_has_four_digits_of_which_2_918_are_not_0():
    found = recoded(signed(8))
    assert {len(digits) for digits in found.values()} == {4}
    nonzero = [sum(d != 0 for d in digits) for digits in found.values()]
    assert round(sum(nonzero) / 256, 3) == 2.918


@pytest.mark.parametrize(
    ("sigma", "digits"), [(10, 1.76), (20, 2.11), (30, 2.34), (40, 2.49), (50, 2.61)]
)
def test_values_near_0_have_fewer(sigma, digits):
    """The averages of the sheet (B.4) for rounded normal values."""
    weights = {v: math.exp(-((v / sigma) ** 2) / 2) for v in range(-128, 128)}
    mean = sum(p * sum(d != 0 for d in ent(v, 4)) for v, p in weights.items())
    assert mean / sum(weights.values()) == pytest.approx(digits, abs=0.02)


@pytest.mark.parametrize(("largest", "count"), [(1, 1), (2, 1), (3, 2), (10, 2), (11, 3), (128, 4)])
def test_count(largest, count):
    assert ent_count(largest) == count
    ent(-largest, count)
    if count > 1:
        with pytest.raises(ValueError, match=f"EN-T digits, not {2 * largest * largest}"):
            ent(2 * largest * largest, count)

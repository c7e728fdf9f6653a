# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/arith/recode.py``: the digits of every value add up to it."""

import pytest
from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.sim import Simulator

from hw.arith.recode import (
    Digit,
    booth_digits,
    digits_of,
    lookup,
    multiple,
    plain_digits,
    radix4,
    signed_multiple,
)


def values_of(shape):
    span = 1 << shape.width
    return range(-span // 2, span // 2) if shape.signed else range(span)


def evaluate(m, source, values, outputs):
    """Return the outputs for every value of the source signal."""
    wires = []
    for output in outputs:
        wire = Signal(output.shape())
        m.d.comb += wire.eq(output)
        wires.append(wire)
    rows = []

    async def bench(ctx):
        for value in values:
            ctx.set(source, value)
            rows.append([ctx.get(wire) for wire in wires])

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()
    return rows


def digit_values(m, source, values, digits):
    flat = [part for d in digits for part in (d.one, d.two, d.negative) if part is not None]
    for row in evaluate(m, source, values, flat):
        bits = iter(row)
        total = []
        for d in digits:
            one = next(bits)
            two = next(bits) if d.two is not None else 0
            negative = next(bits) if d.negative is not None else 0
            assert not (one and two)
            total.append((-1 if negative else 1) * (one + 2 * two) << d.weight)
        yield total


@pytest.mark.parametrize("kind", [signed, unsigned])
@pytest.mark.parametrize("width", range(1, 10))
@pytest.mark.parametrize("recode", [booth_digits, plain_digits])
def test_digits_add_up(kind, width, recode):
    m, source = Module(), Signal(kind(width))
    digits = recode(m, source)
    values = values_of(source.shape())
    for value, parts in zip(values, digit_values(m, source, values, digits), strict=True):
        assert sum(parts) == value
    if recode is booth_digits:
        assert len(digits) == ((width + 1) // 2 if kind is signed else width // 2 + 1)


@pytest.mark.parametrize("table", [[0, 1, -1, 5], [0, -8, 7, 3, 12, -12, 96, -127]])
def test_digits_of_a_table(table):
    m, code = Module(), Signal(range(len(table)))
    digits = digits_of(m, table, code)
    rows = digit_values(m, code, range(len(table)), digits)
    assert [sum(parts) for parts in rows] == table


@pytest.mark.parametrize("value", [*range(-40, 41), 127, -128, 1000])
def test_radix4(value):
    digits = radix4(value)
    assert sum(d * 4**k for k, d in enumerate(digits)) == value
    assert all(-2 <= d <= 2 for d in digits)


@pytest.mark.parametrize("width", [1, 3, 5])
def test_lookup(width):
    truth = [(5 * k + 3) % (1 << width) for k in range(16)]
    m, code = Module(), Signal(4)
    rows = evaluate(m, code, range(16), [lookup(truth, code, width)])
    assert [row[0] for row in rows] == truth


@pytest.mark.parametrize("kind", [signed, unsigned])
@pytest.mark.parametrize("multiplier", [signed(4), unsigned(3), signed(2), unsigned(1)])
def test_multiple(kind, multiplier):
    """Every digit of every multiplier times every multiplicand: row plus carry is the product."""
    for value in values_of(kind(3)):
        m, source = Module(), Signal(multiplier)
        fixed = Signal(kind(3), init=value)
        digits = booth_digits(m, source)
        parts = [multiple(digit, fixed) for digit in digits]
        outputs = [p for row, carry in parts for p in ((row,) if carry is None else (row, carry))]
        values = values_of(source.shape())
        for factor, row in zip(values, evaluate(m, source, values, outputs), strict=True):
            bits, total = iter(row), 0
            for digit, (_, carry) in zip(digits, parts, strict=True):
                total += next(bits) << digit.weight
                total += (0 if carry is None else next(bits)) << digit.weight
            assert total == factor * value


@pytest.mark.parametrize("kind", [signed(3), unsigned(3)])
def test_signed_multiple(kind):
    for value in values_of(kind):
        m, code = Module(), Signal(2)
        fixed = Signal(kind, init=value)
        row, carry = signed_multiple(m, Digit(0, code[0], None, code[1]), fixed)
        sums = [sum(row) for row in evaluate(m, code, range(4), [row, carry])]
        assert sums == [0, value, 0, -value]

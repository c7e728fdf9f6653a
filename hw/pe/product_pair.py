# SPDX-License-Identifier: Apache-2.0
"""Products of short floats for logic gates, with their sign in two's complement throughout."""

from amaranth.hdl import Cat, Module, Mux, Value

from hw.arith.bitheap import BitHeap
from hw.arith.paired_shift import shifted_twice
from hw.arith.select import lines
from hw.arith.wires import wire
from hw.pe.decode import Operand

__all__ = ["is_pair", "signed_product"]

#: Most bits of a significand. With longer ones the carry of the negation comes too late.
SHORT = 2


def is_pair(weight: Operand, act: Operand) -> bool:
    """Return whether :func:`signed_product` takes the operands, as it does two of E2M1."""
    return max(len(weight.significand), len(act.significand)) <= SHORT and all(
        operand.negative is not None
        and operand.shift is not None
        and (operand.top, operand.fraction) == (2, 0)
        for operand in (weight, act)
    )


def signed_product(m: Module, weight: Operand, act: Operand) -> Value:
    """Return ``weight * act`` as one word in two's complement.

    It is negated where it is shortest: between the significands and the shift. A negative product
    then needs no inverter in each bit of the sum, and adds no one to be carried.
    """
    assert weight.negative is not None and act.negative is not None
    assert weight.shift is not None and act.shift is not None
    negative = wire(m, weight.negative ^ act.negative, "negative")
    pair = sorted((weight.significand, act.significand), key=len)
    few = len(pair[0]) == len(pair[1]) == 2
    word = wire(m, (_two_by_two if few else _any_size)(m, pair[0], pair[1], negative), "signed")
    places = [lines(m, operand.shift, operand.top) for operand in (weight, act)]
    return shifted_twice(m, word, places[0], places[1])


def _two_by_two(m: Module, first: Value, second: Value, negative: Value) -> Value:
    """Return the product of two numbers of two bits, negated where ``negative`` is 1.

    The products are 0, 1, 2, 3, 4, 6 and 9, which leaves each bit few cases.
    """
    high = wire(m, first[1] & second[1], "high")
    low = wire(m, first[0] & second[0], "low")
    nine = wire(m, high & low, "nine")
    two = wire(m, (first[1] & second[0]) ^ (first[0] & second[1]), "two")
    some = wire(m, first.any() & second.any(), "some")
    return Cat(
        low,
        two ^ (negative & low),
        Mux(negative, some & ~(two & high), high & ~low),
        Mux(negative, some & ~nine, nine),
        negative & some,
    ).as_signed()


def _any_size(m: Module, short: Value, long: Value, negative: Value) -> Value:
    """Return the product of two unsigned numbers, negated where ``negative`` is 1."""
    heap = BitHeap(m, len(long) + len(short) - (len(short) == 1))
    for place, bit in enumerate(short):
        heap.add(Cat(long) & bit.replicate(len(long)), place)
    bits = list(heap.total())
    result, below = [bits[0]], wire(m, negative & bits[0], "below")
    for bit in bits[1:]:
        result.append(bit ^ below)
        below = wire(m, below | negative & bit, "below")
    return Cat(*result, below).as_signed()

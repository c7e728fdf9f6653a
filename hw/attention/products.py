# SPDX-License-Identifier: Apache-2.0
"""Products as rows of a bit heap, so that what is added to them costs no adder of its own."""

from amaranth.hdl import Cat, Const, Module, Value

from hw.arith.bitheap import BitHeap
from hw.arith.recode import booth_digits, multiple
from hw.arith.wires import wire

__all__ = ["add_product", "add_square"]


def add_product(m: Module, heap: BitHeap, x: Value, y: Value) -> None:
    """Add ``x * y`` modulo the heap's width; the digits are those of ``y``."""
    x, y = wire(m, x, "multiplicand"), wire(m, y, "multiplier")
    if heap.carry_chains:
        whole = x * y
        heap.add(whole if len(whole) <= heap.width else whole[: heap.width])
        return
    for digit in booth_digits(m, y):
        row, carry = multiple(digit, x)
        heap.add(row, digit.weight, carry)


def add_square(m: Module, heap: BitHeap, x: Value) -> None:
    """Add the square of an unsigned ``x``: of each pair of bits one product, not two."""
    x = wire(m, x, "squared")
    if heap.carry_chains:
        heap.add(x * x)
        return
    for k, bit in enumerate(x):
        above = x[k + 1 :] & bit.replicate(len(x) - k - 1)
        heap.add(Cat(bit, Const(0, 1), above), 2 * k)

# SPDX-License-Identifier: Apache-2.0
"""Multiplication by constants: shifts and additions, one for each signed digit."""

from amaranth.hdl import Module, Value

from hw.arith.bitheap import BitHeap
from hw.arith.wires import wire

__all__ = ["add_multiple", "signed_digits"]


def signed_digits(value: int) -> list[tuple[int, int]]:
    """Return ``(weight, digit)`` of the non-zero digits, 1 or -1, of the canonical form.

    No two digits are neighbours, and no form with digits 0, 1, -1 has fewer that are not 0.

    Source: Reitwiesner, "Binary arithmetic" (1960).
    """
    digits, weight = [], 0
    while value:
        if value & 1:
            digit = 2 - (value & 3)
            digits.append((weight, digit))
            value -= digit
        value >>= 1
        weight += 1
    return digits


def add_multiple(m: Module, heap: BitHeap, value: Value, constant: int) -> None:
    """Add ``value * constant`` to ``heap``; ``value`` is signed."""
    value = wire(m, value, "multiplicand")
    for weight, digit in signed_digits(constant):
        if digit > 0:
            heap.add(value, weight)
        else:
            heap.add((~value).as_signed(), weight)
            heap.add_constant(1 << weight)

# SPDX-License-Identifier: Apache-2.0
"""Shifts by few places, selected one-hot."""

from amaranth.hdl import Cat, Const, Module, Value

from hw.arith.wires import wire

__all__ = ["lines", "lines_of_sum", "shifted"]


def lines(m: Module, number: Value, top: int) -> list[Value]:
    """Return ``number == k`` for k from 0 to ``top``, of a number that never is above ``top``."""
    found = []
    for k in range(top + 1):
        line: Value = Const(1, 1)
        for place, bit in enumerate(number):
            if k >> place & 1:
                line = line & bit
            elif k | 1 << place <= top:  # else no number reaches the place beside these ones
                line = line & ~bit
        found.append(wire(m, line, "line"))
    return found


def lines_of_sum(m: Module, first: list[Value], second: list[Value]) -> list[Value]:
    """Return the lines of the sum of two numbers that are given by theirs."""
    sums: list[Value] = [Const(0, 1)] * (len(first) + len(second) - 1)
    for j, a in enumerate(first):
        for k, b in enumerate(second):
            sums[j + k] = sums[j + k] | a & b
    return [wire(m, s, "line") for s in sums]


def shifted(word: Value, places: list[Value]) -> Value:
    """Return ``word << k`` where ``places[k]`` is 1, or 0 where none is; ``word`` is a signal."""
    is_signed, top = word.shape().signed, len(places) - 1
    width = len(word) + top
    result: Value = Const(0, width)
    for k, line in enumerate(places):
        above = word[-1].replicate(top - k) if is_signed else Const(0, top - k)
        result = result | Cat(Const(0, k), word, above) & line.replicate(width)
    return result.as_signed() if is_signed else result

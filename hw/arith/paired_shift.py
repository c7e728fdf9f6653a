# SPDX-License-Identifier: Apache-2.0
"""Shifts by the sum of two numbers of places, each 0, 1 or 2, for logic gates."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.wires import wire

__all__ = ["shifted_twice"]


def shifted_twice(m: Module, word: Value, first: Sequence[Value], second: Sequence[Value]) -> Value:
    """Return ``word << (j + k)``, signed, where ``first[j]`` and ``second[k]`` are 1.

    ``word`` is a signed signal. ``first`` and ``second`` are the three lines of a number each:
    exactly one of them is 1. One place goes first, if the sum is odd, while the word is short, and
    then 0, 2 or 4 places at once: fewer gates than five places at once, and than one shift for
    each number.
    """
    odd = wire(m, first[1] ^ second[1], "odd")
    four = wire(m, first[2] & second[2], "four")
    none = wire(m, ~((~first[0] | second[2]) & (~second[0] | first[2])), "none")
    two = wire(m, ~(none | four), "two")
    zero, width = Const(0, 1), len(word)
    moved = zip([zero, *word], [*word, word[-1]], strict=True)
    once = wire(m, Cat(Mux(odd, below, bit) for below, bit in moved), "once")

    def bit(place: int) -> Value:
        return once[min(place, width)] if place >= 0 else zero

    low = [bit(k) & none | bit(k - 2) & two | bit(k - 4) & four for k in range(width + 1)]
    # Four places go with an even sum, which leaves the two top bits alike.
    high = [Mux(two, bit(width - 1), bit(width)), bit(width)]
    high = [Mux(four, bit(width - 3 + k), value) for k, value in enumerate(high)]
    return Cat(*low, *high, bit(width)).as_signed()

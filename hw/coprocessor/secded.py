# SPDX-License-Identifier: Apache-2.0
"""A code that corrects one wrong bit of a word and tells two (Hsiao)."""

from functools import reduce
from itertools import combinations
from operator import xor
from typing import Any

from amaranth.hdl import Cat, Const, Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire

__all__ = ["SecdedDecoder", "check_bits", "columns", "encode"]


def check_bits(width: int) -> int:
    """Return how many bits go along with ``width`` bits of data."""
    checks = 2
    while (1 << checks - 1) - checks < width:
        checks += 1
    return checks


def columns(width: int) -> list[int]:
    """Return for each bit of data which check bits it is in: different sets of 3, 5, ... of them.

    The smallest sets come first, and evenly spread, so that no check bit is much deeper than
    another.
    """
    checks, found = check_bits(width), list[int]()
    for weight in range(3, checks + 1, 2):
        sets = [sum(1 << bit for bit in chosen) for chosen in combinations(range(checks), weight)]
        loads = [0] * checks
        while sets and len(found) < width:
            best = min(
                sets,
                key=lambda s: sorted((n + (s >> bit & 1) for bit, n in enumerate(loads)))[::-1],
            )
            sets.remove(best)
            found.append(best)
            loads = [n + (best >> bit & 1) for bit, n in enumerate(loads)]
    return found


def encode(word: Value) -> Value:
    """Return the check bits of ``word``; those of 0 are 0."""
    sets = columns(len(word))
    members = [
        [word[k] for k, chosen in enumerate(sets) if chosen >> bit & 1]
        for bit in range(check_bits(len(word)))
    ]
    return Cat(reduce(xor, bits, Const(0, 1)) for bits in members)


class SecdedDecoder(wiring.Component):
    """Correct a word that was read.

    Parameters
    ----------
    width : int
        Bits of data.

    Members
    -------
    word : ``In(width + check_bits(width))``
        Data, and above it the check bits.
    data : ``Out(width)``
        Right, if at most one bit of ``word`` is wrong.
    corrected, detected : ``Out(1)``
        One bit was wrong, also if it is a check bit; two were, or a number that cannot be told.

    Timing
    ------
    Combinational: an exclusive or of about half of the bits, a comparison, another exclusive or.
    """

    def __init__(self, width: int):
        self.width = width
        members: dict[str, Any] = {
            "word": In(width + check_bits(width)),
            "data": Out(width),
            "corrected": Out(1),
            "detected": Out(1),
        }
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m, width = Module(), self.width
        data = self.word[:width]
        syndrome = wire(m, encode(data) ^ self.word[width:], "syndrome")
        flips = wire(m, Cat(syndrome == chosen for chosen in columns(width)), "flips")
        alone = Cat(syndrome == 1 << bit for bit in range(check_bits(width))).any()
        m.d.comb += [
            self.data.eq(data ^ flips),
            self.corrected.eq(flips.any() | alone),
            self.detected.eq(syndrome.any() & ~self.corrected),
        ]
        return m

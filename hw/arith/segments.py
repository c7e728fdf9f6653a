# SPDX-License-Identifier: Apache-2.0
"""Accumulators whose carries stop at cuts and go on in the next cycle."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.hdl._ast import Assign

from hw.arith.wires import wire

__all__ = ["CutAccumulator", "cuts"]


def cuts(width: int, late_bits: int, carry_chains: bool) -> list[int]:
    """Return where an accumulator of ``width`` bits is cut: the lowest bit of every segment.

    What is added to the lowest ``late_bits`` comes late, so there the segments are short; above,
    only carries are added to a word that was there before.
    """
    short, long = (8, 16) if carry_chains else (4, 8)
    places = [*range(0, min(late_bits, width), short)]
    return [*places, *range(places[-1] + short, width, long)]


class CutAccumulator:
    """Registers for a sum: one word, and the carry that each cut stopped.

    Parameters
    ----------
    m : Module
        Where registers and adders go.
    width : int
        Bits of the sum.
    places : sequence of int
        Lowest bit of every segment; the first is 0.
    carry_chains : bool
        Add on the carry chains of an FPGA, not gate by gate.
    """

    def __init__(self, m: Module, width: int, places: Sequence[int], carry_chains: bool = False):
        self.width, self.places, self.carry_chains = width, list(places), carry_chains
        self._m = m
        self.word = Signal(width, reset_less=True)
        self._saved = {at: Signal(name=f"carry{at}", reset_less=True) for at in self.places[1:]}

    @property
    def carries(self) -> Value:
        """The second word: the sum is that of ``word`` and of this one, modulo ``2**width``."""
        return Cat(self._saved.get(k, Const(0, 1)) for k in range(self.width))

    @property
    def total(self) -> Value:
        """The sum as one signed word."""
        return (self.word + self.carries)[: self.width].as_signed()

    def kept(self, keep: Value) -> Value:
        """Return the first word, or 0 where ``keep`` is 0."""
        return wire(self._m, self.word & keep.replicate(self.width), "word_kept")

    def step(self, first: Value, second: Value, keep: Value, carry: Value) -> list[Assign]:
        """Return what loads ``first + second + carry`` and, if ``keep``, the stopped carries.

        ``first`` and ``second`` have ``width`` bits; one of them stands for :meth:`kept`.
        """
        loads = []
        for low, high in zip(self.places, [*self.places[1:], self.width], strict=True):
            if low:
                carry = wire(self._m, self._saved[low] & keep, "carry")
            total = self._add(first[low:high], second[low:high], carry)
            loads.append(self.word[low:high].eq(total[: high - low]))
            if high < self.width:
                loads.append(self._saved[high].eq(total[high - low]))
        return loads

    def _add(self, first: Value, second: Value, carry: Value) -> Value:
        """Return ``first + second + carry`` with the carry out."""
        if self.carry_chains:
            return wire(self._m, Cat(carry, first) + Cat(carry, second), "segment")[1:]
        bits = []
        for one, other in zip(first, second, strict=True):
            either = wire(self._m, one ^ other, "half")
            bits.append(either ^ carry)
            carry = wire(self._m, one & other | either & carry, "ripple")
        return wire(self._m, Cat(*bits, carry), "segment")

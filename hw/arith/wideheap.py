# SPDX-License-Identifier: Apache-2.0
"""A long word plus a short sum: the next value of an accumulator, in logic gates."""

from amaranth.hdl import Cat, Module, Value

from hw.arith.bitheap import BitHeap
from hw.arith.step import stepped
from hw.arith.wires import wire

__all__ = ["WideHeap"]


class WideHeap(BitHeap):
    """A word and addends whose sum is within ``-bound`` and ``bound``, modulo ``2**len(word)``.

    The heap is only as wide as the bound: the bits of the word above it can but count up or down
    by one, for which no sign has to be extended and no carry has to ripple.

    Parameters
    ----------
    m : Module
        Where the adders go.
    word : Value
        The word, signed or not.
    bound : int
        Largest magnitude of the sum of all that is added; not checked.
    """

    def __init__(self, m: Module, word: Value, bound: int):
        bits = wire(m, Cat(word), "word")
        self._low = max((bound - 1).bit_length(), 1)
        self._high: Value | None = None
        if self._low + 2 > len(bits):
            super().__init__(m, len(bits))
            self.add(bits)
            return
        self._high = bits[self._low :]
        super().__init__(m, self._low + 2)
        self.add(bits[: self._low])
        self.add_constant(1 << self._low)  # the two top bits become 1 plus what is carried

    def total(self) -> Value:
        """Return the sum as a signed word of ``len(word)`` bits."""
        total = wire(self._m, Cat(super().total()), "low")
        if self._high is None:
            return total.as_signed()
        none, up = total[self._low], total[self._low + 1]
        high = stepped(self._m, self._high, up, ~(none | up))
        return Cat(total[: self._low], high).as_signed()

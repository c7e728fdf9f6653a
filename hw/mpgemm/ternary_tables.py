# SPDX-License-Identifier: Apache-2.0
"""Tables of the sums that a group of activations can make with weights -1, 0 and 1."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Value
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.aligned import Activation

__all__ = ["KEY_BITS", "TernaryBuilder", "TernaryTable", "trits"]

#: Bits of a key, by the activations of its group.
KEY_BITS = {2: 4, 3: 5, 4: 7, 5: 8}


def trits(number: int) -> list[int]:
    """Return the balanced ternary digits of an integer, each -1, 0 or 1, the lowest first."""
    digits = []
    while number:
        digit = (number + 1) % 3 - 1
        digits.append(digit)
        number = (number - digit) // 3
    return digits


@dataclass(frozen=True)
class TernaryTable:
    """What decides the entries ``T[n] = sum(a[i] * trits(n)[i])`` of a table.

    Entry 0 is zero and entry ``-n`` is ``-T[n]``; neither is stored.
    """

    size: int  #: Activations, ``g``.
    act: Activation  #: The integers that they are.
    carry_chains: bool = False  #: Whether sums are built for the carry chains of an FPGA.

    @property
    def entries(self) -> int:
        """Stored entries: the first is ``T[1]``."""
        count: int = (3**self.size - 1) // 2
        return count

    def bounds(self, number: int) -> tuple[int, int]:
        """Return the least and the greatest value of an entry."""
        low, high = self.act.low, self.act.high
        plus, minus = trits(number).count(1), trits(number).count(-1)
        return plus * low - minus * high, plus * high - minus * low

    def width(self, number: int) -> int:
        """Bits of an entry, signed."""
        low, high = self.bounds(number)
        return max((-low - 1).bit_length() if low < 0 else 0, high.bit_length()) + 1

    @property
    def entry_bits(self) -> int:
        """Bits of the widest entry."""
        return max(map(self.width, range(1, self.entries + 1)))

    @property
    def bits(self) -> int:
        """Bits of the table."""
        return self.entries * self.entry_bits

    @property
    def most(self) -> int:
        """Largest magnitude of an entry."""
        return max(-self.bounds(self.entries)[0], self.bounds(self.entries)[1])

    def new_builder(self) -> "TernaryBuilder":
        """Return what makes the table."""
        return TernaryBuilder(self)

    @property
    def label(self) -> str:
        """What decides the builder's logic, as part of a name."""
        return f"t{self.size}_{self.act.name}{'_chains' if self.carry_chains else ''}"


class TernaryBuilder(Cell):
    """The table of one group of activations, at once, with one adder for each entry of two or more.

    Parameters
    ----------
    table : TernaryTable

    Members
    -------
    act : ``In(size * shape.act.bits)``
        Integers, activation 0 low.
    table : ``Out(table.bits)``
        Entries from ``T[1]``, the first low, each signed.

    Timing
    ------
    Combinational.

    Source: the bound ``c - g`` of adders for ``c`` entries of ``g`` activations, which it meets.
    """

    def __init__(self, shape: TernaryTable):
        self.shape = shape
        self.label = f"table_{shape.label}"
        self.latency = 0
        super().__init__({"act": In(shape.size * shape.act.bits), "table": Out(shape.bits)})

    def body(self, platform: Any) -> Module:
        m, shape = Module(), self.shape
        codes = [self.act.word_select(i, shape.act.bits) for i in range(shape.size)]
        acts = [c.as_signed() if shape.act.signed else Cat(c, 0).as_signed() for c in codes]
        sums: dict[int, Value] = {}
        for number in range(1, shape.entries + 1):
            top = len(trits(number)) - 1
            rest = number - 3**top
            if rest == 0:
                sums[number] = acts[top]
            else:
                sums[number] = self._sum(m, number, acts[top], sums[abs(rest)], rest < 0)
        words = [_extended(sums[n], shape.entry_bits) for n in sorted(sums)]
        m.d.comb += self.table.eq(Cat(*words))
        return m

    def _sum(self, m: Module, number: int, act: Value, other: Value, minus: bool) -> Value:
        """Return ``act + other`` or ``act - other``. Signs are extended: the bits are few."""
        width = self.shape.width(number)
        heap = BitHeap(m, width, self.shape.carry_chains)
        for word, negative in ((act, False), (other, minus)):
            if negative:
                word = (~word).as_signed()
                heap.add_constant(1)
            heap.add(word if self.shape.carry_chains else _extended(word, width))
        return wire(m, Cat(heap.total()), f"entry{number}").as_signed()


def _extended(value: Value, width: int) -> Value:
    """Return a signed ``value`` in ``width`` bits."""
    return Cat(value, value[-1].replicate(width - len(value)))

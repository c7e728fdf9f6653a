# SPDX-License-Identifier: Apache-2.0
"""Books of weights as few factors, of which a code names one and a sign."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from amaranth.hdl import Cat, Module, Value
from amaranth.lib.wiring import In, Out

from hw.arith.recode import lookup
from hw.arith.wires import wire
from hw.cell import Cell
from hw.pe.decode import label_of
from hw.pe.values import values_of
from hw.spec.formats import Format

__all__ = ["Book", "BookKey"]


@dataclass(frozen=True)
class Book:
    """A book of ``2**bits`` codes."""

    name: str  #: Part of a Verilog identifier.
    bits: int
    values: tuple[int, ...] = ()  #: What the codes stand for; empty where that is not known.

    @classmethod
    def of(cls, fmt: Format) -> "Book":
        """Return the book of a format whose codes are all finite."""
        return cls(label_of(fmt), fmt.bits, tuple(v or 0 for v in values_of(fmt)))

    @cached_property
    def factors(self) -> tuple[int, ...]:
        """One factor for each magnitude but 0: negative where no code has the positive one."""
        found = sorted({abs(v) for v in self.values} - {0}) or [1]
        return tuple(v if v in self.values else -v for v in found)

    @property
    def entries(self) -> int:
        """What a code can name."""
        return len(self.factors) if self.values else 1 << self.bits

    @cached_property
    def chosen(self) -> tuple[int, ...]:
        """For each code the number of its factor from 1, negative where it is to be negated.

        0 is the value 0.
        """
        if not self.values:
            return tuple(range(1, self.entries + 1))
        return tuple(self._number(value) for value in self.values)

    @property
    def signs(self) -> bool:
        """Whether some factor is negated."""
        return min(self.chosen) < 0

    def both(self, entry: int) -> bool:
        """Whether a factor is taken with either sign."""
        return -1 - entry in self.chosen

    def _number(self, value: int) -> int:
        if value in self.factors:
            return 1 + self.factors.index(value)
        return -1 - self.factors.index(-value) if value else 0


class BookKey(Cell):
    """A code as what it names, for all rows.

    Parameters
    ----------
    book : Book
    numbers : bool
        Whether to give the number of the factor instead of a line for each.

    Members
    -------
    key : ``In(book.bits)``
    taken : ``In(1)``
        Without it nothing is named.
    lines : ``Out``
        One for each factor, or the number of the factor from 1, 0 for the value 0; above it,
        whether it is to be negated.

    Timing
    ------
    Combinational.
    """

    def __init__(self, book: Book, numbers: bool = False):
        self.book, self._numbers = book, numbers
        self.label = f"book_key_{book.name}{'_numbers' if numbers else ''}"
        size = book.entries.bit_length() if numbers else book.entries
        super().__init__({"key": In(book.bits), "taken": In(1), "lines": Out(size + 1)})

    def body(self, platform: Any) -> Module:
        m, chosen = Module(), self.book.chosen
        key = wire(m, self.key, "code")
        truths = [[abs(n) == e for n in chosen] for e in range(1, self.book.entries + 1)]
        if self._numbers:
            bits = range(self.book.entries.bit_length())
            truths = [[bool(abs(n) >> bit & 1) for n in chosen] for bit in bits]
        truths.append([n < 0 for n in chosen])
        words: list[Value] = [lookup(truth, key) & self.taken for truth in truths]
        m.d.comb += self.lines.eq(Cat(*words))
        return m

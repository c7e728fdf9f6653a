# SPDX-License-Identifier: Apache-2.0
"""Products of activations with all that a book has, made once for all columns."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from amaranth.hdl import Cat, Module, Value
from amaranth.lib.wiring import In, Out

from hw.arith.multiples import multiples
from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.aligned import Activation
from hw.mpgemm.book import Book, BookKey
from hw.mpgemm.decoded import DecodedRows
from hw.mpgemm.shape import Shape
from hw.mpgemm.table_rows import TableRow

__all__ = ["ProductBuilder", "ProductLookup", "ProductRows", "ProductTable"]


@dataclass(frozen=True)
class ProductTable:
    """What decides the products of one activation with the factors of a book."""

    book: Book
    act: Activation
    carry_chains: bool = False

    @property
    def entries(self) -> int:
        """Factors of the book."""
        return self.book.entries

    @property
    def most(self) -> int:
        """Largest magnitude of a product."""
        return max(map(abs, self.book.factors)) * max(-self.act.low, self.act.high)

    @property
    def entry_bits(self) -> int:
        """Bits of the widest product, signed."""
        acts = self.act.low, self.act.high
        ends = [factor * end for factor in self.book.factors for end in acts]
        return 1 + max((end if end >= 0 else -end - 1).bit_length() for end in ends)

    @property
    def bits(self) -> int:
        """Bits of all products."""
        return self.entries * self.entry_bits

    def new_builder(self) -> "ProductBuilder":
        """Return what makes them."""
        return ProductBuilder(self)


class ProductBuilder(Cell):
    """The products of one activation, at once, with about one adder for each odd factor.

    Parameters
    ----------
    table : ProductTable

    Members
    -------
    act : ``In(act.bits)``
        The integer.
    table : ``Out(table.bits)``
        Products with the book's factors in their order, each signed.

    Timing
    ------
    Combinational.
    """

    def __init__(self, table: ProductTable):
        self._table = table
        chains = "_chains" if table.carry_chains else ""
        self.label = f"products_{table.book.name}_{table.act.name}{chains}"
        super().__init__({"act": In(table.act.bits), "table": Out(table.bits)})

    def body(self, platform: Any) -> Module:
        m, table = Module(), self._table
        act = self.act.as_signed() if table.act.signed else Cat(self.act, 0).as_signed()
        words = multiples(m, act, table.book.factors, table.carry_chains)
        size = table.entry_bits
        padded = [_resized(words[factor], size) for factor in table.book.factors]
        m.d.comb += self.table.eq(Cat(*padded))
        return m


@dataclass(frozen=True)
class ProductLookup:
    """What decides the logic of sums of such products, but for their width.

    As of :class:`~hw.mpgemm.table_rows.TableLookup`.
    """

    table: ProductTable
    tables: int  #: Activations of a row in a step.
    pipeline: int = 0  #: 1: products are registered.

    @property
    def shapes(self) -> tuple[ProductTable, ...]:
        """The products of an activation."""
        return (self.table,)

    @property
    def carry_chains(self) -> bool:
        """Whether it is for the carry chains of an FPGA."""
        return self.table.carry_chains

    @cached_property
    def line_bits(self) -> tuple[int, ...]:
        """Bits with which a column selects one of them."""
        entries = self.table.entries
        return (1 + (entries.bit_length() if self.carry_chains else entries),)

    @property
    def table_bits(self) -> int:
        """Bits of the products of an activation."""
        return self.table.bits

    @property
    def act(self) -> Activation:
        """The integers of activations."""
        return self.table.act

    @property
    def act_bits(self) -> int:
        """Bits of the codes of a row's activations."""
        return self.tables * self.act.code_bits

    @property
    def bound(self) -> int:
        """Largest magnitude of what one step adds to a sum."""
        return self.tables * self.table.most

    @property
    def label(self) -> str:
        """What decides the logic, as part of a name."""
        chains = "_chains" if self.carry_chains else ""
        name = f"{self.table.book.name}x{self.tables}_{self.table.act.name}"
        return f"shared_{name}_p{self.pipeline}{chains}"


class ProductRows(DecodedRows):
    """Rows of products, and the decoders of codes, for :class:`~hw.mpgemm.decoded.Decoded`.

    Source: AxLLM, "multiplication reuse for quantized weights".
    """

    def __init__(self, lookup: ProductLookup, shape: Shape):
        super().__init__(shape, lookup.pipeline + 1)
        self.lookup = lookup
        self.decoded_bits = shape.columns * lookup.tables * sum(lookup.line_bits)

    def new_row(self) -> TableRow:
        """Return a new row."""
        return TableRow(self.lookup, self.shape.columns, self.shape.acc_bits)

    def decode(self, m: Module, word: Value, taken: Value) -> Value:
        """Return what the codes of a beat name."""
        lines, book = [], self.lookup.table.book
        for number in range(self.shape.columns * self.lookup.tables):
            m.submodules[f"key{number}"] = key = BookKey(book, self.lookup.carry_chains)
            m.d.comb += key.key.eq(word.word_select(number, book.bits))
            m.d.comb += key.taken.eq(taken)
            lines.append(key.lines)
        return wire(m, Cat(*lines), "lines")


def _resized(word: Value, size: int) -> Value:
    """Return a signed word in ``size`` bits, in which its value fits."""
    return Cat(word, word[-1].replicate(max(0, size - len(word))))[:size]

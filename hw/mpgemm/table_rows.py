# SPDX-License-Identifier: Apache-2.0
"""Sums of what is looked up, with a sign, in tables made from activations."""

from collections.abc import Sequence
from typing import Any, Protocol

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.wideheap import WideHeap
from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.aligned import Activation, aligned

__all__ = ["Table", "TableCell", "TableLookup", "TableRow"]


class Table(Protocol):
    """A table of signed numbers, whose entry 0, zero, is not stored."""

    @property
    def entries(self) -> int:
        """Stored entries."""

    @property
    def entry_bits(self) -> int:
        """Bits of the widest entry."""

    @property
    def bits(self) -> int:
        """Bits of the table."""

    def new_builder(self) -> Any:
        """Return what makes it: from ``act`` all entries, ``table``."""


class TableLookup(Protocol):
    """What decides the logic of lookups, but for the width of their sum."""

    @property
    def tables(self) -> int:
        """Groups of activations in a step."""

    @property
    def shapes(self) -> Sequence[Table]:
        """The tables of a group."""

    @property
    def line_bits(self) -> Sequence[int]:
        """Bits with which a column selects from each of them."""

    @property
    def table_bits(self) -> int:
        """Bits of the tables of a group."""

    @property
    def act(self) -> Activation:
        """The integers of activations."""

    @property
    def act_bits(self) -> int:
        """Bits of the codes of a row's activations."""

    @property
    def pipeline(self) -> int:
        """1 where tables are registered."""

    @property
    def carry_chains(self) -> bool:
        """Whether it is for the carry chains of an FPGA."""

    @property
    def bound(self) -> int:
        """Largest magnitude of what one step adds to a sum."""

    @property
    def label(self) -> str:
        """What decides the logic, as part of a name."""


class TableCell(Cell):
    """One sum of a tile, of what one column's keys look up in one row's tables.

    Parameters
    ----------
    shape : TableLookup
    acc_bits : int

    Members
    -------
    en : ``In(1)``
        Lets a step into the sum.
    clr : ``In(1)``
        With ``en``: it starts a new sum. Never without.
    lines : ``In``
        Of each table of the step ``shape.line_bits``: one for each entry, for carry chains the
        entry's number, 0 for none; above it, whether the entry counts negative. Without ``en`` they
        select nothing.
    table : ``In``
        All entries.
    acc : ``Out(signed(acc_bits))``
        The sum.

    Timing
    ------
    ``acc`` holds a step one cycle after its keys came.
    """

    def __init__(self, shape: TableLookup, acc_bits: int):
        self.shape, self._acc_bits = shape, acc_bits
        self.label = f"{shape.label}_c{acc_bits}"
        super().__init__(
            {
                "en": In(1),
                "clr": In(1),
                "lines": In(shape.tables * sum(shape.line_bits)),
                "table": In(shape.tables * shape.table_bits),
                "acc": Out(signed(acc_bits)),
            }
        )

    def body(self, platform: Any) -> Module:
        m, shape = Module(), self.shape
        kept = self.acc & (~self.clr).replicate(self._acc_bits)
        heap: BitHeap
        if shape.carry_chains:
            heap = BitHeap(m, self._acc_bits, True)
        else:
            heap = WideHeap(m, kept, shape.bound)
        line_at = entry_at = 0
        for _ in range(shape.tables):
            for table, bits in zip(shape.shapes, shape.line_bits, strict=True):
                lines = self.lines[line_at : line_at + bits]
                words = self.table[entry_at : entry_at + table.bits]
                line_at, entry_at = line_at + bits, entry_at + table.bits
                word, negative = self._looked_up(m, table, words, lines)
                heap.add(word, carry=negative)
        if shape.carry_chains:
            heap.add(kept.as_signed())  # last: the adders before it are narrower
        held = Signal(signed(self._acc_bits), reset_less=True)
        m.d.comb += self.acc.eq(held)
        total = heap.total()  # outside of the condition, which would gate every adder
        with m.If(self.en if shape.carry_chains else Const(1, 1)):
            m.d.sync += held.eq(total)
        return m

    def _looked_up(
        self, m: Module, table: Table, words: Value, lines: Value
    ) -> tuple[Value, Value]:
        """Return what is selected as a signed word and what is to be added to it."""
        width = table.entry_bits
        entries = [words.word_select(e, width) for e in range(table.entries)]
        negative = wire(m, lines[-1], "negative")
        if self.shape.carry_chains:
            level = [Const(0, width), *entries]
            for bit in lines[:-1]:
                level += level[-1:] * (len(level) % 2)
                level = [Mux(bit, b, a) for a, b in zip(level[::2], level[1::2], strict=True)]
            word = level[0]
        else:
            word = Const(0, width)
            for line, entry in zip(lines[:-1], entries, strict=True):
                word = word | entry & wire(m, line, "line").replicate(width)
        return wire(m, word ^ negative.replicate(width), "entry").as_signed(), negative


class TableRow(Cell):
    """One row of a tile: its tables, and its sums, which all look up in them.

    Parameters
    ----------
    shape : TableLookup
    columns : int
    acc_bits : int

    Members
    -------
    en : ``In(pipeline + 1)``
        One bit for the tables' register, if any; the highest lets a step into the sums.
    clr : ``In(1)``
        That step starts new sums.
    act : ``In(shape.act_bits)``
        Of each table its activations, in order of tables. Where they can be not finite, each sum
        has a bit above it for whether one was.
    wgt : ``In``
        Lines of all columns' cells, with the highest bit of ``en``.
    sums : ``Out(columns * (acc_bits[ + 1]))``

    Timing
    ------
    ``pipeline + 1`` cycles from ``act`` to ``sums``.
    """

    def __init__(self, shape: TableLookup, columns: int, acc_bits: int):
        self.shape, self._columns, self._acc_bits = shape, columns, acc_bits
        self.label = f"row{columns}_{shape.label}_c{acc_bits}"
        super().__init__(
            {
                "en": In(shape.pipeline + 1),
                "clr": In(1),
                "act": In(shape.act_bits),
                "wgt": In(columns * shape.tables * sum(shape.line_bits)),
                "sums": Out(columns * (acc_bits + shape.act.nan)),
            }
        )

    def body(self, platform: Any) -> Module:
        m, shape, bits = Module(), self.shape, self._acc_bits
        acts, nan = aligned(m, shape.act, self.act)
        words, at = [], 0
        for _ in range(shape.tables):
            for table in shape.shapes:
                builder = table.new_builder()
                m.submodules += builder
                m.d.comb += builder.act.eq(acts[at : at + len(builder.act)])
                at += len(builder.act)
                words.append(builder.table)
        tables = Cat(*words)
        if shape.pipeline:
            held = Signal(len(tables), reset_less=True, name="tables")
            with m.If(self.en[0]):
                m.d.sync += held.eq(tables)
            tables = held
        tables = wire(m, tables, "tables_looked_up")
        starts = wire(m, self.clr & self.en[-1], "starts")
        flag = self._flag(m, nan) if shape.act.nan else []
        for c in range(self._columns):
            m.submodules[f"column{c}"] = cell = TableCell(shape, bits)
            m.d.comb += [
                cell.en.eq(self.en[-1]),
                cell.clr.eq(starts),
                cell.lines.eq(self.wgt.word_select(c, len(cell.lines))),
                cell.table.eq(tables),
                self.sums.word_select(c, bits + len(flag)).eq(Cat(cell.acc, *flag)),
            ]
        return m

    def _flag(self, m: Module, nan: Value) -> list[Value]:
        """Return whether an activation of the sums is not finite."""
        if self.shape.pipeline:
            held = Signal(reset_less=True, name="not_finite")
            with m.If(self.en[0]):
                m.d.sync += held.eq(nan)
            nan = held
        found = Signal(reset_less=True, name="nan_found")
        with m.If(self.en[-1]):
            m.d.sync += found.eq(nan | found & ~self.clr)
        return [found]

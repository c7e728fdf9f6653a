# SPDX-License-Identifier: Apache-2.0
"""Sums of ternary weights by table lookup: keys, cells and rows."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.recode import lookup
from hw.arith.wideheap import WideHeap
from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.aligned import Activation, aligned
from hw.mpgemm.decoded import DecodedRows
from hw.mpgemm.shape import Shape
from hw.mpgemm.ternary_tables import KEY_BITS, TernaryBuilder, TernaryTable, trits

__all__ = ["TernaryCell", "TernaryKey", "TernaryLookup", "TernaryRow", "TernaryRows"]


@dataclass(frozen=True)
class TernaryLookup:
    """What decides the logic of a lookup, but for the width of its sum.

    The table of a group is one, or ``parts`` tables of some of its activations each, which a key
    selects from all at once.
    """

    group: int  #: Activations of a key.
    tables: int  #: Keys of a column in a step.
    act: Activation
    parts: tuple[int, ...]  #: Activations of each table of a group.
    pipeline: int = 0  #: 1: tables are registered.
    carry_chains: bool = False

    @property
    def key_bits(self) -> int:
        """Bits of a key as it comes."""
        return KEY_BITS[self.group]

    @cached_property
    def shapes(self) -> tuple[TernaryTable, ...]:
        """The tables of a group."""
        return tuple(TernaryTable(size, self.act, self.carry_chains) for size in self.parts)

    @property
    def line_bits(self) -> tuple[int, ...]:
        """Bits with which a decoded key selects from each table: its sign is the highest."""
        if self.carry_chains:
            return tuple(1 + shape.entries.bit_length() for shape in self.shapes)
        return tuple(1 + shape.entries for shape in self.shapes)

    @property
    def table_bits(self) -> int:
        """Bits of the tables of a group."""
        return sum(shape.bits for shape in self.shapes)

    @property
    def bound(self) -> int:
        """Largest magnitude of what one step adds to a sum."""
        return self.tables * sum(shape.most for shape in self.shapes)

    @property
    def label(self) -> str:
        """What decides the logic, as part of a name."""
        parts = "_".join(map(str, self.parts))
        chains = "_chains" if self.carry_chains else ""
        return f"ternary{parts}x{self.tables}_{self.act.name}_p{self.pipeline}{chains}"


class TernaryKey(Cell):
    """A key as what selects from each table of its group, for all rows.

    Parameters
    ----------
    shape : TernaryLookup

    Members
    -------
    key : ``In(shape.key_bits)``
        The number whose balanced ternary digits are the weights; any other selects zero.
    taken : ``In(1)``
        Without it nothing is selected. Not used with carry chains.
    lines : ``Out(sum(shape.line_bits))``
        For each table one line for each entry, for carry chains the entry's number, 0 for none;
        above it, whether the entry counts negative.

    Timing
    ------
    Combinational.
    """

    def __init__(self, shape: TernaryLookup):
        self.shape = shape
        self.label = f"key_{shape.label}"
        super().__init__(
            {"key": In(shape.key_bits), "taken": In(1), "lines": Out(sum(shape.line_bits))}
        )

    def body(self, platform: Any) -> Module:
        m, shape = Module(), self.shape
        sign = wire(m, self.key[-1] & (self.taken | shape.carry_chains), "sign")
        size = shape.key_bits - 1
        number = wire(m, ((self.key ^ sign.replicate(size + 1)) + sign)[:size], "number")
        if not shape.carry_chains and len(shape.parts) == 1:
            m.d.comb += self.lines.eq(Cat(*self._one_hot(m, number), sign))
            return m
        low, words = 0, []
        for table in shape.shapes:
            chosen = [_part(n, low, table.size, shape.group) for n in range(1 << size)]
            negative = wire(m, lookup([int(n < 0) for n in chosen], number) ^ sign, "negative")
            words.append(Cat(*self._selects(m, chosen, table, number), negative))
            low += table.size
        m.d.comb += self.lines.eq(Cat(*words))
        return m

    def _selects(
        self, m: Module, chosen: list[int], table: TernaryTable, number: Value
    ) -> list[Value]:
        """Return the number or the lines of the entry that each number of a key has chosen."""
        if self.shape.carry_chains:
            bits = range(table.entries.bit_length())
            return [lookup([abs(n) >> bit & 1 for n in chosen], number) for bit in bits]
        entries = range(1, table.entries + 1)
        return [lookup([int(abs(n) == e) for n in chosen], number) & self.taken for e in entries]

    def _one_hot(self, m: Module, number: Value) -> list[Value]:
        """Return the lines of the only table's entries."""
        half = len(number) // 2
        low, high = _lines(m, number[:half], Const(1, 1)), _lines(m, number[half:], self.taken)
        entries = range(1, self.shape.shapes[0].entries + 1)
        return [low[e & (1 << half) - 1] & high[e >> half] for e in entries]


class TernaryCell(Cell):
    """One sum of a tile, of what one column's keys look up in one row's tables.

    Parameters
    ----------
    shape : TernaryLookup
    acc_bits : int

    Members
    -------
    en : ``In(1)``
        Lets a step into the sum.
    clr : ``In(1)``
        With ``en``: it starts a new sum. Never without.
    lines : ``In``
        Of each table of the step, as of :class:`TernaryKey`; without ``en`` they select nothing.
    table : ``In``
        All entries.
    acc : ``Out(signed(acc_bits))``
        The sum.

    Timing
    ------
    ``acc`` holds a step one cycle after its keys came.
    """

    def __init__(self, shape: TernaryLookup, acc_bits: int):
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
        if shape.carry_chains:
            heap = BitHeap(m, self._acc_bits, True)
            heap.add(kept.as_signed())
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
        held = Signal(signed(self._acc_bits), reset_less=True)
        m.d.comb += self.acc.eq(held)
        with m.If(self.en if shape.carry_chains else Const(1, 1)):
            m.d.sync += held.eq(heap.total())
        return m

    def _looked_up(
        self, m: Module, table: TernaryTable, words: Value, lines: Value
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


class TernaryRow(Cell):
    """One row of a tile: its tables, and its sums, which all look up in them.

    Parameters
    ----------
    shape : TernaryLookup
    columns : int
    acc_bits : int

    Members
    -------
    en : ``In(pipeline + 1)``
        One bit for the tables' register, if any; the highest lets a step into the sums.
    clr : ``In(1)``
        That step starts new sums.
    act : ``In(group * tables codes)``
        Where they can be not finite, each sum has a bit above it for whether one was.
    wgt : ``In``
        Decoded keys of all columns, with the highest bit of ``en``.
    sums : ``Out(columns * (acc_bits[ + 1]))``

    Timing
    ------
    ``pipeline + 1`` cycles from ``act`` to ``sums``.
    """

    def __init__(self, shape: TernaryLookup, columns: int, acc_bits: int):
        self.shape, self._columns, self._acc_bits = shape, columns, acc_bits
        self.label = f"row{columns}_{shape.label}_c{acc_bits}"
        super().__init__(
            {
                "en": In(shape.pipeline + 1),
                "clr": In(1),
                "act": In(shape.group * shape.tables * shape.act.code_bits),
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
                builder = TernaryBuilder(table)
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
            m.submodules[f"column{c}"] = cell = TernaryCell(shape, bits)
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


class TernaryRows(DecodedRows):
    """Rows of lookups, and the decoders of their keys, for :class:`~hw.mpgemm.decoded.Decoded`."""

    def __init__(self, lookup: TernaryLookup, shape: Shape):
        super().__init__(shape, lookup.pipeline + 1)
        self.lookup = lookup
        self.sum_bits = shape.acc_bits + lookup.act.nan
        keys = shape.columns * lookup.tables
        self.decoded_bits = keys * sum(lookup.line_bits)

    def new_row(self) -> TernaryRow:
        """Return a new row."""
        return TernaryRow(self.lookup, self.shape.columns, self.shape.acc_bits)

    def split(self, word: Value) -> tuple[Value, Value]:
        """Return the sum, and whether it is of an activation that is not finite."""
        return (word[:-1], word[-1]) if self.lookup.act.nan else (word, Const(0, 1))

    def decode(self, m: Module, word: Value, taken: Value) -> Value:
        """Return the decoded keys of a beat."""
        lines = []
        for number in range(self.shape.columns * self.lookup.tables):
            m.submodules[f"key{number}"] = key = TernaryKey(self.lookup)
            m.d.comb += key.key.eq(word.word_select(number, self.lookup.key_bits))
            m.d.comb += key.taken.eq(taken)
            lines.append(key.lines)
        return wire(m, Cat(*lines), "lines")


def _lines(m: Module, number: Value, first: Value) -> list[Value]:
    """Return ``first & (number == k)`` for every k."""
    lines = [first]
    for bit in number:
        lines = [line & ~bit for line in lines] + [line & bit for line in lines]
        lines = list(wire(m, Cat(*lines), "lines"))
    return lines


def _part(number: int, low: int, size: int, group: int) -> int:
    """Return the number of ``size`` digits of ``number`` from digit ``low``; 0 if it is illegal."""
    digits = trits(number)
    if len(digits) > group:
        return 0
    return sum(digit * 3**k for k, digit in enumerate(digits[low : low + size]))

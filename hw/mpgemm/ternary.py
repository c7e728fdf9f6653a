# SPDX-License-Identifier: Apache-2.0
"""Sums of ternary weights by table lookup: keys and rows."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from amaranth.hdl import Cat, Const, Module, Value
from amaranth.lib.wiring import In, Out

from hw.arith.recode import lookup
from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.aligned import Activation
from hw.mpgemm.decoded import DecodedRows
from hw.mpgemm.shape import Shape
from hw.mpgemm.table_rows import TableRow
from hw.mpgemm.ternary_tables import KEY_BITS, TernaryTable, trits

__all__ = ["TernaryKey", "TernaryLookup", "TernaryRows"]


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
    def act_bits(self) -> int:
        """Bits of the codes of a row's activations."""
        return self.group * self.tables * self.act.code_bits

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


class TernaryRows(DecodedRows):
    """Rows of lookups, and the decoders of their keys, for :class:`~hw.mpgemm.decoded.Decoded`."""

    def __init__(self, lookup: TernaryLookup, shape: Shape):
        super().__init__(shape, lookup.pipeline + 1)
        self.lookup = lookup
        keys = shape.columns * lookup.tables
        self.decoded_bits = keys * sum(lookup.line_bits)

    def new_row(self) -> TableRow:
        """Return a new row."""
        return TableRow(self.lookup, self.shape.columns, self.shape.acc_bits)

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

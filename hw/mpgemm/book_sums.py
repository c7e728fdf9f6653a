# SPDX-License-Identifier: Apache-2.0
"""Activations summed code by code: the sums of a cell, and of a row of cells."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.wideheap import WideHeap
from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.book import Book
from hw.spec.formats import IntFormat

__all__ = ["SumCell", "SumRow", "SumsShape"]


@dataclass(frozen=True)
class SumsShape:
    """What decides the logic of a cell's sums."""

    book: Book
    lanes: int  #: Activations of a row in a step.
    act: IntFormat
    longest: int  #: Activations of the longest sum.
    carry_chains: bool = False

    @property
    def signed(self) -> bool:
        """Whether a sum can be negative."""
        return self.act.signed or self.book.signs

    @property
    def bits(self) -> int:
        """Bits of one sum."""
        return (self.longest * self.act.max_int).bit_length() + int(self.signed)

    @property
    def line_bits(self) -> int:
        """Bits of a code as its cell takes it."""
        return self.book.entries + 1

    def drain(self, rows: int, pipeline: int) -> dict[str, int]:
        """Return the cycles of the end of a tile, as of :mod:`hw.mpgemm.engines.codebook`."""
        row = self.book.entries
        return {"first": row + 1 + pipeline, "row": row, "blocked": row * rows - 1}

    @property
    def label(self) -> str:
        """What decides the logic, as part of a name."""
        chains = "_chains" if self.carry_chains else ""
        return f"sums_{self.book.name}x{self.lanes}_{self.act.name}_s{self.bits}{chains}"


class SumCell(Cell):
    """The sums of one row and column: of the activations whose codes name the same factor.

    Parameters
    ----------
    shape : SumsShape

    Members
    -------
    en : ``In(1)``
        Lets a step into the sums; used with carry chains only.
    clr : ``In(1)``
        It starts new sums. Never without a step.
    act : ``In(lanes codes)``
    lines : ``In(lanes * shape.line_bits)``
        As of :class:`~hw.mpgemm.book.BookKey`; zero without a step.
    sums : ``Out(entries * shape.bits)``

    Timing
    ------
    ``sums`` hold a step one cycle after it came.

    Source: GANQ, for the sums.
    """

    def __init__(self, shape: SumsShape):
        self.shape = shape
        self.label = f"{shape.label}_cell"
        super().__init__(
            {
                "en": In(1),
                "clr": In(1),
                "act": In(shape.lanes * shape.act.bits),
                "lines": In(shape.lanes * shape.line_bits),
                "sums": Out(shape.book.entries * shape.bits),
            }
        )

    def body(self, platform: Any) -> Module:
        m, shape = Module(), self.shape
        named = [self.lines.word_select(lane, shape.line_bits) for lane in range(shape.lanes)]
        acts = [self._negated(m, lane, line[-1]) for lane, line in enumerate(named)]
        keep = (~self.clr).replicate(shape.bits)
        sums = []
        for entry in range(shape.book.entries):
            held = Signal(shape.bits, reset_less=True, name=f"sum{entry}")
            if shape.carry_chains:
                heap = BitHeap(m, shape.bits, True)
                heap.add(held & keep)
            else:
                heap = WideHeap(m, held & keep, shape.lanes * shape.act.max_int)
            for act, line in zip(acts, named, strict=True):
                word = act & line[entry].replicate(len(act))
                carry = line[entry] & line[-1] if shape.book.both(entry) else None
                heap.add(word.as_signed() if shape.signed else word, 0, carry)
            total = heap.total()  # outside of the condition, which would gate every adder
            with m.If(self.en if shape.carry_chains else Const(1, 1)):
                m.d.sync += held.eq(total)
            sums.append(held)
        m.d.comb += self.sums.eq(Cat(*sums))
        return m

    def _negated(self, m: Module, lane: int, negative: Value) -> Value:
        """Return the bits of an activation, inverted where it is ``negative``."""
        act = self.act.word_select(lane, self.shape.act.bits)
        if not self.shape.book.signs:
            return act
        if not self.shape.act.signed:
            act = Cat(act, 0)
        return wire(m, act ^ negative.replicate(len(act)), "act")


class SumRow(Cell):
    """One row of a tile.

    Parameters
    ----------
    shape : SumsShape
    columns : int

    Members
    -------
    en, clr, act, lines, sums
        As of :class:`SumCell`, ``lines`` and ``sums`` of all columns.

    Timing
    ------
    That of its cells.
    """

    def __init__(self, shape: SumsShape, columns: int):
        self.shape, self._columns = shape, columns
        self.label = f"row{columns}_{shape.label}"
        super().__init__(
            {
                "en": In(1),
                "clr": In(1),
                "act": In(shape.lanes * shape.act.bits),
                "lines": In(columns * shape.lanes * shape.line_bits),
                "sums": Out(columns * shape.book.entries * shape.bits),
            }
        )

    def body(self, platform: Any) -> Module:
        m = Module()
        for c in range(self._columns):
            m.submodules[f"column{c}"] = cell = SumCell(self.shape)
            m.d.comb += [
                cell.en.eq(self.en),
                cell.clr.eq(self.clr),
                cell.act.eq(self.act),
                cell.lines.eq(self.lines.word_select(c, len(cell.lines))),
                self.sums.word_select(c, len(cell.sums)).eq(cell.sums),
            ]
        return m

# SPDX-License-Identifier: Apache-2.0
"""Vectors of activations coded by the nearest of some centroids, whose products are looked up."""

import itertools
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.wideheap import WideHeap
from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.decoded import DecodedRows
from hw.mpgemm.shape import Shape
from hw.spec.formats import IntFormat

__all__ = ["Distance", "NearestRow", "NearestRows", "NearestShape", "nearest"]


@dataclass(frozen=True)
class NearestShape:
    """What decides the logic of a row, but for the width of its sums."""

    subvector: int  #: Activations that are coded together.
    centroids: int
    squares: bool  #: Whether distances are sums of squares, not of magnitudes.
    entry_bits: int  #: Bits of what is looked up, signed.
    act: IntFormat  #: Of activations and of centroids.
    carry_chains: bool = False
    pipeline: int = 0  #: 1: distances are registered.

    @property
    def distance_bits(self) -> int:
        """Bits of a distance."""
        most = (1 << self.act.bits) - 1
        return (self.subvector * (most**2 if self.squares else most)).bit_length()

    @property
    def vector_bits(self) -> int:
        """Bits of the activations that are coded together."""
        return self.subvector * self.act.bits

    @property
    def table_bits(self) -> int:
        """Bits of what one column can look up."""
        return self.centroids * self.entry_bits

    @property
    def label(self) -> str:
        """What decides the logic, as part of a name."""
        kind = "l2" if self.squares else "l1"
        chains = "_chains" if self.carry_chains else ""
        size = f"{self.subvector}x{self.centroids}"
        stages = f"_p{self.pipeline}" if self.pipeline else ""
        return f"nearest{size}_{kind}_e{self.entry_bits}_{self.act.name}{stages}{chains}"


class Distance(Cell):
    """How far two vectors are apart.

    Parameters
    ----------
    shape : NearestShape

    Members
    -------
    a, b : ``In(shape.vector_bits)``
        Element 0 low.
    far : ``Out(shape.distance_bits)``
        Sum of the magnitudes of the elements' differences, or of their squares.

    Timing
    ------
    Combinational.
    """

    def __init__(self, shape: NearestShape):
        self.shape = shape
        kind, chains = "l2" if shape.squares else "l1", "_chains" if shape.carry_chains else ""
        self.label = f"distance{shape.subvector}_{kind}_{shape.act.name}{chains}"
        super().__init__(
            {
                "a": In(shape.vector_bits),
                "b": In(shape.vector_bits),
                "far": Out(shape.distance_bits),
            }
        )

    def body(self, platform: Any) -> Module:
        m, shape = Module(), self.shape
        heap = BitHeap(m, shape.distance_bits, shape.carry_chains)
        for element in range(shape.subvector):
            words = [w.word_select(element, shape.act.bits) for w in (self.a, self.b)]
            a, b = (w.as_signed() if shape.act.signed else w for w in words)
            apart = wire(m, (a - b)[: shape.act.bits + 1], "apart")
            (self._square if shape.squares else self._magnitude)(m, heap, apart)
        m.d.comb += self.far.eq(heap.total())
        return m

    def _magnitude(self, m: Module, heap: BitHeap, apart: Value) -> None:
        """Add ``abs(apart)``: its bits inverted where it is negative, and the carry."""
        sign = apart[-1]
        heap.add(apart[:-1] ^ sign.replicate(len(apart) - 1), carry=sign)

    def _square(self, m: Module, heap: BitHeap, apart: Value) -> None:
        """Add the square of ``apart``, each pair of its bits once; pairs with the sign negative."""
        top = len(apart) - 1
        for k, bit in enumerate(apart):
            heap.add(bit, 2 * k)
        for low, high in itertools.combinations(range(len(apart)), 2):
            both = apart[low] & apart[high]
            weight = low + high + 1
            heap.add(~both if high == top else both, weight)
            if high == top:
                heap.add_constant(-1 << weight)


def nearest(m: Module, distances: list[Value], taken: Value) -> list[Value]:
    """Return a line for each distance: the least one's is ``taken``, of equals the first one's."""
    level = [[k] for k in range(len(distances))]
    least = list(distances)
    wins: list[tuple[list[int], list[int], Value]] = []
    while len(level) > 1:
        pairs = [(level[k : k + 2], least[k : k + 2]) for k in range(0, len(level), 2)]
        level, least = [], []
        for members, values in pairs:
            level.append([k for part in members for k in part])
            if len(values) == 1:
                least += values
                continue
            later = wire(m, values[1] < values[0], "later")
            wins.append((members[0], members[1], later))
            least.append(wire(m, Mux(later, values[1], values[0]), "least"))
    lines: list[Value] = [taken] * len(distances)
    for first, second, later in reversed(wins):
        either = lines[first[0]]
        found = [wire(m, either & ~later, "line"), wire(m, either & later, "line")]
        for members, line in ((first, found[0]), (second, found[1])):
            for k in members:
                lines[k] = line
    return lines


class NearestCell(Cell):
    """One sum of a tile, of what a column's tables have for a row's codes.

    Parameters
    ----------
    shape : NearestShape
    acc_bits : int

    Members
    -------
    en : ``In(1)``
        Lets a step into the sum. Used with carry chains only.
    clr : ``In(1)``
        It starts a new sum. Never without a step.
    lines : ``In(shape.centroids)``
        The code, one-hot; zero without a step.
    table : ``In(shape.table_bits)``
    acc : ``Out(signed(acc_bits))``

    Timing
    ------
    ``acc`` holds a step one cycle after it came.
    """

    def __init__(self, shape: NearestShape, acc_bits: int):
        self.shape, self._acc_bits = shape, acc_bits
        chains = "_chains" if shape.carry_chains else ""
        self.label = f"nearest{shape.centroids}_e{shape.entry_bits}_c{acc_bits}{chains}"
        super().__init__(
            {
                "en": In(1),
                "clr": In(1),
                "lines": In(shape.centroids),
                "table": In(shape.table_bits),
                "acc": Out(signed(acc_bits)),
            }
        )

    def body(self, platform: Any) -> Module:
        m, shape, width = Module(), self.shape, self.shape.entry_bits
        kept = self.acc & (~self.clr).replicate(self._acc_bits)
        if shape.carry_chains:
            heap = BitHeap(m, self._acc_bits, True)
            heap.add(kept.as_signed())
        else:
            heap = WideHeap(m, kept, 1 << width - 1)
        word: Value = Const(0, width)
        for k, line in enumerate(self.lines):
            word = word | self.table.word_select(k, width) & line.replicate(width)
        heap.add(wire(m, word, "entry").as_signed())
        held = Signal(signed(self._acc_bits), reset_less=True)
        m.d.comb += self.acc.eq(held)
        total = heap.total()  # outside of the condition, which would gate every adder
        with m.If(self.en if shape.carry_chains else Const(1, 1)):
            m.d.sync += held.eq(total)
        return m


class NearestRow(Cell):
    """One row of a tile: its encoder, and its sums.

    Parameters
    ----------
    shape : NearestShape
    columns : int
    acc_bits : int

    Members
    -------
    en : ``In(pipeline + 1)``
        A bit for each stage; the highest lets a step into the sums.
    clr : ``In(1)``
        That step starts new sums.
    act : ``In(shape.vector_bits)``
    wgt : ``In``
        Tables of all columns, of the step that enters the sums; above them the centroids, of the
        step that comes.
    sums : ``Out(columns * acc_bits)``

    Timing
    ------
    ``pipeline + 1`` cycles from ``act`` to ``sums``.
    """

    def __init__(self, shape: NearestShape, columns: int, acc_bits: int):
        self.shape, self._columns, self._acc_bits = shape, columns, acc_bits
        self.label = f"row{columns}_{shape.label}_c{acc_bits}"
        super().__init__(
            {
                "en": In(shape.pipeline + 1),
                "clr": In(1),
                "act": In(shape.vector_bits),
                "wgt": In(columns * shape.table_bits + shape.centroids * shape.vector_bits),
                "sums": Out(columns * acc_bits),
            }
        )

    def body(self, platform: Any) -> Module:
        m, shape, bits = Module(), self.shape, self._acc_bits
        centroids = self.wgt[self._columns * shape.table_bits :]
        distances = []
        for k in range(shape.centroids):
            m.submodules[f"distance{k}"] = distance = Distance(shape)
            m.d.comb += distance.a.eq(self.act)
            m.d.comb += distance.b.eq(centroids.word_select(k, shape.vector_bits))
            far: Value = distance.far
            if shape.pipeline:
                far = Signal(shape.distance_bits, reset_less=True, name=f"far{k}")
                with m.If(self.en[0]):
                    m.d.sync += far.eq(distance.far)
            distances.append(far)
        en = self.en[-1]
        lines = nearest(m, distances, en)
        starts = wire(m, self.clr & en, "starts")
        for c in range(self._columns):
            m.submodules[f"column{c}"] = cell = NearestCell(shape, bits)
            m.d.comb += [
                cell.en.eq(en),
                cell.clr.eq(starts),
                cell.lines.eq(Cat(*lines)),
                cell.table.eq(self.wgt.word_select(c, shape.table_bits)),
                self.sums.word_select(c, bits).eq(cell.acc),
            ]
        return m


class NearestRows(DecodedRows):
    """Rows of encoders, for :class:`~hw.mpgemm.decoded.Decoded`."""

    def __init__(self, near: NearestShape, shape: Shape):
        super().__init__(shape, near.pipeline + 1)
        self.near, self.weights_stage = near, 0
        self.decoded_bits = shape.wgt_bits + shape.group_bits

    def new_row(self) -> NearestRow:
        """Return a new row."""
        return NearestRow(self.near, self.shape.columns, self.sum_bits)

    def decode(self, m: Module, word: Value, taken: Value) -> Value:
        """Return the tables, when they are looked up, and the centroids, zero beyond K."""
        near, size = self.near, self.shape.wgt_bits
        tables: Value = word[:size]
        if near.pipeline:
            tables = Signal(size, reset_less=True, name="tables")
            with m.If(taken):
                m.d.sync += tables.eq(word[:size])
        there = word[size : size + near.subvector]
        keep = Cat(lane.replicate(near.act.bits) for lane in there)
        centroids = word[size + near.subvector :] & Cat(*[keep] * near.centroids)
        return wire(m, Cat(tables, centroids), "operands")

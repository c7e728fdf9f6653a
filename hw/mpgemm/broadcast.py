# SPDX-License-Identifier: Apache-2.0
"""Arrays whose sums stay in place and whose operands reach every cell at once."""

from typing import Any, Protocol

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.shape import Shape
from hw.mpgemm.tile_rows import TileRows
from hw.mpgemm.writer import row_signature

__all__ = ["ArrayRows", "Broadcast", "CellRow", "RowMaker", "step_signature"]


def step_signature(shape: Shape) -> stream.Signature:
    """Return the stream of steps that a core of this shape takes."""
    layout = {"act": shape.act_bits, "wgt": shape.step_wgt_bits, "first": 1, "last": 1}
    return stream.Signature(data.StructLayout(layout))


class CellRow(Cell):
    """One row of cells, which share an activation.

    Parameters
    ----------
    params : :class:`~hw.mpgemm.array_params.ArrayParams`

    Members
    -------
    en, clr : ``In``
        Of all cells.
    act : ``In``
        ``lanes`` codes.
    wgt : ``In``
        ``lanes`` codes for each column, column 0's first.
    sums : ``Out``
        What the cells hold, column 0's first.

    Timing
    ------
    That of the cells.
    """

    def __init__(self, params: ArrayParams):
        self.params = params
        cell, shape = params.new_cell(), params.shape
        self.label = f"row{params.columns}_{cell.label}"
        super().__init__(
            {
                "en": In(params.cell_latency),
                "clr": In(1),
                "act": In(shape.act_bits // shape.rows),
                "wgt": In(shape.step_wgt_bits),
                "sums": Out(params.sum_bits * params.columns),
            }
        )

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        for c in range(params.columns):
            m.submodules[f"cell{c}"] = cell = params.new_cell()
            m.d.comb += [cell.en.eq(self.en), cell.clr.eq(self.clr), cell.a.eq(self.act)]
            m.d.comb += cell.w.eq(self.wgt.word_select(c, len(cell.w)))
            m.d.comb += self.sums.word_select(c, params.sum_bits).eq(params.sum_of(cell))
        return m


class ArrayRows:
    """Rows of cells of an array, for :class:`Broadcast`."""

    def __init__(self, params: ArrayParams):
        self.params, self.shape = params, params.shape
        self.cell_latency, self.sum_bits = params.cell_latency, params.sum_bits
        self.split = params.split

    def new_row(self) -> CellRow:
        """Return a new row."""
        return CellRow(self.params)


class RowMaker(Protocol):
    """What :class:`Broadcast` must know of its rows."""

    @property
    def shape(self) -> Shape:
        """Sizes of the tile."""

    @property
    def cell_latency(self) -> int:
        """Cycles from a step to its sum; each is a bit of the rows' ``en``."""

    @property
    def sum_bits(self) -> int:
        """Bits in which a row holds one sum."""

    def new_row(self) -> Any:
        """Return a new row, with the members of :class:`CellRow`."""

    def split(self, word: Value) -> tuple[Value, Value]:
        """Return the sum that ``sum_bits`` bits stand for, and whether it is a NaN."""


class Broadcast(wiring.Component):
    """Rows of dot products, one step per cycle, whose operands reach all of a row at once.

    With one row it is a set of adder trees, with one lane a broadcast matrix, with both a cube.

    Parameters
    ----------
    maker : :class:`RowMaker`

    Members
    -------
    i : ``In(step_signature(maker.shape))``
    o : ``Out(row_signature(maker.shape))``
        The tile's rows. With more than one row they leave from a copy of the sums, while the next
        tile is computed.

    Timing
    ------
    One step per cycle; a tile may follow another ``rows`` cycles later. Row 0 is valid
    :attr:`latency` cycles after the tile's last step is accepted.
    """

    def __init__(self, maker: RowMaker):
        self.maker = maker
        self.latency = maker.cell_latency + (maker.shape.rows > 1)
        self.tiles_inside = maker.cell_latency + 2
        super().__init__(
            {"i": In(step_signature(maker.shape)), "o": Out(row_signature(maker.shape))}
        )

    def elaborate(self, platform: Any) -> Module:
        m, maker = Module(), self.maker
        shape, step = maker.shape, self.i.payload
        m.submodules.out = out = TileRows(shape.rows, shape.columns * maker.sum_bits)
        moving = wire(m, ~out.done | out.free, "moving")
        m.d.comb += self.i.ready.eq(moving)

        enables, starts = self._stages(m, moving, out.done)
        for r in range(shape.rows):
            m.submodules[f"row{r}"] = row = maker.new_row()
            m.d.comb += [row.en.eq(enables), row.clr.eq(starts), row.wgt.eq(step.wgt)]
            m.d.comb += row.act.eq(step.act.word_select(r, shape.act_bits // shape.rows))
            m.d.comb += out.sums[r].eq(row.sums)
        m.d.comb += [
            self.o.valid.eq(out.o.valid),
            out.o.ready.eq(self.o.ready),
        ]
        words = [out.o.payload.word_select(c, maker.sum_bits) for c in range(shape.columns)]
        accs, nans = zip(*(maker.split(word) for word in words), strict=True)
        m.d.comb += Value.cast(self.o.payload.acc).eq(Cat(*accs))
        if shape.nan:
            m.d.comb += self.o.payload.nan.eq(Cat(*nans))
        return m

    def _stages(self, m: Module, moving: Value, done: Signal) -> tuple[Value, Value]:
        """Return the cells' enables, and whether the step that they add starts a sum."""
        step = self.i.payload
        valid, first, last = self.i.valid, step.first, step.last
        enables = [moving & valid]
        for stage in range(self.maker.cell_latency - 1):
            later = [Signal(name=f"{name}{stage}") for name in ("valid", "first", "last")]
            with m.If(moving):
                m.d.sync += Cat(*later).eq(Cat(valid, first, last))
            valid, first, last = later
            enables.append(moving & valid)
        with m.If(moving):
            m.d.sync += done.eq(valid & last)
        return Cat(*enables), first

# SPDX-License-Identifier: Apache-2.0
"""Arrays whose sums stay in place and whose operands reach every cell at once."""

import itertools
from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.writer import row_signature

__all__ = ["Broadcast", "CellRow", "step_signature"]


def step_signature(params: ArrayParams) -> stream.Signature:
    """Return the stream of steps that a core of these parameters takes."""
    shape = params.shape
    return stream.Signature(
        data.StructLayout(
            {
                "act": unsigned(shape.act_bits),
                "wgt": unsigned(shape.wgt_bits),
                "first": 1,
                "last": 1,
            }
        )
    )


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
                "wgt": In(shape.wgt_bits),
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


class Broadcast(wiring.Component):
    """``rows`` x ``columns`` dot products of ``lanes`` products each, one step per cycle.

    With one row it is a set of adder trees, with one lane a broadcast matrix, with both a cube.

    Parameters
    ----------
    params : :class:`~hw.mpgemm.array_params.ArrayParams`

    Members
    -------
    i : ``In(step_signature(params))``
    o : ``Out(row_signature(params.shape))``
        The tile's rows. With more than one row they leave from a copy of the sums, while the next
        tile is computed.

    Timing
    ------
    One step per cycle; a tile may follow another ``rows`` cycles later. Row 0 is valid
    :attr:`latency` cycles after the tile's last step is accepted.
    """

    def __init__(self, params: ArrayParams):
        self.params = params
        self.latency = params.cell_latency + (params.rows > 1)
        self.tiles_inside = params.cell_latency + 2
        super().__init__({"i": In(step_signature(params)), "o": Out(row_signature(params.shape))})

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        shape, step = params.shape, self.i.payload
        done, moving = Signal(), Signal()  # ``done``: the cells hold a whole tile
        m.d.comb += self.i.ready.eq(moving)

        enables, starts = self._stages(m, moving, done)
        rows = []
        for r in range(shape.rows):
            m.submodules[f"row{r}"] = row = CellRow(params)
            m.d.comb += [row.en.eq(enables), row.clr.eq(starts), row.wgt.eq(step.wgt)]
            m.d.comb += row.act.eq(step.act.word_select(r, shape.act_bits // shape.rows))
            rows.append(row.sums)
        if shape.rows == 1:
            m.d.comb += [self.o.valid.eq(done), moving.eq(~done | self.o.ready)]
            self._show(m, rows[0])
            return m

        left = Signal(range(shape.rows + 1))  # rows that still have to leave
        copies = [Signal(len(rows[0]), reset_less=True, name=f"copy{r}") for r in range(shape.rows)]
        free = wire(m, ~left.any() | (left == 1) & self.o.ready, "free")
        m.d.comb += [moving.eq(~done | free), self.o.valid.eq(left.any())]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += left.eq(left - 1)
            m.d.sync += [copy.eq(after) for copy, after in itertools.pairwise(copies)]
        with m.If(done & free):
            m.d.sync += left.eq(shape.rows)
            m.d.sync += [copy.eq(row) for copy, row in zip(copies, rows, strict=True)]
        self._show(m, copies[0])
        return m

    def _stages(self, m: Module, moving: Value, done: Signal) -> tuple[Value, Value]:
        """Return the cells' enables, and whether the step that they add starts a sum."""
        step = self.i.payload
        valid, first, last = self.i.valid, step.first, step.last
        enables = []
        for stage in range(self.params.cell_latency):
            enables.append(moving & valid)
            later = [Signal(name=f"{name}{stage}") for name in ("valid", "first", "last")]
            if stage == self.params.cell_latency - 1:
                with m.If(moving):
                    m.d.sync += done.eq(valid & last)
                break
            with m.If(moving):
                m.d.sync += [
                    new.eq(old) for new, old in zip(later, (valid, first, last), strict=True)
                ]
            valid, first, last = later
        return Cat(*enables), first

    def _show(self, m: Module, row: Value) -> None:
        params = self.params
        width = params.sum_bits
        accs, nans = [], []
        for c in range(params.columns):
            word = row.word_select(c, width)
            acc, nan = params.split(word)
            accs.append(acc)
            nans.append(nan)
        m.d.comb += Value.cast(self.o.payload.acc).eq(Cat(*accs))
        if params.shape.nan:
            m.d.comb += self.o.payload.nan.eq(Cat(*nans))

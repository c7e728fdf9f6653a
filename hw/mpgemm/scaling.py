# SPDX-License-Identifier: Apache-2.0
"""Sums of groups of products, times the scales of their group, added to the sums of a tile."""

from dataclasses import replace
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.sequencer import group_signature
from hw.mpgemm.shape import Shape
from hw.mpgemm.writer import row_signature
from hw.pe.cells import Dot
from hw.pe.params import PEParams
from hw.quant.dequant_cell import Dequantize
from hw.quant.dequant_params import DequantParams

__all__ = ["RowSums", "ScaleStage", "scale_bits"]


def scale_bits(params: DequantParams, rows: int, columns: int) -> int:
    """Return the bits of the scales of one group: columns' codes, zero points, rows' codes."""
    shapes = params.group_shapes
    return columns * (shapes["s"] + shapes.get("z", 0)) + rows * shapes.get("t", 0)


class RowSums(Cell):
    """Sums of the activations of each row, which zero points multiply.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`
        Of the products of a step; ``max_k`` of them make a sum.
    rows : int

    Members
    -------
    act : ``In(rows * lanes codes)``
    en, clr : ``In(1)``
        This step counts; it starts new sums.
    sums : ``Out(rows * sum_bits)``
        The sums up to and with this step, in units of the activations.

    Timing
    ------
    Combinational from ``act`` to ``sums``.
    """

    def __init__(self, params: PEParams, rows: int):
        self.rows = rows
        ones: dict[str, Any] = {"format": "uint1", "bits": None, "arch": "shift-add", "pipeline": 0}
        ones |= {"acc_bits": None, "columns": 1, "core": "accumulate"}
        self._sum = replace(params, **ones)
        self._dot = replace(self._sum, core="dot")
        self.sum_bits = self._sum.acc_width
        self._width = params.lanes * params.act_format.bits
        dot = Dot(self._dot)
        dot._MustUse__used = True
        self.label = f"row_sums{rows}_c{self.sum_bits}_{dot.label}"
        members = {"act": In(rows * self._width), "en": In(1), "clr": In(1)}
        super().__init__({**members, "sums": Out(rows * self.sum_bits)})

    def body(self, platform: Any) -> Module:
        m = Module()
        keep = (~self.clr).replicate(self.sum_bits)
        for r in range(self.rows):
            m.submodules[f"dot{r}"] = dot = Dot(self._dot)
            held = Signal(signed(self.sum_bits), reset_less=True, name=f"held{r}")
            before = wire(m, (Cat(held) & keep).as_signed(), f"before{r}")
            total = wire(m, (before + dot.p)[: self.sum_bits], f"total{r}")
            with m.If(self.en):
                m.d.sync += held.eq(total)
            m.d.comb += [
                dot.a.eq(self.act.word_select(r, self._width)),
                dot.w.eq(~0),
                self.sums.word_select(r, self.sum_bits).eq(total),
            ]
        return m


class ScaleStage(wiring.Component):
    """Take the rows of a tile once for each group; give them once, scaled and added.

    Parameters
    ----------
    shape : :class:`~hw.mpgemm.shape.Shape`
        Of the groups' sums.
    result : :class:`~hw.mpgemm.shape.Shape`
        Of the scaled sums.
    params : :class:`~hw.quant.dequant_params.DequantParams`
    sa_bits : int
        Width of the sums of activations, 0 without zero points.

    Members
    -------
    row : ``In(row_signature(shape))``
    group : ``In(group_signature(shape, sa_bits))``
        For each ``rows`` rows the scales and the rows' sums of activations.
    o : ``Out(row_signature(result))``
        The rows of the last group.

    Timing
    ------
    One row per cycle; a row is valid :attr:`latency` cycles after its last group's was accepted.
    """

    def __init__(self, shape: Shape, result: Shape, params: DequantParams, sa_bits: int):
        self.shape, self.result, self.params, self.sa_bits = shape, result, params, sa_bits
        self.latency = self._cell().stages
        super().__init__(
            {
                "row": In(row_signature(shape)),
                "group": In(group_signature(shape, sa_bits)),
                "o": Out(row_signature(result)),
            }
        )

    def _cell(self) -> Dequantize:
        shape = self.shape
        cell = Dequantize(self.params, shape.nan, self.sa_bits or None, shape.rows)
        cell._MustUse__used = True
        return cell

    def elaborate(self, platform: Any) -> Module:
        m, shape, group = Module(), self.shape, self.group.payload
        moving = wire(m, ~self.o.valid | self.o.ready, "moving")
        both = wire(m, self.row.valid & self.group.valid, "both")
        number = Signal(range(shape.rows))
        ends = wire(m, number == shape.rows - 1, "ends")
        m.d.comb += [
            self.row.ready.eq(moving & self.group.valid),
            self.group.ready.eq(moving & self.row.valid & ends),
        ]
        with m.If(moving & both):
            m.d.sync += number.eq(Mux(ends, 0, number + 1))

        cells = [self._cell() for _ in range(shape.columns)]
        stages = cells[0].stages
        flags: Value = Cat(both, group.first, group.last)
        enables = []
        for stage in range(stages):
            enables.append(moving & flags[0])
            if stage == stages - 1:
                break
            later = Signal(3, name=f"flags{stage}")
            with m.If(moving):
                m.d.sync += later.eq(flags)
            flags = later
        with m.If(moving):
            m.d.sync += self.o.valid.eq(flags[0] & flags[2])

        shapes = self.params.group_shapes
        accs, nans = [], []
        after_s = shape.columns * shapes["s"]
        after_z = after_s + shape.columns * shapes.get("z", 0)
        for c, cell in enumerate(cells):
            m.submodules[f"column{c}"] = cell
            m.d.comb += [
                cell.en.eq(Cat(*enables)),
                cell.clr.eq(flags[1]),
                cell.p.eq(self.row.payload.acc[c]),
                cell.s.eq(group.scale.word_select(c, shapes["s"])),
            ]
            if self.sa_bits:
                m.d.comb += [
                    cell.z.eq(group.scale[after_s:].word_select(c, 8)),
                    cell.sa.eq(group.sa.word_select(number, self.sa_bits)),
                ]
            if "t" in shapes:
                m.d.comb += cell.t.eq(group.scale[after_z:].word_select(number, shapes["t"]))
            if shape.nan:
                m.d.comb += cell.bad.eq(self.row.payload.nan[c])
            accs.append(cell.y)
            if self.result.nan:
                nans.append(cell.nan)
        m.d.comb += Value.cast(self.o.payload.acc).eq(Cat(*accs))
        if self.result.nan:
            m.d.comb += self.o.payload.nan.eq(Cat(*nans))
        return m

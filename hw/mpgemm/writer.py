# SPDX-License-Identifier: Apache-2.0
"""Rows of tiles to an AXI4-Stream: what lies beyond the matrix is left out."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.axi.axis import axis
from hw.mpgemm.sequencer import tile_signature
from hw.mpgemm.shape import Shape

__all__ = ["Writer", "out_signature", "row_signature"]


def row_signature(shape: Shape) -> stream.Signature:
    """Return the stream of a core's rows: ``columns`` sums, and for each whether it is a NaN."""
    fields: dict[str, Any] = {"acc": data.ArrayLayout(shape.acc_bits, shape.columns)}
    if shape.nan:
        fields["nan"] = shape.columns
    return stream.Signature(data.StructLayout(fields))


def out_signature(shape: Shape) -> stream.Signature:
    """Return the stream of results: a beat is a row of a tile, ``tuser`` the error and the NaNs."""
    user = 4 + (shape.columns if shape.flagged else 0)
    return axis(shape.columns * shape.out_bits, keep=True, user=user)


class Writer(wiring.Component):
    """Send the rows and columns of each tile that exist.

    Parameters
    ----------
    shape : :class:`~hw.mpgemm.shape.Shape`

    Members
    -------
    tile : ``In(tile_signature(shape))``
    row : ``In(row_signature(shape))``
        ``rows`` beats for each tile, those beyond its rows too.
    single : ``In(1)``
        One beat for each tile. Present where jobs say whether it is.
    out : ``Out(out_signature(shape))``

    Timing
    ------
    Combinational from ``row`` to ``out``, one row per cycle.
    """

    def __init__(self, shape: Shape):
        self.shape = shape
        members: dict[str, Any] = {
            "tile": In(tile_signature(shape)),
            "row": In(row_signature(shape)),
            "out": Out(out_signature(shape)),
        }
        super().__init__({**members, **({"single": In(1)} if shape.switched else {})})

    def elaborate(self, platform: Any) -> Module:
        m, shape = Module(), self.shape
        tile, row, out = self.tile.payload, self.row, self.out
        number = Signal(range(shape.rows))
        fails = wire(m, tile.error.any(), "fails")
        exists = wire(m, number < tile.rows, "exists")
        ends = wire(m, number == shape.rows - 1, "ends")
        if shape.switched:
            ends = wire(m, ends | self.single, "ends_tile")
        sends = wire(m, self.tile.valid & ~fails & row.valid, "sends")
        done = wire(m, sends & (out.ready | ~exists), "done")
        m.d.comb += [
            out.valid.eq(sends & exists | self.tile.valid & fails),
            row.ready.eq(self.tile.valid & ~fails & (out.ready | ~exists)),
            self.tile.ready.eq(fails & out.ready | done & ends),
            out.payload.tlast.eq(fails | tile.last & (number + 1 == tile.rows)),
        ]
        with m.If(done):
            m.d.sync += number.eq(number + 1)
            with m.If(ends):
                m.d.sync += number.eq(0)
        words, keeps, nans = [], [], []
        for column in range(shape.columns):
            there = wire(m, ~fails & (tile.columns > column), f"column{column}")
            acc = row.payload.acc[column]
            above = Const(0, 1) if shape.unsigned else acc[-1]
            padding = above.replicate(shape.out_bits - shape.acc_bits)
            words.append(Cat(acc, padding) & there.replicate(shape.out_bits))
            keeps.append(there.replicate(shape.out_bits // 8))
            if shape.flagged:
                marks = [row.payload.nan[column]] if shape.nan else []
                marks += [tile.bad[column]] if shape.sparse else []
                nans.append((marks[0] | marks[1] if marks[1:] else marks[0]) & there)
        error = tile.error & fails.replicate(4)
        m.d.comb += [
            out.payload.tdata.eq(Cat(*words)),
            out.payload.tkeep.eq(Cat(*keeps)),
            out.payload.tuser.eq(Cat(error, *nans)),
        ]
        return m

# SPDX-License-Identifier: Apache-2.0
"""From the sums of a finished tile to its rows, one after the other."""

import itertools
from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire

__all__ = ["TileRows"]


class TileRows(wiring.Component):
    """Let the rows of a tile leave from a copy, while the sums of the next tile are made.

    Parameters
    ----------
    rows : int
    width : int
        Bits of a row.

    Members
    -------
    done : ``In(1)``
        ``sums`` are those of a whole tile; kept, both, until ``free``.
    sums : ``In(width).array(rows)``
        Apart, as Amaranth refuses wires of more than 65536 bits.
    free : ``Out(1)``
        The tile is taken in this cycle, if there is one.
    o : ``Out(stream.Signature(width))``

    Timing
    ------
    One row per cycle. With one row there is no copy: ``o`` follows ``sums`` combinationally. With
    more, row 0 is valid one cycle after the tile was taken.
    """

    def __init__(self, rows: int, width: int):
        self._rows = rows
        super().__init__(
            {
                "done": In(1),
                "sums": In(width).array(rows),
                "free": Out(1),
                "o": Out(stream.Signature(unsigned(width))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, rows, width = Module(), self._rows, len(self.o.payload)
        if rows == 1:
            m.d.comb += [
                self.o.valid.eq(self.done),
                self.o.payload.eq(self.sums[0]),
                self.free.eq(self.o.ready),
            ]
            return m
        left = Signal(range(rows + 1))  # rows that still have to leave
        copies = [Signal(width, reset_less=True, name=f"copy{r}") for r in range(rows)]
        leaves = wire(m, self.o.valid & self.o.ready, "leaves")
        m.d.comb += [
            self.o.valid.eq(left.any()),
            self.o.payload.eq(copies[0]),
            self.free.eq(~left.any() | (left == 1) & self.o.ready),
        ]
        with m.If(leaves):
            m.d.sync += left.eq(left - 1)
            m.d.sync += [copy.eq(after) for copy, after in itertools.pairwise(copies)]
        with m.If(self.done & self.free):
            m.d.sync += left.eq(rows)
            m.d.sync += [copy.eq(row) for copy, row in zip(copies, self.sums, strict=True)]
        return m

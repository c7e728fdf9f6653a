# SPDX-License-Identifier: Apache-2.0
"""One row of A for all rows of cells: beats of a product with a vector, made of those of a matrix.

An array that lets sums or weights stay takes the same beats of weights either way, but for their
number: those of a tile of K are as many as it has rows. Where sums stay, a beat of A has codes of
as many rows of A; where weights stay it has those of a tile of K of one row.
"""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.axi.axis import axis

__all__ = ["Filler", "Gatherer"]


class Gatherer(wiring.Component):
    """Let beats through, or make one of the first rows of as many as there are rows.

    Parameters
    ----------
    rows, bits : int
        Of a beat: rows, and bits of each.

    Members
    -------
    on : ``In(1)``
        Make one of several. Constant from the first beat of a packet to its last.
    i, o : ``In(axis(rows * bits))``, ``Out(axis(rows * bits))``
        The last beat of a packet ends one of ``o``, in which rows that did not come are undefined.

    Timing
    ------
    ``o`` follows ``i`` combinationally; a beat of ``i`` per cycle.
    """

    def __init__(self, rows: int, bits: int):
        self.rows, self.bits = rows, bits
        super().__init__({"on": In(1), "i": In(axis(rows * bits)), "o": Out(axis(rows * bits))})

    def elaborate(self, platform: Any) -> Module:
        m, i, o, most = Module(), self.i, self.o, self.rows - 1
        place, first = Signal(range(self.rows)), i.payload.tdata[: self.bits]
        held = [Signal(self.bits, reset_less=True, name=f"row{r}") for r in range(most)]
        rows = [Mux(place == r, first, row) for r, row in enumerate(held)]
        goes = Signal()
        m.d.comb += [
            goes.eq(~self.on | (place == most) | i.payload.tlast),
            o.valid.eq(i.valid & goes),
            i.ready.eq(o.ready | ~goes),
            o.payload.eq(i.payload),
        ]
        with m.If(self.on):
            m.d.comb += o.payload.tdata.eq(Cat(*rows, first))
        with m.If(i.valid & i.ready):
            m.d.sync += place.eq(Mux(goes, 0, place + 1))
            if held:
                m.d.sync += Array(held)[place].eq(first)
        return m


class Filler(wiring.Component):
    """Let packets through, or lengthen them to a multiple of ``rows`` beats.

    Parameters
    ----------
    rows, bits : int

    Members
    -------
    on : ``In(1)``
        Lengthen. Constant from the first beat of a packet to its last.
    i, o : ``In(axis(bits))``, ``Out(axis(bits))``
        What is added is undefined.

    Timing
    ------
    ``o`` follows ``i`` combinationally; a beat per cycle.
    """

    def __init__(self, rows: int, bits: int):
        self.rows, self.bits = rows, bits
        super().__init__({"on": In(1), "i": In(axis(bits)), "o": Out(axis(bits))})

    def elaborate(self, platform: Any) -> Module:
        m, i, o = Module(), self.i, self.o
        place, fills, ends = Signal(range(self.rows)), Signal(), Signal()
        m.d.comb += [
            ends.eq(place == self.rows - 1),
            o.valid.eq(i.valid | fills),
            i.ready.eq(o.ready & ~fills),
            o.payload.tdata.eq(i.payload.tdata),
            o.payload.tlast.eq(Mux(self.on, (i.payload.tlast | fills) & ends, i.payload.tlast)),
        ]
        with m.If(self.on & o.valid & o.ready):
            m.d.sync += place.eq(Mux(ends, 0, place + 1))
            m.d.sync += fills.eq((fills | i.payload.tlast) & ~ends)
        return m

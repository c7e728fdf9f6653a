# SPDX-License-Identifier: Apache-2.0
"""The rows of C in the order in which they are computed, and those that are added to, ahead."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.arith.wires import wire
from hw.axi.dma import command, read_beats
from hw.coprocessor.params import CoprocessorParams

__all__ = ["RowWalk", "Summands"]


def _job(params: CoprocessorParams) -> dict[str, Any]:
    return {
        "start": In(1),
        "m": In(params.size_bits),
        "n": In(params.size_bits),
        "address": In(params.addr_bits),
        "stride": In(18),
    }


class RowWalk(wiring.Component):
    """Walk over the parts of rows of C: column tile by column tile, row by row.

    Parameters
    ----------
    params : :class:`~hw.coprocessor.params.CoprocessorParams`

    Members
    -------
    start, m, n, address, stride
        As of :class:`~hw.coprocessor.store.Store`.
    moves : ``In(1)``
        On to the next one.
    active : ``Out(1)``
        There is one left.
    at : ``Out(addr_bits)``, ``bytes`` : ``Out``
        Where it is, and how long.

    Timing
    ------
    One a cycle, from the cycle after ``start``.
    """

    def __init__(self, params: CoprocessorParams):
        self.params = params
        most = params.columns * params.c_bytes
        super().__init__(
            {
                **_job(params),
                "moves": In(1),
                "active": Out(1),
                "at": Out(params.addr_bits),
                "bytes": Out(range(most + 1)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        columns, size = params.columns, exact_log2(params.c_bytes)
        left_m, left_n = (Signal(params.size_bits, name=f"left_{name}") for name in "mn")
        tile = Signal(params.addr_bits)
        closes_m = wire(m, left_m == 1, "closes_m")
        closes_n = wire(m, left_n <= columns, "closes_n")
        count = wire(m, Mux(closes_n, left_n, columns)[: columns.bit_length()], "count")
        following = wire(m, (tile + columns * params.c_bytes)[: len(tile)], "following")
        m.d.comb += self.bytes.eq(count << size)
        with m.If(self.moves):
            m.d.sync += [self.at.eq(self.at + self.stride), left_m.eq(left_m - 1)]
            with m.If(closes_m):
                m.d.sync += [left_m.eq(self.m), left_n.eq(left_n - columns)]
                m.d.sync += [tile.eq(following), self.at.eq(following)]
                with m.If(closes_n):
                    m.d.sync += self.active.eq(0)
        with m.If(self.start):
            m.d.sync += [
                self.active.eq(1),
                left_m.eq(self.m),
                left_n.eq(self.n),
                tile.eq(self.address),
                self.at.eq(self.address),
            ]
        return m


class Summands(wiring.Component):
    """Read rows of C some rows before results are added to them.

    Parameters
    ----------
    params : :class:`~hw.coprocessor.params.CoprocessorParams`

    Members
    -------
    start, m, n, address, stride
        As of :class:`~hw.coprocessor.store.Store`.
    on : ``In(1)``
        Read them at all.
    left : ``In(1)``
        For one cycle: the last beat of a row of ``o`` was taken.
    command : ``Out(command(addr_bits))``, ``beat`` : ``In(read_beats(data_width))``
        To the reader of memory.
    o : ``Out(stream.Signature(data_width))``
        Beats of the rows.

    Timing
    ------
    A row a cycle is asked for, as many ahead as there is room for: those of a tile, at least four.
    """

    def __init__(self, params: CoprocessorParams):
        self.params = params
        self.ahead = max(4, params.rows)
        super().__init__(
            {
                **_job(params),
                "on": In(1),
                "left": In(1),
                "command": Out(command(params.addr_bits)),
                "beat": In(read_beats(params.data_width)),
                "o": Out(stream.Signature(params.data_width)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        beats = -(-params.columns * 8 * params.c_bytes // params.data_width)
        m.submodules.walk = walk = RowWalk(params)
        depth = self.ahead * beats
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=params.data_width, depth=depth)
        there, asks = Signal(range(self.ahead + 1)), Signal()  # rows asked for and not left
        room = there != self.ahead
        m.d.comb += [
            *(getattr(walk, n).eq(getattr(self, n)) for n in _job(params) if n != "start"),
            walk.start.eq(self.start & self.on),
            asks.eq(walk.active & room & (~self.command.valid | self.command.ready)),
            walk.moves.eq(asks),
            fifo.w_en.eq(self.beat.valid),
            fifo.w_data.eq(self.beat.payload.data),
            self.o.valid.eq(fifo.r_rdy),
            self.o.payload.eq(fifo.r_data),
            fifo.r_en.eq(self.o.ready),
        ]
        with m.If(self.command.ready):
            m.d.sync += self.command.valid.eq(0)
        with m.If(asks):
            m.d.sync += [
                self.command.valid.eq(1),
                self.command.payload.addr.eq(walk.at),
                self.command.payload.bytes.eq(walk.bytes),
            ]
        m.d.sync += there.eq(there + asks - (self.left & self.on))
        return m

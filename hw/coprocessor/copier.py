# SPDX-License-Identifier: Apache-2.0
"""Rows of bytes from one place in memory to another."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.arith.wires import wire
from hw.axi.dma import command, read_beats, write_beats
from hw.coprocessor.params import CoprocessorParams

__all__ = ["Copier"]

BURSTS = 4  #: That the buffer holds at most.


class Copier(wiring.Component):
    """Copy ``m`` rows of ``n`` bytes, in pieces of a burst of the source each.

    Parameters
    ----------
    params : :class:`~hw.coprocessor.params.CoprocessorParams`

    Members
    -------
    start : ``In(1)``
        A copy begins. What follows stays until it is done.
    m, n : ``In(params.size_bits)``
    source, target : ``In(addr_bits)``
        Of the first row; any byte.
    source_stride, target_stride : ``In(16)``, ``In(18)``
        Bytes from row to row.
    read, beat : ``Out(command(addr_bits))``, ``In(read_beats(data_width))``
        To and from the reader of memory.
    write, out : ``Out(command(addr_bits))``, ``Out(write_beats(data_width))``
        To the writer of memory.
    written : ``In(1)``
        The bytes of a command of ``write`` are in memory.
    done : ``Out(1)``
        For one cycle: all bytes are.

    Timing
    ------
    A beat per cycle, as long as the buffer's four bursts, or ``outstanding`` if that is less, last
    for the latency of memory; a piece every second cycle at most. All outputs come from registers.
    """

    def __init__(self, params: CoprocessorParams):
        self.params = params
        bits, width = params.addr_bits, params.data_width
        super().__init__(
            {
                "start": In(1),
                "m": In(params.size_bits),
                "n": In(params.size_bits),
                "source": In(bits),
                "target": In(bits),
                "source_stride": In(16),
                "target_stride": In(18),
                "read": Out(command(bits)),
                "beat": In(read_beats(width)),
                "write": Out(command(bits)),
                "out": Out(write_beats(width)),
                "written": In(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        word, burst = params.bus_bytes, params.max_burst
        depth, piece = burst * min(params.outstanding, BURSTS), burst * word
        # Of a buffered queue one word is its output: only its memory takes whatever comes.
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=params.data_width + 1, depth=depth + 1)
        free = Signal(range(depth + 1), init=depth)  # words that no read was begun for

        left_m, left, behind = (
            Signal(params.size_bits, name=name) for name in ("left_m", "left", "behind")
        )
        source, target = Signal(params.addr_bits), Signal(params.addr_bits)
        active, ending, waiting = Signal(), Signal(), Signal(12)

        # Only the first piece of a row begins within a word of the source.
        skew = wire(m, (source + behind)[: exact_log2(word)], "skew")
        most = wire(m, piece - skew, "most")
        closes = wire(m, left <= most, "closes")
        size = wire(m, Mux(closes, left, most)[:16], "size")
        beats = wire(m, (size + (word - 1)) >> exact_log2(word), "beats")
        issues = wire(m, active & ~self.read.valid & ~self.write.valid & (free >= burst), "issues")
        sent = wire(m, self.out.valid & self.out.ready, "sent")

        for side, top in ((self.read, source), (self.write, target)):
            with m.If(side.ready):
                m.d.sync += side.valid.eq(0)
            with m.If(issues):
                m.d.sync += [
                    side.valid.eq(1),
                    side.payload.addr.eq(top + behind),
                    side.payload.bytes.eq(size),
                ]
        with m.If(issues):
            m.d.sync += [left.eq(left - size), behind.eq(behind + size)]
            with m.If(closes):
                m.d.sync += [
                    left.eq(self.n),
                    behind.eq(0),
                    left_m.eq(left_m - 1),
                    source.eq(source + self.source_stride),
                    target.eq(target + self.target_stride),
                    active.eq(left_m != 1),
                ]
        m.d.sync += [
            free.eq(free - Mux(issues, beats, 0) + sent),
            waiting.eq(waiting + issues - self.written),
        ]
        m.d.comb += [
            fifo.w_en.eq(self.beat.valid),
            fifo.w_data.eq(self.beat.payload),
            self.out.valid.eq(fifo.r_rdy),
            self.out.payload.eq(fifo.r_data),
            fifo.r_en.eq(self.out.ready),
        ]
        ended = ending & ~active & ~waiting.any()
        m.d.sync += self.done.eq(ended)
        with m.If(ended):
            m.d.sync += ending.eq(0)
        with m.If(self.start):
            m.d.sync += [
                active.eq(1),
                ending.eq(1),
                left_m.eq(self.m),
                left.eq(self.n),
                behind.eq(0),
                source.eq(self.source),
                target.eq(self.target),
            ]
        return m

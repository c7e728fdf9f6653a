# SPDX-License-Identifier: Apache-2.0
"""Completion records."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.axi.dma import command, write_beats
from hw.spec.coprocessor import RECORD_BYTES

__all__ = ["RecordWriter"]


class RecordWriter(wiring.Component):
    """Count the cycles of a descriptor, and store its record.

    Parameters
    ----------
    addr_bits, data_width : int
        Of the bus.

    Members
    -------
    restart, running : ``In(1)``, ``In(1)``
        Zero the cycles; count them.
    start, address : ``In(1)``, ``In(addr_bits)``
        Store a record there, beginning in this cycle.
    tag, index, error : ``In(16)``, ``In(16)``, ``In(4)``
        What it says; they stay as they are from ``start`` to the end of the beats.
    clear : ``In(1)``
        Forget what is being stored.
    cmd, beats : ``Out(command(addr_bits))``, ``Out(write_beats(data_width))``
        To the write master.

    Timing
    ------
    Command and first beat are offered in the cycle after ``start``.
    """

    def __init__(self, addr_bits: int, data_width: int):
        self.data_width = data_width
        super().__init__(
            {
                "restart": In(1),
                "running": In(1),
                "start": In(1),
                "address": In(addr_bits),
                "tag": In(16),
                "index": In(16),
                "error": In(4),
                "clear": In(1),
                "cmd": Out(command(addr_bits)),
                "beats": Out(write_beats(data_width)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # The high half follows a cycle later, which keeps the carry short.
        low, high, carry = Signal(32), Signal(32), Signal()
        m.d.sync += [carry.eq(self.running & (low == 0xFFFF_FFFF)), high.eq(high + carry)]
        with m.If(self.running):
            m.d.sync += low.eq(low + 1)
        with m.If(self.restart):
            m.d.sync += [low.eq(0), high.eq(0), carry.eq(0)]

        record = Cat(self.tag, self.index, self.error, Const(0, 28), low, high)
        count = max(1, 8 * RECORD_BYTES // self.data_width)
        turn = Signal(range(count))
        final = turn == count - 1
        m.d.comb += [
            self.cmd.payload.bytes.eq(RECORD_BYTES),
            self.beats.payload.data.eq(record.word_select(turn, self.data_width)),
            self.beats.payload.last.eq(final),
        ]
        with m.If(self.cmd.ready):
            m.d.sync += self.cmd.valid.eq(0)
        with m.If(self.beats.valid & self.beats.ready):
            m.d.sync += turn.eq(turn + 1)
            with m.If(final):
                m.d.sync += [turn.eq(0), self.beats.valid.eq(0)]
        with m.If(self.start):
            m.d.sync += [self.cmd.valid.eq(1), self.beats.valid.eq(1)]
            m.d.sync += self.cmd.payload.addr.eq(self.address)
        with m.If(self.clear):
            m.d.sync += [self.cmd.valid.eq(0), self.beats.valid.eq(0), turn.eq(0)]
        return m

# SPDX-License-Identifier: Apache-2.0
"""A table that packets of the input stream fill, between the rows that read it."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire

__all__ = ["LoadTable"]


class LoadTable(wiring.Component):
    """Entries of a beat each. A packet waits until the rows before it have read theirs.

    Parameters
    ----------
    width, depth : int
        Bits of an entry, and entries: what a packet has beyond them is ignored.

    Members
    -------
    valid, first, load, data : ``In``
        What the input stream offers; ``load`` counts where ``first`` begins a packet.
    loading : ``Out(1)``
        What is offered is for the table; it is taken where ``ready``.
    begins : ``Out(1)``
        The first beat of such a packet is taken.
    opens : ``In(1)``
        The first beat of a row is taken.
    moves, reads, reads_last : ``In(1)``
        Let the next entry of a row into ``o_data``; whether there is one; whether it is the last.
    o_data : ``Out(width)``

    Timing
    ------
    One beat per cycle; ``o_data`` follows in the cycle after ``moves``.
    """

    def __init__(self, width: int, depth: int):
        self._width, self._depth = width, depth
        ins = ("valid", "first", "load", "opens", "moves", "reads", "reads_last")
        members = {name: In(1) for name in ins}
        members |= {"data": In(width), "loading": Out(1), "ready": Out(1), "begins": Out(1)}
        super().__init__({**members, "o_data": Out(width)})

    def elaborate(self, platform: Any) -> Module:
        m, depth = Module(), self._depth
        m.submodules.memory = memory = Memory(shape=self._width, depth=depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        held, rows = Signal(), Signal(range(2 * depth + 64))
        closes = wire(m, self.reads & self.reads_last, "closes")
        count, place = Signal(range(depth + 1)), Signal(range(depth))
        at = wire(m, Mux(self.first, 0, count), "at")
        takes = wire(m, self.valid & self.loading & self.ready, "takes")
        m.d.comb += [
            self.loading.eq(Mux(self.first, self.load, held)),
            self.ready.eq(~self.first | ~rows.any()),
            self.begins.eq(takes & self.first),
            write.en.eq(takes & (at != depth)),
            write.addr.eq(at),
            write.data.eq(self.data),
            read.en.eq(self.moves),
            read.addr.eq(place),
            self.o_data.eq(read.data),
        ]
        m.d.sync += rows.eq(rows + self.opens - closes)
        with m.If(self.valid & self.first):
            m.d.sync += held.eq(self.load)
        with m.If(write.en):
            m.d.sync += count.eq(at + 1)
        with m.If(self.reads):
            m.d.sync += place.eq(Mux(self.reads_last, 0, place + 1))
        return m

# SPDX-License-Identifier: Apache-2.0
"""Rows that wait in a memory for what is known only at their end."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire

__all__ = ["RowStore"]


class RowStore(wiring.Component):
    """Store beats, and give the beats of a row beside its record once the record is there.

    Parameters
    ----------
    width : int
        Bits of a beat.
    max_beats, slack : int
        Beats of the longest row, and further ones for which there is room.
    record : data.StructLayout
        What is known at the end of a row, with a bit ``err``: a row that is one beat.
    checked : bool
        Rows may come that are longer; of such a row the first beat is kept. Without it, room is
        taken by :attr:`reserve`, ahead of the beats.

    Members
    -------
    put, data, last : ``In``
        A beat. Of a checked store it may only be put where there is ``room``.
    reserve : ``In(1)``
        A beat will be put. Only where there is ``room``; absent of a checked store.
    room : ``Out(1)``
        There is room for a beat.
    err : ``Out(1)``
        With the last beat of a row: it is too long. Present of a checked store.
    record : ``In(stream.Signature(record))``
        Records, in the order of the rows, each after the last beat of its row.
    moves : ``In(1)``
        What is given is taken, or nothing is.
    o_valid, o_data, o_last, o_record : ``Out``
        A beat and the record of its row.

    Timing
    ------
    One beat per cycle each way. The first beat of a row is given in the cycle after its record is
    there; rows follow each other without a gap.
    """

    def __init__(
        self, width: int, max_beats: int, slack: int, record: data.StructLayout, *, checked: bool
    ):
        self._width, self._max_beats, self._depth = width, max_beats, max_beats + slack
        self._checked = checked
        members = {"put": In(1), "data": In(width), "last": In(1), "room": Out(1)}
        members |= {"err": Out(1)} if checked else {"reserve": In(1)}
        members |= {"record": In(stream.Signature(record)), "moves": In(1)}
        members |= {"o_valid": Out(1), "o_data": Out(width), "o_last": Out(1)}
        super().__init__({**members, "o_record": Out(record)})

    def elaborate(self, platform: Any) -> Module:
        m, depth = Module(), self._depth
        m.submodules.memory = memory = Memory(shape=self._width + 1, depth=depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        used = Signal(range(depth + 1))
        put_at, get_at = Signal(range(depth)), Signal(range(depth))

        def after(place: Signal) -> Any:
            return Mux(place == depth - 1, 0, place + 1)

        m.d.comb += [
            self.room.eq(used != depth),
            write.addr.eq(put_at),
            write.data.eq(Cat(self.data, self.last)),
            write.en.eq(self.put),
        ]
        gained: Any = Signal(name="gained")
        with m.If(write.en):
            m.d.sync += put_at.eq(after(put_at))
        if self._checked:
            lost = self._check(m, write, put_at)
            m.d.comb += gained.eq(write.en)
        else:
            lost = 0
            m.d.comb += gained.eq(self.reserve)

        # While a row is read nothing is missing, so that what is given is empty or a last beat
        # before a row begins.
        record = Signal(self.record.payload.shape(), reset_less=True)
        begins = wire(m, ~self.o_valid | self.o_last, "begins")
        reads = wire(m, self.moves & (~begins | self.record.valid), "reads")
        m.d.comb += [
            self.record.ready.eq(self.moves & begins),
            read.en.eq(self.moves),
            read.addr.eq(get_at),
            self.o_data.eq(read.data),
            self.o_last.eq(read.data[-1] | record.err),
            self.o_record.eq(record),
        ]
        m.d.sync += used.eq(used + gained - reads - lost)
        with m.If(reads):
            m.d.sync += get_at.eq(after(get_at))
        with m.If(self.moves):
            m.d.sync += self.o_valid.eq(reads)
            with m.If(begins):
                m.d.sync += record.eq(self.record.payload)
        return m

    def _check(self, m: Module, write: Any, put_at: Signal) -> Any:
        """Of a row that becomes too long keep the first beat; return how many are lost now."""
        most = self._max_beats
        count, second = Signal(range(most + 1)), Signal.like(put_at, name="second")
        over = Signal()
        full = wire(m, count == most, "full")
        m.d.comb += [write.en.eq(self.put & ~full & ~over), self.err.eq(full | over)]
        with m.If(write.en):
            m.d.sync += count.eq(count + 1)
            with m.If(count == 0):
                m.d.sync += second.eq(Mux(put_at == self._depth - 1, 0, put_at + 1))
        exceeds = wire(m, self.put & full, "exceeds")
        with m.If(exceeds):
            m.d.sync += [put_at.eq(second), over.eq(1), count.eq(0)]
        with m.If(self.put & self.last):
            m.d.sync += [count.eq(0), over.eq(0)]
        return Mux(exceeds, most - 1, 0)

# SPDX-License-Identifier: Apache-2.0
"""Bridge from bytes to register accesses that speaks LiteX's ``uartbone`` protocol."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.axi.bus import Bus

__all__ = ["Uartbone"]


class Uartbone(wiring.Component):
    """Turn frames of bytes into accesses of a register bus.

    A frame is command, number of words (1 to 255), word address (4 bytes) and, for a write, the
    words; all most significant byte first. Commands: 1 write, 2 read, both to rising addresses;
    3 write, 4 read, both to one address. Writes are not answered; a read is answered by its words.
    A refused access does not stop a frame: a read then returns 0, and whoever answers the bus
    remembers the refusal. A frame with another command, or of no words, is swallowed up to its
    address.

    Parameters
    ----------
    clock_hz : int
        Frequency of the clock, from which the time limit of a frame (100 ms) follows.

    Members
    -------
    i, o : ``In(stream.Signature(8))``, ``Out(stream.Signature(8))``
        Bytes from and to the host.
    bus : ``Out(Bus(34))``
        One access at a time, all bytes enabled. The byte address of 34 bits never wraps a word
        address onto another.
    command, timeout : ``Out(1)``, ``Out(1)``
        High for one cycle: a frame was swallowed, or given up after 100 ms.

    Timing
    ------
    While a read is answered no byte is accepted, so a host sends nothing between a read frame and
    the end of its answer. The time limit runs from the first byte of a frame to its last access or
    byte of answer.
    """

    def __init__(self, clock_hz: int):
        self.clock_hz = clock_hz
        self.limit = max(1, clock_hz // 10)
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "o": Out(stream.Signature(8)),
                "bus": Out(Bus(34)),
                "command": Out(1),
                "timeout": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        i, o, bus = self.i, self.o, self.bus
        command, words, address = Signal(8), Signal(8), Signal(32)
        data, index = Signal(32), Signal(2)
        elapsed, expired = Signal(range(self.limit + 1)), Signal()
        fixed, writing = command > 2, command[0]

        m.d.comb += [
            bus.address.eq(Cat(0, 0, address)),
            bus.data.eq(data),
            bus.strobe.eq(0b1111),
            bus.write.eq(writing),
            o.payload.eq(data[24:]),
            expired.eq(elapsed == self.limit),
        ]
        with m.If(~expired):
            m.d.sync += elapsed.eq(elapsed + 1)

        def give_up() -> None:
            m.d.comb += self.timeout.eq(1)
            m.next = "COMMAND"

        def receive(body: Any) -> None:
            """In this state, take a byte unless the time is over."""
            with m.If(expired):
                give_up()
            with m.Else():
                m.d.comb += i.ready.eq(1)
                with m.If(i.valid):
                    body()

        def count(after: str) -> None:
            m.d.sync += index.eq(index + 1)
            with m.If(index == 3):
                m.next = after

        def next_word() -> None:
            m.d.sync += [words.eq(words - 1), address.eq(Mux(fixed, address, address + 1))]
            with m.If(words == 1):
                m.next = "COMMAND"
            with m.Else():
                m.next = "DECIDE"

        with m.FSM():
            with m.State("COMMAND"):
                m.d.comb += i.ready.eq(1)
                m.d.sync += [command.eq(i.payload), index.eq(0), elapsed.eq(0)]
                with m.If(i.valid):
                    m.next = "WORDS"

            with m.State("WORDS"):

                def take_words() -> None:
                    m.d.sync += words.eq(i.payload)
                    m.next = "ADDRESS"

                receive(take_words)

            with m.State("ADDRESS"):

                def take_address() -> None:
                    m.d.sync += address.eq(Cat(i.payload, address[:24]))
                    count("DECIDE")

                receive(take_address)

            with m.State("DECIDE"):
                with m.If((command == 0) | (command > 4) | (words == 0)):
                    m.d.comb += self.command.eq(1)
                    m.next = "COMMAND"
                with m.Elif(writing):
                    m.next = "DATA"
                with m.Else():
                    m.next = "REQUEST"

            with m.State("DATA"):

                def take_data() -> None:
                    m.d.sync += data.eq(Cat(i.payload, data[:24]))
                    count("REQUEST")

                receive(take_data)

            with m.State("REQUEST"):
                m.d.comb += bus.request.eq(1)
                m.next = "WAIT"

            with m.State("WAIT"):
                with m.If(bus.ack):
                    with m.If(writing):
                        next_word()
                    with m.Else():
                        m.d.sync += data.eq(bus.value)
                        m.next = "ANSWER"

            with m.State("ANSWER"):
                m.d.comb += o.valid.eq(1)
                with m.If(o.ready):
                    m.d.sync += [data.eq(data << 8), index.eq(index + 1)]
                    # A byte that was offered is never taken back.
                    with m.If(expired):
                        give_up()
                    with m.Elif(index == 3):
                        next_word()
        return m

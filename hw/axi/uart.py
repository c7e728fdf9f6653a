# SPDX-License-Identifier: Apache-2.0
"""UART with eight data bits, no parity and one stop bit (8N1)."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["Receiver", "Transmitter", "divisor"]

MIN_DIVISOR = 8  #: Fewer cycles per bit would sample too far from the middle.
TOLERANCE = 0.02  #: Largest error of the bit rate; the far end's clock has as much to itself.


def divisor(clock_hz: int, baud: int) -> int:
    """Return the cycles per bit that come nearest to ``baud`` bits per second.

    Raises ``ValueError`` if the clock cannot make a rate within two percent of ``baud``.
    """
    for name, value in (("clock_hz", clock_hz), ("baud", baud)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a positive integer, not {value!r}")
    cycles = (2 * clock_hz + baud) // (2 * baud)
    if cycles < MIN_DIVISOR:
        raise ValueError(
            f"baud must be at most {clock_hz // MIN_DIVISOR} for clock_hz {clock_hz} "
            f"({MIN_DIVISOR} cycles per bit), not {baud}"
        )
    error = clock_hz / (cycles * baud) - 1
    if abs(error) > TOLERANCE:
        raise ValueError(
            f"baud {baud} cannot be made from clock_hz {clock_hz}: the nearest is "
            f"{clock_hz / cycles:.0f}, off by {abs(error):.1%}; at most {TOLERANCE:.0%} works"
        )
    return cycles


class Receiver(wiring.Component):
    """Bits to bytes.

    Parameters
    ----------
    cycles : int
        Clock cycles per bit, from :func:`divisor`.

    Members
    -------
    pin : ``In(1)``
        Asynchronous; idle is high.
    o : ``Out(stream.Signature(8))``
        Bytes received. One is held for its reader.
    framing, overrun : ``Out(1)``, ``Out(1)``
        High for one cycle: a byte had no stop bit, or came while one was still held; it is lost.

    Timing
    ------
    A byte appears in the middle of its stop bit, so bytes may follow each other without a gap.
    After a byte without stop bit the line has to be high before the next one starts.
    """

    def __init__(self, cycles: int):
        self.cycles = cycles
        super().__init__(
            {
                "pin": In(1, init=1),
                "o": Out(stream.Signature(8)),
                "framing": Out(1),
                "overrun": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        line = Signal(init=1)
        m.submodules.sync = FFSynchronizer(self.pin, line, init=1)

        timer, count, bits = Signal(range(self.cycles)), Signal(range(10)), Signal(8)
        sample = Signal()
        m.d.comb += sample.eq(timer == 0)
        m.d.sync += timer.eq(Mux(sample, self.cycles - 1, timer - 1))
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [timer.eq(self.cycles // 2 - 1), count.eq(0)]
                with m.If(~line):
                    m.next = "BITS"
            with m.State("BITS"):
                with m.If(sample):
                    m.d.sync += [count.eq(count + 1), bits.eq(Cat(bits[1:], line))]
                    with m.If((count == 0) & line):
                        m.next = "IDLE"  # a glitch, not a start bit
                    with m.If(count == 9):
                        m.d.sync += bits.eq(bits)
                        m.next = "CHECK"
            with m.State("CHECK"):
                with m.If(~line):
                    m.d.comb += self.framing.eq(1)
                    m.next = "BREAK"
                with m.Else():
                    m.next = "IDLE"
                    with m.If(self.o.valid & ~self.o.ready):
                        m.d.comb += self.overrun.eq(1)
                    with m.Else():
                        m.d.sync += [self.o.payload.eq(bits), self.o.valid.eq(1)]
            with m.State("BREAK"), m.If(line):
                m.next = "IDLE"
        return m


class Transmitter(wiring.Component):
    """Bytes to bits.

    Parameters
    ----------
    cycles : int
        Clock cycles per bit, from :func:`divisor`.

    Members
    -------
    i : ``In(stream.Signature(8))``
        Bytes to send.
    pin : ``Out(1)``
        Idle is high.

    Timing
    ------
    The start bit begins in the cycle after a byte is accepted; ten bits later the next is taken.
    """

    def __init__(self, cycles: int):
        self.cycles = cycles
        super().__init__({"i": In(stream.Signature(8)), "pin": Out(1, init=1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        timer, left, bits = Signal(range(self.cycles)), Signal(range(11)), Signal(10, init=1)
        m.d.comb += [self.i.ready.eq(left == 0), self.pin.eq(bits[0])]
        with m.If(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Elif(left != 0):
            m.d.sync += [left.eq(left - 1), bits.eq(Cat(bits[1:], 1)), timer.eq(self.cycles - 1)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                bits.eq(Cat(0, self.i.payload, 1)),
                left.eq(10),
                timer.eq(self.cycles - 1),
            ]
        return m

# SPDX-License-Identifier: Apache-2.0
"""A constant divided by integers, digit by digit: exact, without multiplier."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire

__all__ = ["Divide"]


class Divide(wiring.Component):
    """``floor(numerator / l)``.

    Parameters
    ----------
    numerator : int
        Constant, 1 or more.
    width : int
        Bits of the divisor, 1 to 64.
    bits : int, optional
        Bits of the quotient, where it is known to have less than the numerator.

    Members
    -------
    i : ``In(stream.Signature(width))``
        Divisor. What comes out for 0 is not defined.
    o : ``Out(stream.Signature(bits))``
        Quotient.

    Timing
    ------
    One quotient in ``bits + 1`` cycles; ``o`` is valid :attr:`latency` cycles after the divisor is
    accepted. ``i.ready`` follows ``o.ready`` combinationally while a quotient waits.

    Raises ``ValueError`` for a wrong numerator or width.
    """

    def __init__(self, numerator: int, width: int, bits: int | None = None):
        if numerator < 1:
            raise ValueError(f"numerator must be a positive integer, not {numerator!r}")
        if not 1 <= width <= 64:
            raise ValueError(f"width must be an integer from 1 to 64, not {width!r}")
        self.numerator, self.width = numerator, width
        self.bits = bits or numerator.bit_length()
        self.latency = self.bits + 1
        self.beats_per_cycle = 1 / self.latency
        quotient = stream.Signature(self.bits)
        super().__init__({"i": In(stream.Signature(width)), "o": Out(quotient)})

    def elaborate(self, platform: Any) -> Module:
        m, bits, width = Module(), self.bits, self.width
        # What is left of the numerator moves up and out, the quotient in behind it.
        word = Signal(bits, reset_less=True)
        rest = Signal(width, reset_less=True)
        divisor = Signal(width, reset_less=True)
        count = Signal(range(bits + 1))
        m.d.comb += [
            self.i.ready.eq(~count.any() & (~self.o.valid | self.o.ready)),
            self.o.payload.eq(word),
        ]
        trial = wire(m, Cat(word[-1], rest) - divisor, "trial")
        fits = wire(m, ~trial[-1], "fits")
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(count.any()):
            m.d.sync += [
                count.eq(count - 1),
                word.eq(Cat(fits, word)),
                rest.eq(Mux(fits, trial, Cat(word[-1], rest))),
            ]
            with m.If(count == 1):
                m.d.sync += self.o.valid.eq(1)
        with m.Elif(self.i.valid & self.i.ready):
            low, high = self.numerator & (1 << bits) - 1, self.numerator >> bits
            m.d.sync += [
                count.eq(bits), word.eq(low), rest.eq(high), divisor.eq(self.i.payload),
            ]  # fmt: skip
        return m

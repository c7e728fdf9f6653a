# SPDX-License-Identifier: Apache-2.0
"""Square roots of integers, digit by digit: exact, without multiplier and divider."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire

__all__ = ["Isqrt"]


class Isqrt(wiring.Component):
    """``floor(sqrt(v))``.

    Parameters
    ----------
    width : int
        Bits of the radicand, even, 4 to 128.

    Members
    -------
    i : ``In(stream.Signature(width))``
        Radicand.
    o : ``Out(stream.Signature(width // 2))``
        Root.

    Timing
    ------
    One root in ``width // 2 + 1`` cycles; ``o`` is valid :attr:`latency` cycles after the radicand
    is accepted. ``i.ready`` follows ``o.ready`` combinationally while a root waits.

    Raises ``ValueError`` for a wrong width.
    """

    def __init__(self, width: int):
        if width not in range(4, 129, 2):
            raise ValueError(f"width must be an even number from 4 to 128, not {width!r}")
        self.width = width
        self.latency = width // 2 + 1
        self.beats_per_cycle = 1 / self.latency
        root = stream.Signature(width // 2)
        super().__init__({"i": In(stream.Signature(width)), "o": Out(root)})

    def elaborate(self, platform: Any) -> Module:
        m, steps = Module(), self.width // 2
        word = Signal(self.width, reset_less=True)
        rest = Signal(steps + 1, reset_less=True)
        root = Signal(steps, reset_less=True)
        count = Signal(range(steps + 1))
        m.d.comb += [
            self.i.ready.eq(~count.any() & (~self.o.valid | self.o.ready)),
            self.o.payload.eq(root),
        ]
        trial = wire(m, Cat(word[-2:], rest) - Cat(Const(1, 2), root), "trial")
        fits = wire(m, ~trial[-1], "fits")
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(count.any()):
            m.d.sync += [
                count.eq(count - 1),
                word.eq(word << 2),
                rest.eq(Mux(fits, trial, Cat(word[-2:], rest))),
                root.eq(Cat(fits, root)),
            ]
            with m.If(count == 1):
                m.d.sync += self.o.valid.eq(1)
        with m.Elif(self.i.valid & self.i.ready):
            m.d.sync += [count.eq(steps), word.eq(self.i.payload), rest.eq(0), root.eq(0)]
        return m

# SPDX-License-Identifier: Apache-2.0
"""Multiplier of finished sums by a scale of 8 bits, one bit a cycle."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, signed
from amaranth.lib.wiring import In, Out

from hw.cell import Cell

__all__ = ["BITS", "SerialScale"]

BITS = 8  #: Of the scale; its steps.


class SerialScale(Cell):
    """Shift-and-add multiplier; the product moves down a bit a step.

    Parameters
    ----------
    width : int
        Bits of the signed factor.
    signed_scale : bool
        Whether the top bit of the scale counts negative.

    Members
    -------
    load : ``In(1)``
        Take ``x`` and ``s``, which is the first of the 8 steps. Not while ``busy``.
    x : ``In(signed(width))``
    s : ``In(8)``
    busy : ``Out(1)``
        Steps are left.
    first, done : ``Out(1)``
        The second step, or the last one, is under way.
    p : ``Out(signed(width + 8))``
        The product, from the cycle after ``done`` until the next ``load``.

    Timing
    ------
    ``p`` is there 8 cycles after ``load``.
    """

    latency = BITS

    def __init__(self, width: int, signed_scale: bool):
        self.width, self.signed_scale = width, signed_scale
        self.label = f"serial_scale{'' if signed_scale else '_unsigned'}_{width}"
        super().__init__(
            {
                "load": In(1),
                "x": In(signed(width)),
                "s": In(BITS),
                "busy": Out(1),
                "first": Out(1),
                "done": Out(1),
                "p": Out(signed(width + BITS)),
            }
        )

    def body(self, platform: Any) -> Module:
        m, width = Module(), self.width
        left = Signal(range(BITS))
        factor = Signal(signed(width), reset_less=True)
        high = Signal(signed(width), reset_less=True)
        low = Signal(BITS, reset_less=True)
        m.d.comb += [
            self.busy.eq(left.any()),
            self.first.eq(left == BITS - 1),
            self.done.eq(left == 1),
            self.p.eq(Cat(low, high)),
        ]
        top = self.done if self.signed_scale else Const(0, 1)
        row = (Cat(factor) & low[0].replicate(width)) ^ top.replicate(width)
        total = (Cat(top, high).as_signed() + Cat(top, row).as_signed()) >> 1
        with m.If(self.busy):
            m.d.sync += [left.eq(left - 1), Cat(low, high).eq(Cat(low[1:], total))]
        with m.Elif(self.load):
            # Nothing is there yet to be added to.
            start = (Cat(self.x) & self.s[0].replicate(width)).as_signed()
            m.d.sync += [left.eq(BITS - 1), factor.eq(self.x)]
            m.d.sync += Cat(low, high).eq(Cat(self.s[1:], start, start[-1]))
        return m

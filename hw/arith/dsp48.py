# SPDX-License-Identifier: Apache-2.0
"""The multiplier of one DSP slice of an UltraScale+ FPGA."""

from typing import Any

from amaranth.hdl import Module, signed
from amaranth.lib.wiring import In, Out

from hw.cell import Cell

__all__ = ["A_BITS", "B_BITS", "Dsp48"]

A_BITS, B_BITS = 27, 18


class Dsp48(Cell):
    """``p = (d - a) * b``: what the pre-adder and the multiplier of a DSP48E2 do.

    Written as operators, which synthesis maps to the slice.

    Members
    -------
    a, d : ``In(signed(27))``
        Their difference must fit 27 bits.
    b : ``In(signed(18))``
    p : ``Out(signed(45))``

    Timing
    ------
    Combinational.

    Source: AMD UG579, "UltraScale architecture DSP slice".
    """

    label = "dsp48"
    latency = 0

    def __init__(self) -> None:
        super().__init__(
            {
                "a": In(signed(A_BITS)),
                "d": In(signed(A_BITS)),
                "b": In(signed(B_BITS)),
                "p": Out(signed(A_BITS + B_BITS)),
            }
        )

    def body(self, platform: Any) -> Module:
        m = Module()
        m.d.comb += self.p.eq((self.d - self.a)[:A_BITS].as_signed() * self.b)
        return m

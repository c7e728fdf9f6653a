# SPDX-License-Identifier: Apache-2.0
"""A running sum that is rescaled and added to in one step."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.wires import wire
from hw.attention.products import add_product
from hw.cell import Cell

__all__ = ["UNITY_BITS", "Rescale", "Shift", "shift_bits", "shift_by"]

#: Fraction bits of a factor; 1.0 is one bit wider.
UNITY_BITS = 16


class Rescale(Cell):
    """``y = RHU(x * by, 16) + p``, or ``p`` where ``start`` is 1.

    The sum with ``p`` is part of the product's: one carry for all.

    Parameters
    ----------
    bits : int
        Width of ``x`` and ``y``, signed.
    more : int
        Width of ``p``, signed.

    Members
    -------
    x : ``In(signed(bits))``
    by : ``In(17)``
        Factor, 65536 for 1.
    p : ``In(signed(more))``
    start : ``In(1)``
    y : ``Out(signed(bits))``
        Modulo ``2**bits``.

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, bits: int, more: int):
        self.bits = bits
        self.label = f"rescale_b{bits}_p{more}"
        super().__init__(
            {
                "x": In(signed(bits)),
                "by": In(UNITY_BITS + 1),
                "p": In(signed(more)),
                "start": In(1),
                "y": Out(signed(bits)),
            }
        )

    def body(self, platform: Any) -> Module:
        m = Module()
        heap = BitHeap(m, self.bits + UNITY_BITS)
        kept = self.x.as_unsigned() & (~self.start).replicate(self.bits)
        add_product(m, heap, kept.as_signed(), self.by)
        heap.add(self.p, UNITY_BITS)
        heap.add_constant(1 << UNITY_BITS - 1)
        m.d.comb += self.y.eq(heap.total()[UNITY_BITS:])
        return m


def shift_bits(bits: int) -> int:
    """Return the width of a shift that can clear a word of ``bits`` bits, rounded."""
    return bits.bit_length()


def shift_by(m: Module, octaves: Value, bits: int) -> Value:
    """Return ``octaves``, or so many that a word of ``bits`` bits rounds to 0 if that is less."""
    width = shift_bits(bits)
    octaves = wire(m, octaves, "octaves")
    if len(octaves) <= width:
        return octaves
    far = octaves[width:].any()
    return wire(m, octaves[:width] | far.replicate(width), "shift")


class Shift(Cell):
    """``y = RHU(x, by) + p``, or ``p`` where ``start`` is 1.

    Parameters
    ----------
    bits : int
        Width of ``x`` and ``y``, signed.
    more : int
        Width of ``p``, signed.

    Members
    -------
    x : ``In(signed(bits))``
    by : ``In(shift_bits(bits))``
    p : ``In(signed(more))``
    start : ``In(1)``
    y : ``Out(signed(bits))``
        Modulo ``2**bits``.

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, bits: int, more: int):
        self.bits = bits
        self.label = f"shift_b{bits}_p{more}"
        super().__init__(
            {
                "x": In(signed(bits)),
                "by": In(shift_bits(bits)),
                "p": In(signed(more)),
                "start": In(1),
                "y": Out(signed(bits)),
            }
        )

    def body(self, platform: Any) -> Module:
        m = Module()
        kept = self.x.as_unsigned() & (~self.start).replicate(self.bits)
        sign = wire(m, kept[-1], "sign")
        # With a bit below that takes what is shifted out last, which is what rounds.
        word = wire(m, Cat(Const(0, 1), kept), "word")
        for k in reversed(range(len(self.by))):
            step = min(1 << k, self.bits)
            word = wire(m, Mux(self.by[k], Cat(word[step:], sign.replicate(step)), word), "word")
        heap = BitHeap(m, self.bits)
        heap.add(word[1:].as_signed())
        heap.add(word[0])
        heap.add(self.p)
        m.d.comb += self.y.eq(heap.total())
        return m

# SPDX-License-Identifier: Apache-2.0
"""From scores to powers of two: scale, shift, exponential."""

from typing import Any

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.wires import wire
from hw.attention.exp2n import Exp2N, Exp2NParams
from hw.attention.products import add_product
from hw.cell import Cell

__all__ = ["EXPONENT_BITS", "SCALE_BITS", "SHIFT_BITS", "Scale", "ScaledPower", "exponent", "power"]

SCALE_BITS, SHIFT_BITS = 15, 6  #: Widths of the scale M and of the shift SH.

#: Width of an exponent, 12 bits of it fraction: of larger ones the power is 0.
EXPONENT_BITS = 18


def exponent(m: Module, value: Value) -> Value:
    """Return an unsigned ``value`` as :data:`EXPONENT_BITS` bits, or the largest if it exceeds."""
    value = wire(m, value, "distance")
    if len(value) <= EXPONENT_BITS:
        return value.as_unsigned()
    far = value[EXPONENT_BITS:].any()
    return wire(m, value[:EXPONENT_BITS] | far.replicate(EXPONENT_BITS), "exponent")


def power(m: Module, name: str, d: Value, out_bits: int, clamp: bool, en: Value) -> Value:
    """Return ``2**-d``, two stages later: 0 to ``2**out_bits``, or with ``clamp`` one less."""
    params = Exp2NParams(in_bits=EXPONENT_BITS, out_bits=out_bits, clamp=clamp, pipeline=2)
    m.submodules[name] = cell = Exp2N(params)
    m.d.comb += [cell.d.eq(d), cell.en.eq(en)]
    return cell.e


class Scale(Cell):
    """``y = (x * m) >> sh``: scores to octaves.

    Parameters
    ----------
    bits : int
        Width of ``x``, signed.

    Members
    -------
    x : ``In(signed(bits))``
    m : ``In(15)``
    sh : ``In(6)``
        A stage later than ``x`` and ``m``.
    en : ``In(1)``
    y : ``Out(signed(bits + 15))``
        12 fraction bits.

    Timing
    ------
    One cycle, the product.
    """

    latency = 1

    def __init__(self, bits: int):
        self.bits = bits
        self.label = f"scale_b{bits}"
        super().__init__(
            {
                "x": In(signed(bits)),
                "m": In(SCALE_BITS),
                "sh": In(SHIFT_BITS),
                "en": In(1),
                "y": Out(signed(bits + SCALE_BITS)),
            }
        )

    def body(self, platform: Any) -> Module:
        m = Module()
        heap = BitHeap(m, self.bits + SCALE_BITS)
        add_product(m, heap, self.x, self.m)
        product = Signal(signed(self.bits + SCALE_BITS), reset_less=True)
        with m.If(self.en):
            m.d.sync += product.eq(heap.total())
        m.d.comb += self.y.eq(product >> self.sh)
        return m


class ScaledPower(Cell):
    """``e = 2**-((x * m) >> sh)`` of a difference of scores that is not negative.

    Parameters
    ----------
    bits : int
        Width of ``x``, signed.
    out_bits : int
        Fraction bits of ``e``.
    clamp : bool
        Whether 1.0 becomes the largest number of ``out_bits`` bits.

    Members
    -------
    x : ``In(signed(bits))``
        Where it is negative, ``e`` is arbitrary.
    m : ``In(15)``
    sh : ``In(6)``
        A stage later than ``x`` and ``m``.
    en : ``In(3)``
        Bit k lets a beat into stage k.
    e : ``Out``

    Timing
    ------
    Three cycles: product, table, line; a register of the user's is to follow the last shift.
    """

    latency = 3

    def __init__(self, bits: int, out_bits: int, clamp: bool):
        self.bits, self.out_bits, self.clamp = bits, out_bits, clamp
        self.label = f"power_b{bits}_o{out_bits}{'c' if clamp else ''}"
        super().__init__(
            {
                "x": In(signed(bits)),
                "m": In(SCALE_BITS),
                "sh": In(SHIFT_BITS),
                "en": In(3),
                "e": Out(out_bits + (not clamp)),
            }
        )

    def body(self, platform: Any) -> Module:
        m = Module()
        m.submodules.scale = scale = Scale(self.bits)
        m.d.comb += [
            scale.x.eq(self.x), scale.m.eq(self.m), scale.sh.eq(self.sh), scale.en.eq(self.en[0]),
        ]  # fmt: skip
        d = exponent(m, scale.y.as_unsigned())
        m.d.comb += self.e.eq(power(m, "power", d, self.out_bits, self.clamp, self.en[1:]))
        return m

# SPDX-License-Identifier: Apache-2.0
"""fp16 products summed in fp32, rounded to nearest even once a beat.

The accumulator starts at +0, so it always is a multiple of the smallest product, ``2**-48``, and
never subnormal, never -0; nothing below that unit is kept.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from hw.arith.wires import wire

__all__ = ["PRODUCT_BITS", "Half", "next_sum"]

#: Bits of the largest product of two fp16 numbers, in units of the smallest.
PRODUCT_BITS = 80

_LEAST = -48  # exponent of the smallest product
_BIAS = 127
_FIELD = _BIAS + _LEAST  # exponent field of the smallest product as fp32
_NAN, _INF = 0x7FC00000, 0x7F800000


class Half:
    """The parts of an fp16 code."""

    def __init__(self, m: Module, code: Value):
        exponent, fraction = code[10:15], code[:10]
        self.sign = code[15]
        normal = wire(m, exponent.any(), "normal")
        top = wire(m, exponent.all(), "top")
        self.significand = wire(m, Cat(fraction, normal), "significand")
        #: Exponent of the significand's unit above that of the smallest number.
        self.place = wire(m, Mux(normal, exponent - 1, 0)[:5], "place")
        self.nan = wire(m, top & fraction.any(), "nan")
        self.inf = wire(m, top & ~fraction.any(), "inf")
        self.zero = wire(m, ~self.significand.any(), "zero")


def next_sum(m: Module, a: Half, w: Half, product: Value, before: Value, length: int) -> Value:
    """Return the fp32 code of ``a * w + before``.

    ``product`` is that of the significands, 22 bits; ``before`` the fp32 code of a sum so far, of
    magnitude below ``2**length`` with this product, in units of the smallest product.
    """
    negative = wire(m, a.sign ^ w.sign, "negative")
    place = wire(m, a.place + w.place, "place")
    exact = wire(m, (product << place)[:length], "exact")
    sum_sign, exponent, fraction = before[31], before[23:31], before[:23]
    up = wire(m, (exponent - _FIELD)[:7], "up")
    present = wire(m, exponent.any(), "present")
    kept = wire(m, (Cat(fraction, present) << up)[23 : 23 + length], "kept")
    differ = wire(m, negative ^ sum_sign, "differ")
    mask = differ.replicate(length)
    # One addition gives the magnitude: kept minus exact, or if that is negative its complement.
    total = wire(m, kept + (exact ^ mask) + differ, "difference")
    below = wire(m, differ & ~total[length], "below")
    magnitude = wire(m, Mux(below, -total, total)[:length], "magnitude")
    sign = wire(m, Mux(below, negative, sum_sign), "sign")
    # Where the sum so far is zero its sign is +, and the result has the product's.
    rounded = _rounded(m, magnitude)
    nan = a.nan | w.nan | a.inf & w.zero | w.inf & a.zero
    infinite = wire(m, a.inf | w.inf, "infinite")
    held_special = wire(m, exponent.all(), "held_special")
    nan = nan | held_special & (fraction.any() | infinite & differ)
    finite = Cat(rounded, Mux(magnitude.any(), sign, Const(0, 1)))
    special = Mux(nan, _NAN, Cat(Const(_INF, 31), Mux(infinite, negative, sum_sign)))
    return wire(m, Mux(nan | infinite | held_special, special, finite)[:32], "next")


def _rounded(m: Module, magnitude: Value) -> Value:
    """Return exponent and fraction fields of an integer in units of the smallest product."""
    length = len(magnitude)
    levels = (length - 1).bit_length()
    value, zeros = magnitude, []
    for level in reversed(range(levels)):
        step = 1 << level
        if step >= length:
            continue
        empty = wire(m, ~value[-step:].any(), "empty")
        value = wire(m, Mux(empty, Cat(Const(0, step), value[:-step]), value), "normal")
        zeros.append((level, empty))
    count = Signal(8, name="zeros")
    m.d.comb += count.eq(sum((empty << level for level, empty in zeros), Const(0, 8)))
    field = wire(m, (_FIELD + length - 1 - count)[:8], "field")
    fraction, guard, sticky = value[-24:-1], value[-25], value[:-25].any()
    code = wire(m, Cat(fraction, field), "code")
    up = guard & (sticky | value[-24])
    return wire(m, Mux(value[-1], code + up, 0)[:31], "rounded")

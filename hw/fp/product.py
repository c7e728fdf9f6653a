# SPDX-License-Identifier: Apache-2.0
"""Products of minifloats: the exact significand, the special cases, and the rounded product."""

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.bitheap import BitHeap
from hw.arith.recode import booth_digits, multiple, plain_digits
from hw.arith.wires import wire
from hw.fp.fields import Fields, split
from hw.fp.finish import Magnitude, Special, finished
from hw.fp.stages import Stages
from hw.spec.formats import FloatFormat

__all__ = ["product_of", "rounded_product", "special_of"]

#: Multipliers of more bits are recoded: that halves the rows.
_PLAIN_BITS = 6


def product_of(m: Module, a: Value, b: Value) -> Value:
    """Return the exact product of two unsigned words."""
    heap = BitHeap(m, len(a) + len(b))
    for digit in (booth_digits if len(b) > _PLAIN_BITS else plain_digits)(m, b):
        row, carry = multiple(digit, a)
        heap.add(row, digit.weight, carry)
    return wire(m, Cat(heap.total()), "product")


def special_of(
    m: Module, a: Fields, b: Fields, negative: Value, c: Fields | None = None
) -> Special:
    """Return what NaNs and infinities make of ``a * b``, whose sign is ``negative``, or of that
    plus ``c``."""
    infinite = wire(m, a.inf | b.inf, "infinite_product")
    nan = a.nan | b.nan | a.inf & b.zero | a.zero & b.inf
    if c is None:
        return Special(wire(m, nan, "nan"), infinite, negative)
    nan = nan | c.nan | infinite & c.inf & (negative ^ c.sign)
    sign = Mux(infinite, negative, c.sign)
    return Special(
        wire(m, nan, "nan"), wire(m, infinite | c.inf, "inf"), wire(m, sign, "inf_negative")
    )


def rounded_product(
    m: Module,
    later: Stages,
    formats: tuple[FloatFormat, FloatFormat, FloatFormat],
    a: Value,
    b: Value,
    rounding: str,
    overflow: str,
) -> Value:
    """Return the code, in the third of ``formats``, of the product of two codes.

    ``later`` may have registers at ``product`` and ``normal``.
    """
    first, second, result = formats
    x, y = split(m, first, a), split(m, second, b)
    negative = wire(m, x.sign ^ y.sign, "negative")
    word = product_of(m, x.significand, y.significand)
    scale = first.lam + second.lam - 3 - result.lam - result.man_bits + len(word)
    limit = wire(m, x.exponent + y.exponent + scale, "limit")
    most = sum(max(1, fmt.max_code >> fmt.man_bits) for fmt in (first, second)) + scale
    zero = Const(0, 1)
    total = later.each("product", Magnitude(word, zero, zero, limit, negative, zero, zero))
    special = later.each("product", special_of(m, x, y, negative))
    return finished(m, later, result, total, special, 2 + scale, most, rounding, overflow)

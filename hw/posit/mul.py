# SPDX-License-Identifier: Apache-2.0
"""Product of two posits, rounded once."""

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.bitheap import BitHeap
from hw.arith.recode import booth_digits, multiple, plain_digits
from hw.arith.wires import wire
from hw.fp.stages import Stages
from hw.posit.decode import PositFields, fraction_bits, split
from hw.posit.encode import encoded
from hw.spec.formats import PositFormat

__all__ = ["product"]


def product(
    m: Module,
    formats: tuple[PositFormat, PositFormat, PositFormat],
    a: Value,
    b: Value,
    later: Stages | None = None,
) -> Value:
    """Return the code, in the third of ``formats``, of the product of two codes.

    ``later`` may have registers at ``operands``, ``product`` and ``normal``.
    """
    later = later or Stages(m, (), None)
    first, second, result = formats
    x = later.each("operands", split(m, first, a))
    y = later.each("operands", split(m, second, b))
    points = fraction_bits(first) + fraction_bits(second)
    sign = later("product", wire(m, x.sign ^ y.sign, "sign"))
    total = later("product", _significands(m, x, y))
    x, y = later.each("product", x), later.each("product", y)
    # In [1, 2) or [-2, -1) as it is, or twice that; only -2 * -2 = 4 is four times that.
    double = wire(m, total[points + 1] ^ sign, "double")
    four = wire(m, total[points + 2] & ~sign, "four")
    fraction = Mux(double | four, total[: points + 1], Cat(Const(0, 1), total[:points]))
    # The doubling goes in as a carry below the lowest bit.
    scale = Cat(double, x.exponent).as_signed() + Cat(double, y.exponent).as_signed()
    exponent = wire(m, scale[1:].as_signed(), "scale") + Cat(Const(0, 1), four)
    nar = later("normal", wire(m, x.nar | y.nar, "nar"))
    zero = later("normal", wire(m, x.zero | y.zero, "zero"))
    sign, exponent = later("normal", sign), later("normal", wire(m, exponent, "exponent"))
    fraction = later("normal", wire(m, fraction, "fraction"))
    code = encoded(m, result, sign, exponent, fraction)
    kept = code & (~(zero | nar)).replicate(result.bits)
    return Cat(kept[:-1], kept[-1] | nar)


def _significands(m: Module, x: PositFields, y: PositFields) -> Value:
    """Return ``(1 - 3 s + f) * (1 - 3 t + g)``, multiplied out, with three bits above the point."""
    (s, f), (t, g) = (x.sign, x.fraction), (y.sign, y.fraction)
    heap = BitHeap(m, len(f) + len(g) + 3)
    for digit in (booth_digits if len(g) > 6 else plain_digits)(m, g):
        row, carry = multiple(digit, f)
        heap.add(row, digit.weight, carry)
    for factor, other, place in ((s, g, len(f)), (t, f, len(g))):
        if len(other):  # once, or -2 times
            row = Mux(factor, ~Cat(Const(0, 1), other), Cat(other, Const(0, 1)))
            heap.add(Cat(row, factor).as_signed(), place, factor)
    unlike = wire(m, s ^ t, "unlike")
    one = ~(s | t)  # the four products of 1 and -2
    heap.add(Cat(one, unlike, ~one, unlike).as_signed(), len(f) + len(g))
    return wire(m, heap.total(), "product")

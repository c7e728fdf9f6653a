# SPDX-License-Identifier: Apache-2.0
"""From an exact sum to the nearest code: the ends of the quires."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from hw.arith.wires import wire

__all__ = ["e2m1_magnitude", "posit_magnitude"]


def posit_magnitude(m: Module, value: Value, unit: int, bits: int, es: int) -> Value:
    """Return the ``bits - 1`` low bits of the code nearest to a non-negative number.

    ``value`` counts units of ``2**-unit``. Zero stays zero; all else becomes neither 0 nor NaR. The
    bit string is rounded to nearest even, as posits are (sheet A.7).
    """
    most = bits - 2 << es  # exponent of the largest value; minus that, of the smallest
    low, high = unit - most, unit + most
    over = wire(m, value[high:].any(), "over")
    within = wire(m, value[low:].any(), "within")
    # Leading zeros from the place below the largest value on; those of smaller ones do not matter.
    shifted, levels = value[:high], []
    for level in reversed(range((2 * most - 1).bit_length())):
        step = 1 << level
        empty = wire(m, ~shifted[-step:].any(), "empty")
        moved = Mux(empty, Cat(Const(0, step), shifted[:-step]), shifted)
        shifted = wire(m, moved[: len(shifted)], "normal")
        levels.append(empty)
    zeros = Cat(*reversed(levels))
    exponent, halves = (~zeros[:es], zeros[es:]) if es else (Const(0, 0), zeros)
    # The regime is bits - 3 - halves. Its run is made by moving 10... or 01... to the right.
    ones = wire(m, halves <= bits - 3, "ones")
    by = wire(m, Mux(ones, bits - 3 - halves, halves - (bits - 2))[: (bits - 2).bit_length()], "by")
    fraction = shifted[:-1]
    exact = max(0, bits - 3 - es) + 1  # of the fraction, with the guard bit
    if len(fraction) < exact:
        fraction = Cat(Const(0, exact - len(fraction)), fraction)
    rest = fraction[: len(fraction) - exact].any()
    body = Cat(Const(0, bits - 3), rest, fraction[len(fraction) - exact :], exponent, ~ones, ones)
    string = Signal(signed(len(body)), name="string")
    moved = wire(m, Mux(ones, ~(~body.as_signed() >> by), body >> by), "moved")
    m.d.comb += string.eq(moved)
    code, guard = string[-(bits - 1) :], string[-bits]
    sticky = string[:-bits].any()
    rounded = wire(m, (code + (guard & (sticky | code[0])))[: bits - 1], "rounded")
    least = value.any()
    result = Mux(over, (1 << bits - 1) - 1, Mux(within, rounded, least))
    return wire(m, result[: bits - 1], "magnitude")


def e2m1_magnitude(m: Module, value: Value) -> Value:
    """Return the 3 low bits of the e2m1 code nearest to a non-negative number of quarters.

    Ties go to the even code, 6 takes all above.
    """
    low = value[:5]
    over = wire(m, value[5:].any(), "over")
    # Between 0 0.5 1 1.5 2 3 4 6; a tie goes up where the code above is even.
    above = [low > 1, low >= 3, low > 5, low >= 7, low > 10, low >= 14, low > 20]
    level = wire(m, Cat(*(over | step for step in above)), "above")
    count = Signal(3, name="magnitude")
    m.d.comb += count.eq(sum((bit for bit in level[1:]), level[0] + Const(0, 3)))
    return count

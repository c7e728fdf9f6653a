# SPDX-License-Identifier: Apache-2.0
"""Encoder of minifloats: align the significand, cut it, round the code.

The magnitude code of a minifloat counts its values in ascending order, so that one increment of the
code rounds within an exponent, into the next, and from subnormal to normal numbers.
"""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.wires import wire
from hw.encode.rounding import grows
from hw.encode.shift import normalize, shift_right
from hw.encode.source import FloatSource, IntSource, Source, magnitude
from hw.spec.formats import FloatFormat

__all__ = ["Cut", "align", "cut_source", "finish", "is_regular", "largest_exponent"]


@dataclass(frozen=True)
class Cut:
    """A magnitude cut off below the last place of the code; ``code`` may exceed the format."""

    code: Value
    guard: Value
    sticky: Value
    negative: Value
    beyond: Value  #: More than ``code`` can say.
    infinite: Value
    nan: Value


def is_regular(fmt: FloatFormat) -> bool:
    """Return whether every code means what its fields say: this encoder can write it."""
    return fmt.special is None


def _least(fmt: FloatFormat) -> int:
    """Exponent of the smallest normal number."""
    return 1 - fmt.bias


def largest_exponent(fmt: FloatFormat) -> int:
    """Exponent of the largest finite number."""
    return fmt.lam + fmt.max_int.bit_length() - 1


def _split(m: Module, fmt: FloatFormat, significand: Value) -> tuple[Value, Value, Value]:
    """Return (mantissa, guard, sticky) of a significand whose hidden bit is on top."""
    low = len(significand) - 1 - fmt.man_bits
    if low < 2:
        significand = Cat(Const(0, 2 - low), significand)
        low = 2
    word = wire(m, significand, "aligned")
    return word[low:-1], word[low - 1], word[: low - 1].any()


def align(
    m: Module, fmt: FloatFormat, below: Value, room: int, significand: Value
) -> tuple[Value, Value, Value]:
    """Return (code, guard, sticky) of a floating-point magnitude.

    ``below``, unsigned, is by how much the exponent of the top bit of ``significand`` lies below
    the largest possible one, and ``room``, 0 or more, by how much that lies above the exponent of
    the smallest normal number of ``fmt``. Above the latter the top bit must be 1 unless the number
    is 0.
    """
    below = wire(m, below, "below")
    # Shifted by man_bits + 2, the hidden bit falls below the guard bit.
    most = fmt.man_bits + 2
    bits = min(len(below), (room + most).bit_length())
    near = wire(m, below[:bits], "near")
    far = below[bits:].any() if len(below) > bits else Const(0, 1)
    low = wire(m, far | (near > room), "is_low")
    width = most.bit_length()
    past = (near - room)[:width]
    if (1 << bits) - 1 - room >= 1 << width:
        far = far | (low & (near > room + most))
    amount = (past & low.replicate(width)) | far.replicate(width)
    significand = wire(m, significand, "unshifted")
    # Bits below the guard bit only ever are sticky.
    spare = len(significand) - most
    rest = [significand[:spare].any()] if spare > 0 else [Const(0, max(0, -spare))]
    wide = Cat(*rest, significand[max(0, spare) :])
    word, lost = shift_right(m, wide, wire(m, amount, "amount"), (1 << width) - 1)
    mantissa, guard, sticky = _split(m, fmt, word)
    field = (room + 1 - near)[: (room + 1).bit_length()]
    field = field & (~low & significand[-1]).replicate(len(field))
    return Cat(mantissa, field), guard, sticky | lost


def cut_source(m: Module, fmt: FloatFormat, source: Source, code: Value) -> Cut:
    """Return the number that ``code`` stands for, cut for ``fmt``."""
    if isinstance(source, IntSource):
        return _cut_integer(m, fmt, source, code)
    return _cut_float(m, fmt, source, code)


def _cut_float(m: Module, fmt: FloatFormat, source: FloatSource, code: Value) -> Cut:
    pieces = source.pieces(m, code)
    lift = _least(fmt) - source.least
    if lift > 0:
        # The field of infinity counts too: it is above all others.
        top = (1 << source.exp_bits) - 1
        below = top - pieces.clamped_exponent(m)
        cut, guard, sticky = align(
            m, fmt, below[: source.exp_bits], top - 1 - lift, pieces.significand
        )
    else:
        significand, zeros = source.normalized(m, pieces, min(-lift, source.man_bits))
        mantissa, guard, sticky = _split(m, fmt, significand)
        subnormal = Mux(significand[-1], (1 - lift - zeros).as_unsigned(), 0)
        field = Mux(pieces.normal, pieces.exponent + Const(-lift), subnormal)
        cut = Cat(mantissa, wire(m, field, "field"))
    return Cut(cut, guard, sticky, pieces.negative, pieces.infinite, pieces.infinite, pieces.nan)


def _cut_integer(m: Module, fmt: FloatFormat, source: IntSource, code: Value) -> Cut:
    # What reaches the power of two above the largest number overflows, whatever the rest is.
    keep = min(source.bits, max(1, largest_exponent(fmt) + 1 - source.lam))
    size, beyond = magnitude(m, code, keep)
    room = keep - 1 + source.lam - _least(fmt)  # from the smallest normal number to the top bit
    if room < 0:
        size, room = Cat(size, Const(0, -room)), 0
    word, zeros = normalize(m, size, min(room, len(size) - 1))
    mantissa, guard, sticky = _split(m, fmt, word)
    field = Mux(word[-1], (room + 1 - zeros).as_unsigned(), 0)
    no = Const(0, 1)
    return Cut(Cat(mantissa, wire(m, field, "field")), guard, sticky, code[-1], beyond, no, no)


def finish(m: Module, fmt: FloatFormat, cut: Cut, rounding: str, overflow: str) -> Value:
    """Return the code of ``fmt`` that a cut number is rounded to. NaN is 0 without a code."""
    code = wire(m, cut.code, "cut")
    negative = cut.negative
    up = grows(rounding, code[0], cut.guard, cut.sticky, negative)
    rounded = wire(m, code + up, "rounded")
    over = wire(m, cut.beyond | (rounded > fmt.max_code), "over")
    width = fmt.exp_bits + fmt.man_bits
    size = _fit(Mux(over, fmt.max_code, rounded), width)
    if not fmt.nonfinite:
        size = size & (~cut.nan).replicate(width)
        return _signed_code(fmt, size, negative & ~cut.nan)
    lost: Value = Const(0, 1)
    if overflow == "nonsat":
        # Truncation lets only infinity overflow.
        lost = wire(m, cut.infinite if rounding == "rtz" else over, "lost")
    if fmt.nonfinite_rule == "fnuz":
        # The code of -0 is NaN, and takes overflows too; zero has no sign.
        lost = wire(m, lost | cut.nan, "undefined")
        size = wire(m, size & (~lost).replicate(width), "size")
        return Cat(size, lost | negative & size.any())
    ones = (1 << width) - 1
    quiet = ones if fmt.nonfinite_rule == "fn" else ones - (1 << fmt.man_bits >> 1) + 1
    beyond = ones if fmt.nonfinite_rule == "fn" else fmt.max_code + 1
    size = _fit(Mux(cut.nan, quiet, Mux(lost, beyond, size)), width)
    return _signed_code(fmt, size, negative & ~cut.nan)


def _signed_code(fmt: FloatFormat, size: Value, negative: Value) -> Value:
    """Return the code of a magnitude; negative numbers are 0 in formats without a sign."""
    if fmt.has_sign:
        return Cat(size, negative)
    return Cat(size & (~negative).replicate(len(size)), Const(0, fmt.pad))


def _fit(value: Value, width: int) -> Value:
    return Cat(value, Const(0, width))[:width]

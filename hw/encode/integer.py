# SPDX-License-Identifier: Apache-2.0
"""Encoder of integers: two's complement, unsigned, sign and magnitude."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.wires import wire
from hw.encode.rounding import grows, rises
from hw.encode.shift import shift_right
from hw.encode.source import FloatSource, Source, magnitude
from hw.spec.formats import Format, IntFormat

__all__ = ["Fixed", "finish", "fixed", "fixed_source", "is_plain"]


@dataclass(frozen=True)
class Fixed:
    """A number cut off below the point: a magnitude, or a floored signed value."""

    whole: Value
    guard: Value  #: The first bit below the point.
    sticky: Value  #: The OR of those below it.
    negative: Value
    beyond: Value  #: More than ``whole`` can say.
    nan: Value


def is_plain(fmt: Format) -> bool:
    """Return whether this encoder can write the format."""
    encodings = ("twos", "unsigned", "sign-magnitude")
    return isinstance(fmt, IntFormat) and fmt.encoding in encodings and not fmt.ternary


def fixed(m: Module, bits: int, below: Value, significand: Value) -> tuple[Value, Value, Value]:
    """Return (whole, guard, sticky) of a floating-point magnitude below ``2**bits``.

    ``below``, unsigned, is by how much the exponent of the top bit of ``significand`` lies below
    ``bits - 1``.
    """
    significand = wire(m, significand, "unshifted")
    # Bits below the guard bit only ever are sticky.
    spare = len(significand) - (bits + 1)
    rest = [significand[:spare].any()] if spare > 0 else [Const(0, max(0, -spare))]
    wide = Cat(*rest, significand[max(0, spare) :])
    width = len(wide)
    below = wire(m, below, "below")
    places = min((bits + 1).bit_length(), len(below))
    amount = below[:places]
    if places < len(below):
        amount = amount | below[places:].any().replicate(places)
    word, lost = shift_right(m, wide, wire(m, amount, "amount"), (1 << places) - 1)
    low = width - bits
    rest = word[: low - 1]
    return word[low:], word[low - 1], (rest.any() | lost if len(rest) else lost)


def fixed_source(m: Module, fmt: IntFormat, source: Source, code: Value) -> Fixed:
    """Return the number that ``code`` stands for, cut for ``fmt``."""
    if isinstance(source, FloatSource):
        return _fixed_float(m, fmt, source, code)
    no = Const(0, 1)
    if fmt.encoding == "sign-magnitude":
        keep = min(source.bits, max(1, fmt.bits - source.lam))
        size, beyond = magnitude(m, code, keep)
        whole, guard, sticky = _point(size, -source.lam, False)
        return Fixed(whole, guard, sticky, code[-1], beyond, no)
    whole, guard, sticky = _point(code, -source.lam, True)
    return Fixed(whole, guard, sticky, code[-1], no, no)


def _point(word: Value, places: int, is_signed: bool) -> tuple[Value, Value, Value]:
    """Return (whole, guard, sticky) of a word with so many places below the point."""
    if places <= 0:
        word = Cat(Const(0, -places), word)
        return (word.as_signed() if is_signed else word), Const(0, 1), Const(0, 1)
    fill = word[-1] if is_signed else Const(0, 1)
    word = Cat(word, fill.replicate(max(0, places + 1 - len(word))))
    whole = word[places:]
    rest = word[: places - 1]
    sticky = rest.any() if len(rest) else Const(0, 1)
    return (whole.as_signed() if is_signed else whole), word[places - 1], sticky


def _fixed_float(m: Module, fmt: IntFormat, source: FloatSource, code: Value) -> Fixed:
    pieces = source.pieces(m, code)
    bits = fmt.bits
    exponent = wire(m, pieces.clamped_exponent(m) + (source.least - 1), "unbiased")
    below = wire(m, (bits - 1) - exponent, "distance").as_unsigned()
    whole, guard, sticky = fixed(m, bits, below, pieces.significand)
    beyond = exponent >= bits
    return Fixed(whole, guard, sticky, pieces.negative, beyond, pieces.nan)


def finish(m: Module, fmt: IntFormat, number: Fixed, rounding: str, narrow: bool = False) -> Value:
    """Return the code of ``fmt`` that a cut number is rounded to. NaN is 0.

    ``narrow`` leaves the most negative two's complement code unused.
    """
    negative, bits = number.negative, fmt.bits
    whole = wire(m, number.whole, "whole")
    if whole.shape().signed:
        up = rises(rounding, whole[0], number.guard, number.sticky, negative)
        low = 0 if fmt.encoding == "unsigned" else -(1 << bits - 1) + narrow
        return _clamped(m, wire(m, whole + up, "rounded"), low, bits)
    up = grows(rounding, whole[0], number.guard, number.sticky, negative)
    alive = ~number.nan
    if fmt.encoding == "sign-magnitude":
        size = wire(m, whole + up, "rounded")
        most = (1 << bits - 1) - 1
        size = Mux(number.beyond | (size > most), most, size)[: bits - 1]
        size = wire(m, Cat(size, Const(0, bits))[: bits - 1] & alive.replicate(bits - 1), "size")
        return Cat(size, negative & size.any())
    if fmt.encoding == "unsigned":
        size = wire(m, whole + up, "rounded")
        most = (1 << bits) - 1
        size = Cat(Mux(number.beyond | (size > most), most, size), Const(0, bits))[:bits]
        return size & (alive & ~negative).replicate(bits)
    # -(n + up) is ~n + (1 - up): one adder negates and rounds.
    flipped = Cat(whole ^ negative.replicate(len(whole)), negative).as_signed()
    rounded = wire(m, flipped + (up ^ negative), "rounded")
    low = -(1 << bits - 1) + narrow
    clamped = _clamped(m, rounded, low, bits)
    limit = Mux(negative, low & (1 << bits) - 1, (1 << bits - 1) - 1)
    return Mux(number.beyond, limit, clamped)[:bits] & alive.replicate(bits)


def _clamped(m: Module, value: Value, low: int, bits: int) -> Value:
    """Return the low ``bits`` of a signed value after it is held to the range of an integer."""
    negative = value[-1]
    if low == 0:
        high = (1 << bits) - 1
        over = value[bits:-1].any() if len(value) - 1 > bits else Const(0, 1)
        inside = Cat(value[:-1], Const(0, bits))[:bits]
        return Mux(negative, 0, Mux(over, high, inside))[:bits]
    high = (1 << bits - 1) - 1
    extended = Cat(value, negative.replicate(max(0, bits - len(value))))
    over = Const(0, 1)
    if len(value) > bits:
        over = (value[bits - 1 : -1] ^ negative.replicate(len(value) - bits)).any()
    least = low & (1 << bits) - 1
    result = Mux(over, Mux(negative, least, high), extended[:bits])[:bits]
    if low == -(1 << bits - 1):
        return result
    # The one code below a symmetric range becomes its neighbour.
    result = wire(m, result, "clamped")
    lowest = result[-1] & ~result[:-1].any()
    return Cat(result[0] | lowest, result[1:])

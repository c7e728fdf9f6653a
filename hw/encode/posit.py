# SPDX-License-Identifier: Apache-2.0
"""Encoder of posits: regime, exponent and fraction as one string of bits, cut and rounded.

Rounding acts on the string, not on the value. A non-zero value never becomes 0, nor NaR.
Source: Gustafson and Yonemoto, "Beating floating point at its own game" (2017).
"""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.wires import wire
from hw.encode.rounding import grows
from hw.encode.shift import normalize, shift_right
from hw.encode.source import IntSource, Source, magnitude
from hw.spec.formats import PositFormat

__all__ = ["Scaled", "cut", "finish", "scaled_source"]


@dataclass(frozen=True)
class Scaled:
    """A non-zero number, or what says that there is none."""

    negative: Value
    exponent: Value  #: Signed; of the leading 1.
    fraction: Value  #: The bits after the leading 1.
    zero: Value
    nar: Value


@dataclass(frozen=True)
class Cut:
    """A string of bits cut off below the last place of the code."""

    code: Value
    guard: Value
    sticky: Value
    negative: Value
    zero: Value
    nar: Value


def scaled_source(m: Module, fmt: PositFormat, source: Source, code: Value) -> Scaled:
    """Return the number that ``code`` stands for."""
    top = -fmt.lam  # exponent of the largest posit; of the smallest it is -top
    if isinstance(source, IntSource):
        keep = min(source.bits, max(1, top + 1 - source.lam))
        size, beyond = magnitude(m, code, keep)
        word, zeros = normalize(m, size, len(size) - 1)
        exponent = wire(m, len(size) - 1 + source.lam - zeros, "exponent")
        exponent = Mux(beyond, Const(top), exponent)
        zero = ~(word[-1] | beyond)
        fraction = word[:-1] & (~beyond).replicate(len(word) - 1)
        return Scaled(code[-1], exponent, fraction, zero, Const(0, 1))
    pieces = source.pieces(m, code)
    clamped = pieces.clamped_exponent(m)
    zero = ~pieces.significand.any()
    # Subnormal numbers below the smallest posit all become it, whatever their leading bit.
    limit = 0 if source.least + 1 <= -top else min(source.man_bits, source.least + top + 1)
    significand, zeros = source.normalized(m, pieces, limit)
    exponent = wire(m, clamped + (source.least - 1) - zeros, "exponent")
    nar = pieces.nan | pieces.infinite
    return Scaled(pieces.negative, exponent, significand[:-1], zero, nar)


def cut(m: Module, fmt: PositFormat, number: Scaled) -> Cut:
    """Return the string of a number, cut to the bits of a code without its sign."""
    n, es = fmt.bits, fmt.es
    exponent = wire(m, number.exponent, "scale")
    regime = wire(m, exponent[es:].as_signed(), "regime")
    small = wire(m, regime[-1], "small")
    run = wire(m, (regime ^ small.replicate(len(regime)))[:-1], "run")
    most = n - 2  # a longer run says no more
    if (1 << len(run)) - 1 > most:
        run = wire(m, Mux(run > most, most, run)[: most.bit_length()], "clamped_run")
    else:
        most = (1 << len(run)) - 1
    tail = Cat(number.fraction, exponent[:es])
    tail = Cat(Const(0, max(0, n - 2 - len(tail))), tail)
    # Two bits of regime on top; more of its first bit come in from the left.
    string = Cat(tail, small, ~small)
    word, lost = shift_right(m, string, run, most, ~small)
    low = len(word) - n
    return Cut(
        word[low + 1 :],
        word[low],
        word[:low].any() | lost if low else lost,
        number.negative,
        number.zero,
        number.nar,
    )


def finish(m: Module, fmt: PositFormat, number: Cut, rounding: str) -> Value:
    """Return the posit that a cut string is rounded to."""
    n = fmt.bits
    body = wire(m, number.code, "body")
    negative = number.negative
    up = grows(rounding, body[0], number.guard, number.sticky, negative)
    up = wire(m, up | ~body.any(), "up")
    code = wire(m, Cat(body ^ negative.replicate(n - 1), negative) + (up ^ negative), "code")
    alive = ~(number.zero | number.nar)
    return Cat(code[: n - 1] & alive.replicate(n - 1), (code[n - 1] & alive) | number.nar)

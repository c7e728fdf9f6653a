# SPDX-License-Identifier: Apache-2.0
"""Encoder of posits: regime, exponent and fraction as one string of bits, cut and rounded.

Rounding acts on the string, not on the value. A non-zero value never becomes 0, nor NaR.
Source: Gustafson and Yonemoto, "Beating floating point at its own game" (2017).
"""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.wires import wire
from hw.encode.rounding import grows
from hw.encode.shift import shift_right
from hw.encode.source import Scaled, Source, scaled
from hw.spec.formats import PositFormat

__all__ = ["Cut", "cut", "cut_source", "finish"]


@dataclass(frozen=True)
class Cut:
    """A string of bits cut off below the last place of the code."""

    code: Value
    guard: Value
    sticky: Value
    negative: Value
    zero: Value
    nar: Value


def cut_source(m: Module, fmt: PositFormat, source: Source, code: Value) -> Cut:
    """Return the number that ``code`` stands for, cut for ``fmt``."""
    return cut(m, fmt, scaled(m, source, code, fmt.lam, -fmt.lam))


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
        wire(m, number.nan | number.infinite, "is_nar"),
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

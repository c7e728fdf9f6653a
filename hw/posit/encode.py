# SPDX-License-Identifier: Apache-2.0
"""Rounding to a posit on the bit string, for numbers of either sign in two's complement."""

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.wires import wire
from hw.spec.formats import PositFormat

__all__ = ["encoded"]


def encoded(m: Module, fmt: PositFormat, sign: Value, exponent: Value, fraction: Value) -> Value:
    """Return the code of ``(1 - 3 sign + fraction) * 2**exponent``, correctly rounded.

    ``exponent`` is signed; ``fraction`` lies in [0, 1) with all its bits below the point. The
    number is not 0; it never becomes 0 and never NaR.

    The bit string of the result (regime, exponent, fraction) is that of the two's complement code,
    for negative numbers as well: code and number grow together, so nothing is complemented.
    """
    kept, es = fmt.bits - 1, fmt.es
    exponent = wire(m, exponent, "exponent")
    high = exponent[es:]
    # A regime of n bits is the top bit, n - 1 copies of it moved in and the stop bit.
    first = wire(m, ~(exponent[-1] ^ sign), "first")
    run = wire(m, high[:-1] ^ exponent[-1].replicate(len(high) - 1), "run")
    low = exponent[:es] ^ sign.replicate(es)
    string = Cat(fraction, low, ~first, first)
    short = kept + 2 - len(string)
    if short > 0:
        string = Cat(Const(0, short), string)
    steps = (kept - 1).bit_length()
    far = _at_least(run, kept - 1)
    by = run[:steps]
    if len(run) > steps:
        by = by | run[steps:].any().replicate(steps)
    by = wire(m, by, "by")
    guard = len(string) - kept - 1
    word, lost = _moved_down(m, string, by, first)
    far = wire(m, far, "far")
    body = wire(m, word[guard + 1 :], "body")
    sticky = word[:guard].any() | lost
    grows = word[guard] & (sticky | body[0]) & ~far
    # So far out there is only the last code before 0 or NaR, which is odd.
    body = Cat(body[0] | far, body[1:])
    return Cat((body + grows)[:kept], sign)


def _moved_down(m: Module, word: Value, by: Value, fill: Value) -> tuple[Value, Value]:
    """Return ``word`` shifted right by ``by``, filled with ``fill``, and whether a one was lost."""
    width = len(word)
    lost: Value = Const(0, 1)
    word = wire(m, word, "string")
    for step in reversed(range(len(by))):
        jump = min(1 << step, width)
        lost = wire(m, lost | by[step] & word[:jump].any(), "lost")
        moved = Cat(word[jump:], fill.replicate(jump))
        word = wire(m, Mux(by[step], moved, word), "string")
    return word, lost


def _at_least(value: Value, limit: int) -> Value:
    """Return ``value >= limit``, bit by bit."""
    if limit >> len(value):
        return Const(0, 1)
    reached: Value = Const(1, 1)
    for position, bit in enumerate(value):
        reached = bit & reached if limit >> position & 1 else bit | reached
    return reached

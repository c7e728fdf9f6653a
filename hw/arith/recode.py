# SPDX-License-Identifier: Apache-2.0
"""Digits of a multiplier: each selects 0, 1 or 2 times the multiplicand, or their negatives."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.wires import wire

__all__ = [
    "Digit",
    "booth_digits",
    "digits_of",
    "lookup",
    "multiple",
    "plain_digits",
    "radix4",
    "signed_multiple",
]


@dataclass(frozen=True)
class Digit:
    """A digit in -2...2 of weight ``2**weight``. ``one`` and ``two`` are never both 1."""

    weight: int
    one: Value
    two: Value | None  #: None where the digit never is 2 or -2.
    negative: Value | None  #: None where the digit never is negative.


def booth_digits(m: Module, value: Value) -> list[Digit]:
    """Return the modified Booth (radix-4) digits of ``value``, signed or unsigned.

    Source: MacSorley, "High-speed arithmetic in binary computers" (1961).
    """
    value = wire(m, value, "multiplier")
    zero, width = Const(0, 1), len(value)
    is_signed = value.shape().signed
    count = (width + 1) // 2 if is_signed else width // 2 + 1
    bits = [zero, *value, *[value[-1] if is_signed else zero] * (2 * count - width)]
    digits = []
    for k in range(count):
        low, mid, high = bits[2 * k : 2 * k + 3]
        at = 2 * k
        if at == width:  # unsigned: only the carry of the digit below is left
            digits.append(Digit(at, low, None, None))
        elif at + 1 == width and is_signed:  # the sign bit twice: -1, 0 or 1
            digits.append(Digit(at, low ^ mid, None, high))
        elif at + 1 == width:
            digits.append(Digit(at, low ^ mid, None if k == 0 else low & mid, None))
        elif k == 0:
            digits.append(Digit(0, mid, high & ~mid, high))
        else:
            digits.append(Digit(at, low ^ mid, Mux(high, ~(low | mid), low & mid), high))
    return [_wired(m, d) for d in digits]


def _wired(m: Module, digit: Digit) -> Digit:
    two = None if digit.two is None else wire(m, digit.two, "two")
    return replace(digit, one=wire(m, digit.one, "one"), two=two)


def plain_digits(m: Module, value: Value) -> list[Digit]:
    """Return the bits of ``value`` as digits; the sign bit of a signed value is negative."""
    value = wire(m, value, "multiplier")
    top = len(value) - 1 if value.shape().signed else -1
    return [Digit(k, bit, None, bit if k == top else None) for k, bit in enumerate(value)]


def radix4(value: int) -> list[int]:
    """Return the Booth digits of an integer, lowest first, without leading zeros."""
    digits = []
    while value:
        digit = value & 3
        digit -= 4 * (digit == 3 or (digit == 2 and bool(value & 4)))
        digits.append(digit)
        value = value - digit >> 2
    return digits


def digits_of(m: Module, table: Sequence[int], code: Value) -> list[Digit]:
    """Return radix-4 digits of ``table[code]``, each a function of the code alone."""
    rows = [radix4(v) for v in table]
    digits = []
    for k in range(max(map(len, rows))):
        column = [r[k] if k < len(r) else 0 for r in rows]
        truths = [[abs(d) == 1 for d in column], [abs(d) == 2 for d in column]]
        truths.append([d < 0 for d in column])
        one, two, negative = (lookup(t, code) if any(t) else None for t in truths)
        digits.append(Digit(2 * k, Const(0, 1) if one is None else one, two, negative))
    return [_wired(m, d) for d in digits]


def lookup(truth: Sequence[int], code: Value, width: int = 1) -> Value:
    """Return ``truth[code]``, an unsigned word of ``width`` bits, as logic."""
    stride = (width - 1).bit_length()  # a power of two, for the index to need no multiplier
    packed = sum(int(v) << (k << stride) for k, v in enumerate(truth))
    return Const(packed, len(truth) << stride).bit_select(Cat(Const(0, stride), code), width)


def multiple(digit: Digit, value: Value) -> tuple[Value, Value | None]:
    """Return (row, carry) with ``digit * value == row + carry``, both in units of the weight.

    The row is signed unless ``value`` is unsigned and the digit never negative.
    """
    zero, is_signed = Const(0, 1), value.shape().signed
    single = Cat(value)
    if digit.two is None:
        row = single & digit.one.replicate(len(single))
    else:
        single = Cat(value, value[-1] if is_signed else zero)
        double = Cat(zero, value)
        row = single & digit.one.replicate(len(single)) | double & digit.two.replicate(len(single))
    if digit.negative is None:
        return (row.as_signed() if is_signed else row), None
    if not is_signed:
        row = Cat(row, zero)
    return (row ^ digit.negative.replicate(len(row))).as_signed(), digit.negative


def signed_multiple(m: Module, digit: Digit, value: Value) -> tuple[Value, Value]:
    """Return what :func:`multiple` does of a digit that is -1, 0 or 1, at fewer gates.

    The value or its complement is selected, rather than inverted and masked.
    """
    assert digit.two is None and digit.negative is not None
    plus = wire(m, digit.one & ~digit.negative, "plus")
    minus = wire(m, digit.one & digit.negative, "minus")
    bits, width = Cat(value), len(value)
    row = bits & plus.replicate(width) | ~bits & minus.replicate(width)
    return (row if value.shape().signed else Cat(row, minus)).as_signed(), minus

# SPDX-License-Identifier: Apache-2.0
"""EN-T digits: radix 4 with the digits -1, 0, 1 and 2 of a magnitude, fewer of them not 0."""

from amaranth.hdl import Cat, Const, Module, Value

from hw.arith.recode import Digit
from hw.arith.wires import wire

__all__ = ["ent", "ent_count", "ent_digits"]


def ent_count(largest: int) -> int:
    """Return how many digits hold every magnitude up to ``largest``."""
    count = 1
    while 2 * (4**count - 1) // 3 < largest:
        count += 1
    return count


def ent(value: int, count: int) -> list[int]:
    """Return the ``count`` EN-T digits of an integer, lowest first: those of its magnitude, negated
    for a negative one.

    Raises ``ValueError`` for a value that ``count`` digits do not hold.
    """
    digits, rest, sign = [], abs(value), -1 if value < 0 else 1
    for _ in range(count):
        digit = (rest + 1) % 4 - 1
        digits.append(sign * digit)
        rest = rest - digit >> 2
    if rest:
        raise ValueError(f"value must fit {count} EN-T digits, not {value}")
    return digits


def ent_digits(m: Module, value: Value) -> list[Digit]:
    """Return the EN-T digits of ``value``, signed or unsigned.

    Each is a function of two bits of the magnitude and of one carry. No adder forms the magnitude:
    it is ``(value ^ sign) + sign``, and the sign goes in as the carry below the lowest digit.

    Source: the bit-weight tensor engines, HPCA 2025.
    """
    value = wire(m, value, "multiplier")
    zero = Const(0, 1)
    if value.shape().signed:
        sign: Value = wire(m, value[-1], "sign")
        magnitude = wire(m, Cat(value[:-1]) ^ sign.replicate(len(value) - 1), "magnitude")
        largest = 1 << len(value) - 1
    else:
        sign, magnitude, largest = zero, value, (1 << len(value)) - 1
    count = ent_count(largest)
    bits = [*magnitude, *[zero] * (2 * count - len(magnitude))]
    digits, carry = [], sign
    for k in range(count):
        low, high = bits[2 * k : 2 * k + 2]
        odd = wire(m, low ^ carry, "odd")
        negative = wire(m, sign ^ (high & odd), "negative")
        digits.append(Digit(2 * k, odd, wire(m, (low ^ high) & ~odd, "two"), negative))
        carry = wire(m, high & (low | carry), "carry")
    return digits

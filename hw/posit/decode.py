# SPDX-License-Identifier: Apache-2.0
"""A posit code taken apart without complementing the negative ones.

The fields of a code with sign s, regime r, exponent e and fraction f, read as they stand, mean

    (1 - 3 s + f) * 2**((1 - 2 s) * (r * 2**es + e + s)).

So the significand lies in [1, 2) or [-2, -1), in two's complement ``s ~s . f``, and the exponent is
``r * 2**es + e``, its bits inverted where s is set: nothing has to be incremented.

Source: the value of a posit in the Posit Standard (2022).
"""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Value

from hw.arith.wires import wire
from hw.spec.formats import PositFormat

__all__ = ["PositFields", "fraction_bits", "split"]


@dataclass(frozen=True)
class PositFields:
    """``(1 - 3 * sign + fraction) * 2**exponent``, unless the number is zero or NaR."""

    sign: Value
    fraction: Value  #: :func:`fraction_bits` bits below the point.
    exponent: Value  #: Signed.
    zero: Value
    nar: Value


def fraction_bits(fmt: PositFormat) -> int:
    """Return the most fraction bits that a code of ``fmt`` has."""
    return max(fmt.bits - 3 - fmt.es, 0)


def split(m: Module, fmt: PositFormat, code: Value) -> PositFields:
    """Return the fields of ``code``."""
    sign, first, body = code[-1], code[-2], code[:-2]
    stops = _stops(m, body, first)
    width = len(body)
    empty = wire(m, stops[-1] & ~first, "empty")
    # Stop j ends a regime of j + 1 bits; what follows it are the exponent and the fraction.
    tail = [
        _or([stops[j] & body[width - 2 - j - k] for j in range(width - 1 - k)])
        for k in range(fmt.es + fraction_bits(fmt))
    ]
    count = [
        _or([stop for j, stop in enumerate(stops) if j >> bit & 1])
        for bit in range(width.bit_length())
    ]
    low = [bit ^ sign for bit in reversed(tail[: fmt.es])]
    inverted = wire(m, ~(first ^ sign), "inverted")
    high = [bit ^ inverted for bit in count]
    exponent = wire(m, Cat(*low, *high, inverted).as_signed(), "exponent")
    fraction = wire(m, Cat(*reversed(tail[fmt.es :])), "fraction")
    return PositFields(sign, fraction, exponent, empty & ~sign, empty & sign)


def _stops(m: Module, body: Value, first: Value) -> list[Value]:
    """Return for each j whether exactly j bits of ``body`` continue the regime ``first``."""
    width = len(body)
    differs = wire(m, body ^ first.replicate(width), "differs")
    stops: list[Value] = []
    going: Value = Const(1, 1)
    for j in range(width):
        stops.append(wire(m, going & differs[width - 1 - j], "stop"))
        going = wire(m, going & ~differs[width - 1 - j], "going")
    return [*stops, going]


def _or(bits: list[Value]) -> Value:
    total: Value = Const(0, 1)
    for bit in bits:
        total = total | bit
    return total

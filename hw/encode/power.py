# SPDX-License-Identifier: Apache-2.0
"""Encoder of powers of two: the exponent, one more above the square root of two."""

from math import isqrt

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.wires import wire
from hw.encode.source import Scaled, Source, scaled
from hw.spec.formats import PowerFormat

__all__ = ["finish", "scaled_source"]


def _exponents(fmt: PowerFormat) -> tuple[int, int]:
    """Return the exponents of the smallest and of the largest power."""
    return fmt.lam, fmt.lam + fmt.max_int.bit_length() - 1


def scaled_source(m: Module, fmt: PowerFormat, source: Source, code: Value) -> Scaled:
    """Return the number that ``code`` stands for, as far as ``fmt`` tells numbers apart."""
    least, most = _exponents(fmt)
    return scaled(m, source, code, least - 1, most + 1)


def finish(m: Module, fmt: PowerFormat, number: Scaled, rounding: str, overflow: str) -> Value:
    """Return the code of ``fmt`` that a number is rounded to. NaN is 0 without a code.

    Powers meet at their geometric mean, which no number hits; zero and the smallest at its half.
    """
    least, most = _exponents(fmt)
    exponent = wire(m, number.exponent, "scale")
    fraction = wire(m, number.fraction, "fraction")
    width = len(fraction)
    up: Value = Const(0, 1)
    if rounding != "rtz":
        up = fraction > isqrt(2 << 2 * width) - (1 << width)
    nearest = wire(m, exponent + up, "nearest")
    over = wire(m, number.infinite | (nearest > most), "over")
    under = wire(m, nearest < least, "under")
    bits = fmt.bits - fmt.has_sign
    first, last = int(fmt.has_zero), most - least + int(fmt.has_zero)
    field = Mux(over, last, Mux(under, first, (nearest + (first - least))[:bits]))
    if fmt.has_nan:
        lost = number.infinite if rounding == "rtz" else over
        quiet = number.nan | (lost if overflow == "nonsat" else Const(0, 1))
        alive, without = ~number.nan, number.zero
    else:
        quiet, alive, without = Const(0, 1), ~number.nan, number.zero | number.nan
    if fmt.has_zero:
        without = without | _vanishes(number, exponent, least, rounding)
    field = wire(m, Mux(without & ~number.infinite, 0, field)[:bits], "field")
    if not fmt.has_sign:
        field = wire(m, field & (~(number.negative & alive)).replicate(bits), "unsigned_field")
        quiet = quiet & ~(number.negative & alive)
    if fmt.has_nan:
        field = Mux(quiet, (1 << bits) - 1, field)[:bits]
    if not fmt.has_sign:
        return field
    return Cat(field, number.negative & alive & ~without)


def _vanishes(number: Scaled, exponent: Value, least: int, rounding: str) -> Value:
    """Return whether zero is nearer than the smallest power."""
    if rounding == "rtz":
        return exponent < least
    stays = {"rha": Const(1, 1), "ties-down": number.negative}.get(rounding, Const(0, 1))
    half = (exponent == least - 1) & ~number.fraction.any() & ~stays
    return (exponent < least - 1) | half

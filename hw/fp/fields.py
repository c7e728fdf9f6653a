# SPDX-License-Identifier: Apache-2.0
"""A minifloat code taken apart, and put together."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.rounding import incremented
from hw.arith.wires import wire
from hw.spec.formats import FloatFormat

__all__ = ["Fields", "encoded", "nan_code", "split"]


@dataclass(frozen=True)
class Fields:
    """The parts of one code. A NaN or an infinity has the fields of the number in its place."""

    sign: Value
    significand: Value  #: With its hidden bit; not normalised.
    exponent: Value  #: Of the lowest bit, from 1: subnormals have that of the least normals.
    zero: Value
    nan: Value
    inf: Value


def split(m: Module, fmt: FloatFormat, code: Value) -> Fields:
    """Return the fields of ``code``, whose format has a sign."""
    man, exp, sign = code[: fmt.man_bits], code[fmt.man_bits : -1], code[-1]
    normal = wire(m, exp.any(), "normal")
    fraction = wire(m, man.any(), "fraction")
    zero = wire(m, ~(normal | fraction), "zero")
    nan: Value = Const(0, 1)
    inf: Value = Const(0, 1)
    if fmt.nonfinite_rule == "ieee":
        top = wire(m, exp.all(), "top")
        nan, inf = wire(m, top & fraction, "nan"), wire(m, top & ~fraction, "inf")
    elif fmt.nonfinite_rule == "fn":
        nan = wire(m, code[:-1].all(), "nan")
    elif fmt.nonfinite_rule == "fnuz":
        nan = wire(m, sign & zero, "nan")
    exponent = Cat(exp[:1] | ~normal, exp[1:]) if fmt.exp_bits else Const(1, 1)
    exponent = wire(m, exponent, "exponent")
    return Fields(sign, wire(m, Cat(man, normal), "significand"), exponent, zero, nan, inf)


def nan_code(fmt: FloatFormat) -> int | None:
    """Return the code of a NaN that arithmetic makes, or None if the format has none."""
    ones = (1 << fmt.bits - 1) - 1
    if fmt.nonfinite_rule == "ieee" and fmt.man_bits:
        return ones - (1 << fmt.man_bits - 1) + 1
    return {"fn": ones, "fnuz": ones + 1}.get(fmt.nonfinite_rule)


def encoded(
    m: Module,
    fmt: FloatFormat,
    cut: Value,
    grows: Value,
    sign: Value,
    nan: Value,
    inf: Value,
    rounding: str,
    overflow: str,
) -> Value:
    """Return the code of a rounded result.

    ``cut + grows`` is the code without its sign, with exponents beyond the format's range where
    the result is too large; with ``inf`` or ``nan`` it does not matter.
    """
    width = fmt.bits - 1
    limit = fmt.max_code + 1
    beyond = _at_least(cut, limit)
    infinite = fmt.nonfinite_rule == "ieee" and overflow != "sat" and rounding != "rtz"
    if not infinite:  # else the increment itself makes the code of infinity
        beyond = beyond | grows & (cut == limit - 1)
    over = wire(m, beyond | inf, "over")
    quiet = nan_code(fmt)
    size = incremented(m, Cat(cut, Const(0, width))[:width], grows)
    size = wire(m, size, "rounded")
    if overflow == "sat" or not fmt.nonfinite:
        size = _forced(m, size, over, fmt.max_code)
        lost: Value = Const(0, 1)
    elif fmt.nonfinite_rule == "ieee":
        if rounding == "rtz":
            size = _forced(m, size, beyond, fmt.max_code)
            over = inf
        return _with_infinity(fmt, size, sign, nan, wire(m, over | nan, "special"))
    else:
        lost = over
        if rounding == "rtz":
            size, lost = _forced(m, size, beyond, fmt.max_code), inf
    lost = wire(m, lost | nan, "lost")
    if fmt.nonfinite_rule == "fnuz":
        size = wire(m, size & (~lost).replicate(width), "size")
        return Cat(size, lost | sign & size.any())
    if quiet is None:
        return Cat(size, sign) & (~lost).replicate(fmt.bits)
    return Mux(lost, quiet, Cat(size, sign))


def _with_infinity(fmt: FloatFormat, size: Value, sign: Value, nan: Value, special: Value) -> Value:
    """Return the code where a top exponent means infinity: fields are forced, none is selected."""
    exponent = size[fmt.man_bits :] | special.replicate(fmt.exp_bits)
    mantissa = size[: fmt.man_bits] & (~special).replicate(fmt.man_bits)
    if not fmt.man_bits:  # there is no code for NaN: +0
        return Cat(exponent, sign) & (~nan).replicate(fmt.bits)
    return Cat(mantissa[:-1], mantissa[-1] | nan, exponent, sign & ~nan)


def _forced(m: Module, size: Value, over: Value, code: int) -> Value:
    """Return ``size``, or ``code`` if ``over``."""
    ones = Const(code, len(size))
    return wire(m, size & (~over).replicate(len(size)) | ones & over.replicate(len(size)), "kept")


def _at_least(value: Value, limit: int) -> Value:
    """Return ``value >= limit`` for a limit whose low bits are zeros, or one above such."""
    if limit >> len(value):
        return Const(0, 1)
    low = (limit & -limit).bit_length() - 1
    head, bits = value[low:], f"{limit >> low:0{len(value) - low}b}"[::-1]
    reached: Value = Const(1, 1)
    for bit, required in zip(head, bits, strict=True):
        reached = bit & reached if required == "1" else bit | reached
    return reached

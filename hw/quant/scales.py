# SPDX-License-Identifier: Apache-2.0
"""Scales of groups: what their codes stand for, and what logic needs to know of them."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Value

from hw.arith.wires import wire
from hw.spec.formats import FloatFormat, IntFormat, PowerFormat, parse

__all__ = ["SCALES", "Scale", "ScaleFields", "scale_of"]

SCALES = ("e8m0", "ue4m3", "ue5m3", "fp16", "bf16", "int8")


@dataclass(frozen=True)
class Scale:
    """A format of scales: values ``significand * 2**(field + offset)``, some also negative."""

    name: str
    bits: int
    significand_bits: int
    fields: tuple[int, int]  #: Least and largest exponent field.
    offset: int
    signed: bool
    nonfinite: bool

    @property
    def max_significand(self) -> int:
        """Largest magnitude of the significand."""
        return 128 if self.name == "int8" else (1 << self.significand_bits) - 1

    @property
    def max_int(self) -> int:
        """Largest magnitude in units of :attr:`lam`."""
        fmt = parse(self.name)
        last_is_nan = isinstance(fmt, FloatFormat) and fmt.nonfinite_rule == "fn"
        return self.max_significand - last_is_nan << self.fields[1] - self.fields[0]

    @property
    def lam(self) -> int:
        """Exponent of the unit."""
        return self.fields[0] + self.offset

    def decode(self, m: Module, code: Value, signed_integers: bool = False) -> "ScaleFields":
        """Return the fields of a code; with ``signed_integers``, an int8 as it stands."""
        fmt = parse(self.name)
        code = wire(m, code, "scale")
        zero = Const(0, 1)
        if isinstance(fmt, PowerFormat):
            return ScaleFields(Const(1, 1), code, zero, code.all(), zero)
        if isinstance(fmt, IntFormat):
            if signed_integers:
                return ScaleFields(wire(m, code.as_signed(), "factor"), zero, zero, zero, zero)
            negative = code[-1]
            magnitude = (code ^ negative.replicate(8)) + negative
            return ScaleFields(wire(m, magnitude[:8], "magnitude"), zero, negative, zero, zero)
        assert isinstance(fmt, FloatFormat)
        man, exp = code[: fmt.man_bits], code[fmt.man_bits : fmt.man_bits + fmt.exp_bits]
        normal = exp.any()
        significand = wire(m, Cat(man, normal), "significand")
        field = wire(m, Cat(exp[0] | ~normal, exp[1:]), "field")
        negative = code[-1] if fmt.has_sign else zero
        if fmt.nonfinite_rule == "fn":
            return ScaleFields(significand, field, negative, Cat(man, exp).all(), zero)
        top = wire(m, exp.all(), "top")
        return ScaleFields(significand, field, negative, top & man.any(), top & ~man.any())


@dataclass(frozen=True)
class ScaleFields:
    """A decoded scale; the significand and field of non-finite ones mean nothing."""

    significand: Value
    field: Value
    negative: Value
    nan: Value
    inf: Value


def scale_of(name: str) -> Scale:
    """Return the scale format called ``name``. Raises ``ValueError`` for one that is no scale."""
    if name not in SCALES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, not {name!r}")
    fmt = parse(name)
    if isinstance(fmt, PowerFormat):
        return Scale(name, 8, 1, (0, 254), -127, False, True)
    if isinstance(fmt, IntFormat):
        return Scale(name, 8, 8, (0, 0), 0, True, False)
    assert isinstance(fmt, FloatFormat)
    top = (1 << fmt.exp_bits) - 1 - (fmt.nonfinite_rule == "ieee")
    offset = -fmt.bias - fmt.man_bits
    return Scale(name, fmt.bits, fmt.man_bits + 1, (1, top), offset, fmt.has_sign, True)

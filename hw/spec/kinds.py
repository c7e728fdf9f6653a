# SPDX-License-Identifier: Apache-2.0
"""Kinds of number formats as data: what a code *is*, never how it is computed.

The bottom of the dependency order: nothing but the standard library is imported, so that the RTL
(``hw``) and the golden models (``sim.golden``) share the *description* of a format while each
derives its own arithmetic from it.

Every finite code of every format has the exact value ``I * 2**lam`` with an integer ``I`` and an
exponent ``lam`` that is fixed for the format.
"""

from dataclasses import dataclass, field

__all__ = [
    "FloatFormat",
    "Format",
    "IntFormat",
    "PositFormat",
    "PowerFormat",
    "TableFormat",
    "exact_width",
]


@dataclass(frozen=True)
class Format:
    """What all formats have in common. ``bits`` is the width of a stored code."""

    name: str
    bits: int
    source: str = field(default="", compare=False, kw_only=True)

    @property
    def lam(self) -> int:
        """Exponent of the unit in which every value is an integer."""
        raise NotImplementedError

    @property
    def max_int(self) -> int:
        """Largest magnitude of a finite value, in units of ``2**lam``."""
        raise NotImplementedError

    @property
    def signed(self) -> bool:
        """Whether any legal code has a negative value."""
        return True

    @property
    def nonfinite(self) -> bool:
        """Whether some code is NaN, NaR or an infinity."""
        return False

    @property
    def illegal(self) -> range:
        """Codes without a defined meaning: the models refuse them, the RTL does as documented."""
        return range(0)


@dataclass(frozen=True)
class IntFormat(Format):
    """Integers.

    ``encoding`` is ``"twos"``, ``"unsigned"``, ``"sign-magnitude"`` (top bit is the sign),
    ``"bipolar"`` (every bit is plus or minus its weight: ``2 * code - (2**bits - 1)``) or
    ``"offset"`` (``code - 1``, of which the top code is illegal). A ``ternary`` two's complement
    format calls its code 10 illegal; RTL reads it as the plain integer, here -2, as it does the
    top code of an offset format.
    """

    encoding: str = "twos"
    ternary: bool = False

    @property
    def lam(self) -> int:
        return 0

    @property
    def max_int(self) -> int:
        if self.ternary:
            return 1
        return {
            "twos": 1 << self.bits - 1,
            "sign-magnitude": (1 << self.bits - 1) - 1,
        }.get(self.encoding, (1 << self.bits) - 1)

    @property
    def signed(self) -> bool:
        return self.encoding != "unsigned"

    @property
    def illegal(self) -> range:
        if not self.ternary:
            return range(0)
        return range(2, 3) if self.encoding == "twos" else range(3, 4)


@dataclass(frozen=True)
class FloatFormat(Format):
    """Sign, exponent and mantissa fields with subnormals, top to bottom in that order.

    ``nonfinite_rule`` is ``"none"`` (every code is finite), ``"fn"`` (all ones is NaN), ``"ieee"``
    (the top exponent holds infinity and NaNs) or ``"fnuz"`` (the code of -0 is the only NaN).
    ``special`` is the value, in units of ``2**lam``, that the code of -0 stands for instead.
    Without ``has_sign`` the format is unsigned; ``pad`` unused bits above must then be 0 (RTL
    ignores them).
    """

    exp_bits: int = 0
    man_bits: int = 0
    bias: int = 0
    nonfinite_rule: str = "none"
    has_sign: bool = True
    special: int | None = None
    pad: int = 0

    @property
    def lam(self) -> int:
        return 1 - self.bias - self.man_bits

    @property
    def max_code(self) -> int:
        """Code of the largest finite magnitude, without the sign."""
        top = (1 << self.exp_bits + self.man_bits) - 1
        if self.nonfinite_rule == "fn":
            return top - 1
        if self.nonfinite_rule == "ieee":
            return top - (1 << self.man_bits)
        return top

    @property
    def max_int(self) -> int:
        exp, man = divmod(self.max_code, 1 << self.man_bits)
        largest = man if exp == 0 else (man + (1 << self.man_bits)) << exp - 1
        return max(largest, abs(self.special or 0))

    @property
    def signed(self) -> bool:
        return self.has_sign

    @property
    def nonfinite(self) -> bool:
        return self.nonfinite_rule != "none"

    @property
    def illegal(self) -> range:
        return range(1 << self.bits - self.pad, 1 << self.bits)


@dataclass(frozen=True)
class PositFormat(Format):
    """Posit(``bits``, ``es``): two's complement codes, 0 is zero, the most negative code is NaR."""

    es: int = 0

    @property
    def lam(self) -> int:
        return -(self.bits - 2) << self.es

    @property
    def max_int(self) -> int:
        return 1 << (2 * (self.bits - 2) << self.es)

    @property
    def nonfinite(self) -> bool:
        return True


@dataclass(frozen=True)
class PowerFormat(Format):
    """Powers of two: sign (if ``has_sign``) above a field ``p``.

    The value is ``2**(p + offset)``; where ``has_zero``, ``p = 0`` is zero and the others are
    ``2**(p - 1 + offset)``. With ``has_nan`` the top code is NaN.
    """

    offset: int = 0
    has_sign: bool = True
    has_zero: bool = False
    has_nan: bool = False

    @property
    def lam(self) -> int:
        return self.offset

    @property
    def max_int(self) -> int:
        top = (1 << self.bits - self.has_sign) - 1
        return 1 << top - self.has_zero - self.has_nan

    @property
    def signed(self) -> bool:
        return self.has_sign

    @property
    def nonfinite(self) -> bool:
        return self.has_nan


@dataclass(frozen=True)
class TableFormat(Format):
    """A code book: code ``c`` stands for ``table[c] * 2**unit``."""

    table: tuple[int, ...] = ()
    unit: int = 0

    @property
    def lam(self) -> int:
        return self.unit

    @property
    def max_int(self) -> int:
        return max(1, *(abs(v) for v in self.table))

    @property
    def signed(self) -> bool:
        return min(self.table) < 0


def exact_width(weight: Format, act: Format, k: int) -> int:
    """Bits of the two's complement sum of ``k`` products that never overflows (sheet B.12)."""
    return 1 + (k * weight.max_int * act.max_int).bit_length()

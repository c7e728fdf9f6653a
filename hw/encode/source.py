# SPDX-License-Identifier: Apache-2.0
"""Formats that numbers to be encoded come in, taken apart as an encoder needs them."""

import re
from dataclasses import dataclass
from fractions import Fraction

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from hw.arith.wires import wire
from hw.encode.shift import normalize

__all__ = [
    "INFINITY",
    "FloatSource",
    "IntSource",
    "Pieces",
    "Scaled",
    "Source",
    "magnitude",
    "parse_source",
    "scaled",
]

MOST_LAM = 256  #: Bound of the exponent of an integer's unit.
INFINITY = Fraction(1 << 1024)  #: Stands for infinity among the values of a source.


@dataclass(frozen=True)
class IntSource:
    """Two's complement integers in units of ``2**lam``."""

    bits: int
    lam: int = 0

    @property
    def keys(self) -> int:
        """How many places the values take in ascending order."""
        return 1 << self.bits

    def value(self, key: int) -> Fraction:
        """Return the value in place ``key``."""
        return Fraction(key - (1 << self.bits - 1)) * Fraction(2) ** self.lam

    def key(self, code: Value) -> Value:
        """Return the place of a code."""
        return Cat(code[:-1], ~code[-1])


@dataclass(frozen=True)
class FloatSource:
    """IEEE binary formats."""

    exp_bits: int
    man_bits: int

    @property
    def bits(self) -> int:
        return 1 + self.exp_bits + self.man_bits

    @property
    def least(self) -> int:
        """Exponent of the smallest normal number, and of the subnormal ones."""
        return 2 - (1 << self.exp_bits - 1)

    @property
    def keys(self) -> int:
        """How many places the values take in ascending order; -0 comes before 0."""
        return 1 << self.bits

    def value(self, key: int) -> Fraction:
        """Return the value in place ``key``; non-finite codes are worth :data:`INFINITY`."""
        half = 1 << self.bits - 1
        code = key - half if key >= half else half - 1 - key
        exponent, mantissa = code >> self.man_bits, code & (1 << self.man_bits) - 1
        if exponent == (1 << self.exp_bits) - 1:
            return INFINITY if key >= half else -INFINITY
        size = mantissa + (1 << self.man_bits) if exponent else mantissa
        scale = Fraction(2) ** (max(exponent, 1) - 1 + self.least - self.man_bits)
        return size * scale if key >= half else -size * scale

    def key(self, code: Value) -> Value:
        """Return the place of a code."""
        return Cat(code[:-1] ^ code[-1].replicate(self.bits - 1), ~code[-1])

    def pieces(self, m: Module, code: Value) -> "Pieces":
        """Return the fields of a code and what they mean."""
        mantissa = code[: self.man_bits]
        exponent = wire(m, code[self.man_bits : -1], "exponent")
        top = wire(m, exponent.all(), "top")
        some = wire(m, mantissa.any(), "some")
        normal = wire(m, exponent.any(), "is_normal")
        return Pieces(
            negative=code[-1],
            exponent=exponent,
            significand=wire(m, Cat(mantissa, normal), "significand"),
            normal=normal,
            nan=wire(m, top & some, "nan"),
            infinite=wire(m, top & ~some, "infinite"),
        )

    def normalized(self, m: Module, pieces: "Pieces", limit: int) -> tuple[Value, Value]:
        """Return (significand, leading zeros) with subnormal numbers shifted up to ``limit``."""
        if not limit:
            return pieces.significand, Const(0, 1)
        return normalize(m, pieces.significand, limit)


@dataclass(frozen=True)
class Pieces:
    """A floating-point code. The value of a finite one is significand times power of two."""

    negative: Value
    exponent: Value  #: The field; subnormal numbers have 0, and the exponent of 1.
    significand: Value  #: With the hidden bit on top.
    normal: Value
    nan: Value
    infinite: Value

    def clamped_exponent(self, m: Module) -> Signal:
        """Return the exponent field, 1 for subnormal numbers."""
        return wire(m, Mux(self.normal, self.exponent, 1)[: len(self.exponent)], "clamped")


Source = IntSource | FloatSource

_FLOATS = {"fp16": FloatSource(5, 10), "bf16": FloatSource(8, 7), "fp32": FloatSource(8, 23)}


def parse_source(name: str, lam: int = 0) -> Source:
    """Return the source format called ``name``. Raises ``ValueError`` naming what is wrong."""
    if name in _FLOATS:
        if lam:
            raise ValueError(f"lam must be 0 with source {name}, not {lam}")
        return _FLOATS[name]
    match = re.fullmatch(r"int([1-9]\d?)", str(name), re.ASCII)
    if not match or not 2 <= int(match[1]) <= 64:
        raise ValueError(f"source must be int2 to int64, fp16, bf16 or fp32, not {name!r}")
    if isinstance(lam, bool) or not isinstance(lam, int) or abs(lam) > MOST_LAM:
        raise ValueError(f"lam must be an integer from -{MOST_LAM} to {MOST_LAM}, not {lam!r}")
    return IntSource(int(match[1]), lam)


def magnitude(m: Module, code: Value, keep: int) -> tuple[Value, Value]:
    """Return the magnitude of a two's complement code: its low ``keep`` bits, and if it has more.

    The first word has ``keep`` bits, or those of the code if they are fewer.
    """
    sign, low = code[-1], code[:keep]
    size = wire(m, (low ^ sign.replicate(len(low))) + sign, "size")
    if keep >= len(code):
        return size[: len(code)], Const(0, 1)
    rest = code[keep:-1] ^ sign.replicate(len(code) - 1 - keep)
    return size[:keep], wire(m, rest.any() | size[keep], "beyond")


@dataclass(frozen=True)
class Scaled:
    """A number with its leading 1 found: ``1.fraction * 2**exponent``, or one that has none."""

    negative: Value
    exponent: Value  #: Signed.
    fraction: Value
    zero: Value
    infinite: Value
    nan: Value


def scaled(m: Module, source: Source, code: Value, low: int, high: int) -> Scaled:
    """Return the number that ``code`` stands for, exact from ``2**low`` to ``2**high``.

    Non-zero magnitudes below keep an exponent below ``low``, those above one of ``high`` or more.
    """
    no = Const(0, 1)
    if isinstance(source, IntSource):
        keep = min(source.bits, max(1, high + 1 - source.lam))
        size, beyond = magnitude(m, code, keep)
        word, zeros = normalize(m, size, len(size) - 1)
        exponent = wire(m, len(size) - 1 + source.lam - zeros, "exponent")
        fraction = word[:-1] & (~beyond).replicate(len(word) - 1)
        zero = ~(word[-1] | beyond)
        return Scaled(code[-1], Mux(beyond, Const(high), exponent), fraction, zero, no, no)
    pieces = source.pieces(m, code)
    zero = ~pieces.significand.any()
    # Of subnormal numbers below the lowest the leading bit does not matter.
    limit = min(source.man_bits, max(0, source.least - low + 1))
    significand, zeros = source.normalized(m, pieces, limit)
    exponent = wire(m, pieces.clamped_exponent(m) + (source.least - 1) - zeros, "exponent")
    fraction = significand[:-1]
    return Scaled(pieces.negative, exponent, fraction, zero, pieces.infinite, pieces.nan)

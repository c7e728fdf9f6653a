# SPDX-License-Identifier: Apache-2.0
"""The number formats by name: :func:`parse` turns what a user types into a description."""

import re
import struct
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path

from hw.spec.kinds import (
    FloatFormat,
    Format,
    IntFormat,
    PositFormat,
    PowerFormat,
    TableFormat,
    exact_width,
)

__all__ = [
    "CATALOGUE",
    "DEFAULT_FOR_BITS",
    "ENUMERABLE",
    "FloatFormat",
    "Format",
    "IntFormat",
    "PositFormat",
    "PowerFormat",
    "TableFormat",
    "exact_width",
    "parse",
    "resolve",
]

_OCP = "OCP 8-bit Floating Point / Microscaling Formats v1.0"
_STUDENTS = "Learning from Students (llm-datatypes)"

_NF4 = (
    "-1.0 -0.6961928009986877 -0.5250730514526367 -0.39491748809814453 -0.28444138169288635 "
    "-0.18477343022823334 -0.09105003625154495 0.0 0.07958029955625534 0.16093020141124725 "
    "0.24611230194568634 0.33791524171829224 0.44070982933044434 0.5626170039176941 "
    "0.7229568362236023 1.0"
)
_SF4 = (
    "-1.0 -0.627781 -0.454736 -0.334331 -0.237434 -0.152899 -0.074982 0.0 0.065513 0.132965 "
    "0.204661 0.283835 0.375805 0.491076 0.656781 1.0"
)

_IQ4_NL = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


def _mirror(magnitudes: tuple[int, ...], negative_zero: int = 0) -> tuple[int, ...]:
    """Sign-magnitude table from its positive half."""
    return (*magnitudes, negative_zero, *(-v for v in magnitudes[1:]))


def _quantile(name: str, values: str, variant: str, source: str) -> TableFormat:
    reals = [float(v) for v in values.split()]
    if variant == "q15":
        table, unit = [min(round(v * 2**15), 2**15 - 1) for v in reals], -15
    elif variant == "fp16":
        halves = [struct.unpack("e", struct.pack("e", v))[0] for v in reals]
        table, unit = [int(h * 2**24) for h in halves], -24
    else:
        table, unit = [round(v * 127) for v in reals], 0
    while unit < 0 and all(v % 2 == 0 for v in table):
        table, unit = [v // 2 for v in table], unit + 1
    return TableFormat(name, 4, tuple(table), unit, source=source)


_TABLES: dict[str, TableFormat] = {
    f.name: f
    for f in (
        TableFormat("apot4", 4, _mirror((0, 1, 2, 3, 4, 6, 8, 10)), -4, source=_STUDENTS),
        TableFormat("apot4_sp", 4, _mirror((0, 1, 2, 3, 4, 6, 8, 10), 5), -4, source=_STUDENTS),
        TableFormat("flint4", 4, _mirror((0, 1, 2, 3, 16, 8, 4, 6)), source="ANT / OliVe"),
        TableFormat("abfloat4_2", 4, _mirror((0, 12, 16, 24, 32, 48, 64, 96)), source="OliVe"),
        TableFormat("abfloat4_3", 4, _mirror((0, 24, 32, 48, 64, 96, 128, 192)), source="OliVe"),
        TableFormat("iq4_nl", 4, _IQ4_NL, source="ggml, IQ4_NL and IQ4_XS"),
        _quantile("nf4", _NF4, "", "QLoRA, times 127 rounded"),
        _quantile("nf4_q15", _NF4, "q15", "QLoRA, rounded to Q1.15"),
        _quantile("nf4_fp16", _NF4, "fp16", "QLoRA, rounded to fp16"),
        _quantile("sf4", _SF4, "", f"{_STUDENTS}, times 127 rounded"),
        _quantile("sf4_q15", _SF4, "q15", f"{_STUDENTS}, rounded to Q1.15"),
        _quantile("sf4_fp16", _SF4, "fp16", f"{_STUDENTS}, rounded to fp16"),
    )
}


def _int(name: str, n: str) -> Format:
    return IntFormat(name, _within(name, int(n), 2, 16), "twos", source="two's complement")


def _uint(name: str, n: str) -> Format:
    return IntFormat(name, _within(name, int(n), 1, 16), "unsigned", source="plain binary")


def _sm(name: str, n: str) -> Format:
    bits = _within(name, int(n), 2, 16)
    return IntFormat(name, bits, "sign-magnitude", source="sign-magnitude")


def _bipolar(name: str, n: str) -> Format:
    return IntFormat(name, _within(name, int(n), 1, 8), "bipolar", source="APT-LLM bipolar-INT")


def _minifloat(name: str, e: str, m: str, rule: str | None) -> Format:
    exp_bits, man_bits = int(e), int(m)
    bits = _within(name, 1 + exp_bits + man_bits, 3, 8)
    bias = (1 << exp_bits - 1) - 1 if exp_bits else 0
    default = {"e4m3": "fn", "e5m2": "ieee"}.get(f"e{e}m{m}", "none")
    chosen = {None: default, "b11fnuz": "fnuz"}.get(rule, rule or "")
    if rule == "b11fnuz":
        if (exp_bits, man_bits) != (4, 3):
            raise ValueError(f"format {name!r}: the suffix _b11fnuz exists for e4m3 only")
        bias = 11
    elif chosen == "fnuz":
        bias += 1
    if chosen != "none" and exp_bits < 2:
        raise ValueError(f"format {name!r}: the suffix _{chosen} needs at least 2 exponent bits")
    source = "minifloat by its fields"
    if name in ("e2m1", "e2m3", "e3m2", "e4m3", "e5m2"):
        source = _OCP
    elif bits == 8 and chosen in ("ieee", "fnuz"):
        source = "ml_dtypes"
    return FloatFormat(name, bits, exp_bits, man_bits, bias, chosen, source=source)


def _unsigned_float(name: str, e: str, m: str) -> Format:
    exp_bits, man_bits = int(e), int(m)
    _within(name, exp_bits + man_bits, 3, 8)
    bias = (1 << exp_bits - 1) - 1 if exp_bits else 0
    pad = 1 if name == "ue4m3" else 0
    source = {"ue4m3": "NVFP4 scale", "ue5m3": "AMD-FP4 scale", "ue3m3": "RaZeR scale"}
    return FloatFormat(
        name,
        exp_bits + man_bits + pad,
        exp_bits,
        man_bits,
        bias,
        "fn" if exp_bits >= 2 else "none",
        has_sign=False,
        pad=pad,
        source=source.get(name, "unsigned minifloat"),
    )


def _posit(name: str, n: str, es: str) -> Format:
    bits = _within(name, int(n), 3, 16)
    if int(es) > 3:
        raise ValueError(f"format {name!r}: es must be 0 to 3, not {es}")
    return PositFormat(name, bits, int(es), source="Posit arithmetic (type III unums)")


def _power(name: str, kind: str, n: str) -> Format:
    bits = _within(name, int(n), 2, 6)
    source = "DenseShift" if kind == "shift" else "DeepShift / INQ"
    return PowerFormat(name, bits, has_zero=kind == "pot", source=source)


def _special_e2m1(name: str, value: Fraction, source: str) -> Format:
    doubled = value * 2
    if doubled.denominator != 1 or not 0 < abs(doubled) <= 64:
        raise ValueError(
            f"format {name!r}: the special value must be a non-zero multiple of 0.5 up to 32"
        )
    return FloatFormat(name, 4, 2, 1, 1, special=int(doubled), source=source)


def _bitmod(name: str, bits: str, kind: str, sign: str) -> Format:
    magnitude = {"3er": 3, "3ea": 6, "4er": 5, "4ea": 8}[bits + kind]
    value = -magnitude if sign == "-" else magnitude
    if bits == "4":
        return _special_e2m1(name, Fraction(value), "BitMoD")
    return FloatFormat(name, 3, 2, 0, 1, special=value, source="BitMoD")


def _codebook(name: str, text: str) -> Format:
    shown = text if len(text) <= 40 else text[:37] + "..."
    if not re.match(r"\s*[-+]?\.?\d", text, re.ASCII):
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            raise ValueError(f"codebook file {shown!r} cannot be read: {reason}") from None
    words = [w for w in re.split(r"[\s,]+", text) if w]
    for word in words:
        if len(word) > 80 or not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)", word, re.ASCII):
            raise ValueError(
                f"codebook {shown!r}: {word[:40]!r} is not a number such as -2.5 "
                "(a file whose name starts with a digit is written ./FILE)"
            )
    values = [Fraction(w) for w in words]
    if len(values) not in [1 << n for n in range(1, 9)]:
        raise ValueError(
            f"codebook {shown!r} has {len(values)} values; it needs 2, 4, 8, 16, 32, 64, 128 or 256"
        )
    unit = min(0, *(1 - v.denominator.bit_length() for v in values))
    scaled = [v * Fraction(2) ** -unit for v in values]
    for word, value in zip(words, scaled, strict=True):
        if value.denominator != 1 or value.numerator.bit_length() > 32 or unit < -64:
            raise ValueError(
                f"codebook {shown!r}: {word[:40]!r} is not a binary fraction of at most 32 bits"
            )
    table = tuple(int(v) for v in scaled)
    canonical = ",".join(map(_decimal, values))
    return TableFormat(
        f"codebook:{canonical}", (len(table) - 1).bit_length(), table, unit, source="given by user"
    )


def _decimal(value: Fraction) -> str:
    """Return the exact decimal text of a binary fraction."""
    places = value.denominator.bit_length() - 1
    digits = f"{abs(value.numerator) * 5**places:0{places + 1}d}"
    whole, rest = digits[: len(digits) - places], digits[len(digits) - places :]
    return f"{'-' if value < 0 else ''}{whole}{'.' if rest else ''}{rest}"


def _within(name: str, bits: int, least: int, most: int) -> int:
    if not least <= bits <= most:
        raise ValueError(f"format {name!r} would have {bits} bits; it may have {least} to {most}")
    return bits


_FIXED: dict[str, Callable[[], Format]] = {
    "ternary": lambda: IntFormat("ternary", 2, "twos", True, source="BitNet b1.58, TC2 codes"),
    "ternary_i2s": lambda: IntFormat(
        "ternary_i2s", 2, "offset", True, source="bitnet.cpp I2_S codes"
    ),
    "binary": lambda: IntFormat("binary", 1, "bipolar", source="binary networks: -1 and +1"),
    "fp16": lambda: FloatFormat("fp16", 16, 5, 10, 15, "ieee", source="IEEE 754 binary16"),
    "bf16": lambda: FloatFormat("bf16", 16, 8, 7, 127, "ieee", source="bfloat16"),
    "fp32": lambda: FloatFormat("fp32", 32, 8, 23, 127, "ieee", source="IEEE 754 binary32"),
    "e8m0": lambda: PowerFormat(
        "e8m0", 8, -127, has_sign=False, has_nan=True, source=f"{_OCP}, block scale"
    ),
    "e2m1_sr": lambda: _special_e2m1("e2m1_sr", Fraction(8), _STUDENTS),
    "e2m1_sp": lambda: _special_e2m1("e2m1_sp", Fraction(5), _STUDENTS),
    "e2m1_sp1": lambda: _special_e2m1("e2m1_sp1", Fraction(5, 2), _STUDENTS),
}

_N = r"(0|[1-9]\d{0,2})"  # one spelling for each number, so one name for each format

_FAMILIES: list[tuple[str, Callable[..., Format]]] = [
    (rf"int{_N}", _int),
    (rf"uint{_N}", _uint),
    (rf"sm{_N}", _sm),
    (rf"bipolar{_N}", _bipolar),
    (r"e(\d)m(\d)(?:_(fn|ieee|fnuz|b11fnuz))?", _minifloat),
    (r"ue(\d)m(\d)", _unsigned_float),
    (rf"posit{_N}_(\d)", _posit),
    (rf"(shift|pot){_N}", _power),
    (r"fp([34])_(er|ea)([+-])", _bitmod),
    (r"razer([+-](?:0|[1-9]\d?)(?:\.5)?)", lambda n, v: _special_e2m1(n, Fraction(v), "RaZeR")),
]

#: The names that ``python -m gen formats`` lists; :func:`parse` knows more (the whole families).
CATALOGUE = (
    *(f"int{n}" for n in range(2, 17)),
    *(f"uint{n}" for n in range(2, 9)),
    *(f"sm{n}" for n in range(2, 9)),
    *("ternary", "ternary_i2s", "binary"),
    *(f"bipolar{n}" for n in range(1, 9)),
    *("e1m1", "e2m0", "e1m2", "e2m1", "e3m0", "e1m3", "e2m2", "e3m1", "e2m3", "e3m2", "e3m3"),
    *("e4m2", "e3m4", "e3m4_fn", "e3m4_ieee", "e4m3", "e4m3_ieee", "e4m3_fnuz", "e4m3_b11fnuz"),
    *("e5m2", "e5m2_fnuz", "fp16", "bf16", "fp32"),
    *("posit3_0", "posit4_0", "posit4_1", "posit8_0", "posit8_1", "posit8_2", "posit16_1"),
    *("shift2", "shift3", "shift4", "pot3", "pot4", "apot4", "apot4_sp"),
    *("nf4", "nf4_q15", "nf4_fp16", "sf4", "sf4_q15", "sf4_fp16", "iq4_nl"),
    *("e2m1_sr", "e2m1_sp", "e2m1_sp1"),
    *(f"fp{n}_{kind}{sign}" for n in (3, 4) for kind in ("er", "ea") for sign in "+-"),
    *("razer+5", "razer-5", "razer+8", "razer-8", "flint4", "abfloat4_2", "abfloat4_3"),
    *("e8m0", "ue4m3", "ue5m3", "ue3m3"),
)


def parse(name: str) -> Format:
    """Return the format called ``name``.

    ``codebook:0,1,2,5`` and ``codebook:FILE`` (numbers between commas or white space) make one of
    the user's own; the format of a file is named by its values. Raises ``ValueError`` with one line
    that quotes the name.
    """
    kind, _, text = name.partition(":")
    # Not from the cache: a file may change between two calls.
    return _codebook(name, text) if kind == "codebook" and text else _parse(name)


@cache
def _parse(name: str) -> Format:
    if name in _FIXED:
        return _FIXED[name]()
    if name in _TABLES:
        return _TABLES[name]
    for pattern, make in _FAMILIES:
        match = re.fullmatch(pattern, name, re.ASCII | re.DOTALL)
        if match:
            return make(name, *match.groups())
    shown = name if len(name) <= 40 else name[:37] + "..."
    raise ValueError(f"unknown format {shown!r}; `python -m gen formats` lists them all")


#: The names of :data:`CATALOGUE` whose codes are few enough to list.
ENUMERABLE = tuple(name for name in CATALOGUE if parse(name).bits <= 16)

#: What ``--bits`` alone means.
DEFAULT_FOR_BITS = {1: "binary", **{n: f"int{n}" for n in range(2, 17)}}

_BY_WIDTH = {
    "int": "int{}",
    "uint": "uint{}",
    "sm": "sm{}",
    "bipolar": "bipolar{}",
    "shift": "shift{}",
    "pot": "pot{}",
}


def resolve(name: str | None, bits: int | None, default: str) -> Format:
    """Return the format that a name, a width or both ask for; ``default`` when neither is given.

    A family name (``int``, ``uint``, ``sm``, ``bipolar``, ``shift``, ``pot``) needs the width.
    Raises ``ValueError`` when the two disagree.
    """
    if name in _BY_WIDTH:
        if bits is None:
            raise ValueError(f"format {name!r} needs --bits, or write it as {name}4")
        return parse(_BY_WIDTH[name].format(bits))
    if name is None:
        if bits is None:
            return parse(default)
        if bits not in DEFAULT_FOR_BITS:
            raise ValueError(f"bits must be 1 to 16 when no format is named, not {bits}")
        return parse(DEFAULT_FOR_BITS[bits])
    found = parse(name)
    if bits is not None and bits != found.bits:
        raise ValueError(f"format {name!r} has {found.bits} bits, which conflicts with bits {bits}")
    return found

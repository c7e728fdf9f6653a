# SPDX-License-Identifier: Apache-2.0
"""Minifloat codes taken apart and exact values rounded to them, one code at a time.

A finite code is ``(-1)**sign * magnitude * 2**fmt.lam``. Neighbouring magnitudes have neighbouring
codes, so one rule rounds subnormals, normals and across powers of two: the code below the value,
plus one where the rest asks for it. The code that would follow the largest decides the overflow.

Unlike :mod:`sim.golden.encode` nothing passes through float64: a sum of products may need hundreds
of bits.
"""

from typing import Any

from hw.spec.formats import FloatFormat, Format, parse
from hw.spec.rounding import OVERFLOWS, ROUNDINGS
from sim.golden.encode import nan_code

__all__ = [
    "default_overflow",
    "infinity",
    "minifloat",
    "nan",
    "one_of",
    "pack",
    "product",
    "unpack",
]

_FINITE, _INF, _NAN = "finite", "inf", "nan"


def minifloat(name: str, role: str) -> FloatFormat:
    """Return the minifloat ``name``. Raises ``ValueError`` for what has no sign or a special value.

    ``role`` is the parameter that the message names.
    """
    fmt: Format = parse(name)
    if not isinstance(fmt, FloatFormat) or not fmt.has_sign or fmt.special is not None:
        raise ValueError(f"{role} must be a minifloat with a sign, such as fp16, not {name!r}")
    return fmt


def one_of(name: str, value: Any, allowed: Any) -> str:
    """Return ``value``. Raises ``ValueError`` where it is none of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    return str(value)


def default_overflow(fmt: Format) -> str:
    """Return the overflow rule of ``fmt`` where none is asked for."""
    return "nonsat" if fmt.nonfinite else "sat"


def unpack(fmt: FloatFormat, code: int) -> tuple[int, int, str]:
    """Return ``(sign, magnitude, kind)`` of a code.

    The magnitude is in units of ``2**fmt.lam``; ``kind`` is ``finite``, ``inf`` or ``nan``, and the
    magnitude of the others is 0.
    """
    x, y = fmt.exp_bits, fmt.man_bits
    sign, rest = code >> x + y, code & (1 << x + y) - 1
    exponent, mantissa = rest >> y, rest & (1 << y) - 1
    if fmt.nonfinite_rule == "fnuz" and sign and not rest:
        return 0, 0, _NAN
    if rest > fmt.max_code:
        infinite = fmt.nonfinite_rule == "ieee" and mantissa == 0
        return sign, 0, _INF if infinite else _NAN
    if exponent == 0:
        return sign, mantissa, _FINITE
    return sign, mantissa + (1 << y) << exponent - 1, _FINITE


def product(first: FloatFormat, a: int, second: FloatFormat, b: int) -> tuple[int, int, str]:
    """Return ``(sign, magnitude, kind)`` of ``a * b``, in units of the product of the units."""
    (sa, ia, ka), (sb, ib, kb) = unpack(first, a), unpack(second, b)
    zero = (ka == _FINITE and ia == 0) or (kb == _FINITE and ib == 0)
    infinite = _INF in (ka, kb)
    if _NAN in (ka, kb) or (infinite and zero):
        return 0, 0, _NAN
    return sa ^ sb, ia * ib, _INF if infinite else _FINITE


def nan(fmt: FloatFormat) -> int:
    """Return the NaN that ``fmt`` answers with: the quiet one without sign; +0 if it has none."""
    try:
        return nan_code(fmt)
    except ValueError:
        return 0


def infinity(fmt: FloatFormat, sign: int, overflow: str) -> int:
    """Return what an infinity or an overflow becomes: infinity, NaN or the largest value."""
    signed = sign << fmt.exp_bits + fmt.man_bits
    if overflow == "nonsat" and fmt.nonfinite_rule == "ieee":
        return signed | fmt.max_code + 1
    if overflow == "nonsat" and fmt.nonfinite:
        return nan(fmt)
    return signed | fmt.max_code


def pack(
    fmt: FloatFormat, sign: int, magnitude: int, exponent: int, rounding: str, overflow: str
) -> int:
    """Return the code of ``(-1)**sign * magnitude * 2**exponent``, rounded once.

    Zero keeps its sign where the format has a negative zero. Raises ``ValueError`` for unknown
    names of the rounding and the overflow rule.
    """
    one_of("rounding", rounding, ROUNDINGS)
    one_of("overflow", overflow, OVERFLOWS)
    y, least = fmt.man_bits, 1 - fmt.bias
    if magnitude == 0:
        exponent = least  # zero is no multiple of a large unit
    top = max(exponent + magnitude.bit_length() - 1, least)
    # The unit of the last place, in which the magnitude is floor(units) and a rest.
    places = top - y - exponent
    units, rest, whole = magnitude << max(-places, 0), 0, 1
    if places > 0:
        units, rest, whole = magnitude >> places, magnitude & (1 << places) - 1, 1 << places
    code = (top - least << y) + units
    code += _rises(rounding, sign, code & 1, 2 * rest - whole, rest)
    if code > fmt.max_code:
        if rounding == "rtz":
            return sign << fmt.exp_bits + y | fmt.max_code
        return infinity(fmt, sign, overflow)
    if fmt.nonfinite_rule == "fnuz" and code == 0:
        return 0
    return sign << fmt.exp_bits + y | code


def _rises(rounding: str, sign: int, odd: int, beyond: int, rest: int) -> bool:
    """Whether a magnitude takes the code above; ``beyond`` has the sign of ``rest - 1/2``."""
    if rounding == "rtz" or rest == 0:
        return False
    if beyond:
        return beyond > 0
    return {"rne": bool(odd), "rha": True, "ties-down": bool(sign), "ties-to-zero": False}[rounding]

# SPDX-License-Identifier: Apache-2.0
"""What every code of every number format is worth.

Each decoder is written from the definition of its format: fields of a minifloat, regime run of a
posit, weights of the bits of an integer. For formats of at most 65 536 codes the definition is
evaluated once for all of them and arrays are then looked up; for wider ones (fp32) it is evaluated
on the codes at hand.
"""

from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import (
    FloatFormat,
    Format,
    IntFormat,
    PositFormat,
    PowerFormat,
    TableFormat,
)

__all__ = [
    "check_codes",
    "decode",
    "decode_float",
    "legal_codes",
    "table",
    "value_text",
]

#: Longest exact decimal that :func:`value_text` writes out in full.
_DECIMAL_CHARACTERS = 20

#: Formats of so many bits are tabulated.
_LISTED_BITS = 16

Integers = NDArray[Any]  #: int64, or object (Python integers) where 63 bits do not suffice.
Bools = NDArray[np.bool_]
Codes = NDArray[np.int64]


def decode(fmt: Format, codes: ArrayLike) -> tuple[Integers, Bools]:
    """Return ``(ints, nan)``, both of the shape of ``codes``.

    ``ints`` holds the exact values in units of ``2**fmt.lam``: int64, or Python integers (dtype
    object) where ``fmt.max_int`` needs more than 62 bits. ``nan`` marks NaN, NaR and infinities,
    whose integer is 0. Raises ``ValueError`` on an illegal code or one that has too many bits.
    """
    index = check_codes(fmt, codes)
    ints, nan, _ = _looked_up(fmt, index)
    return ints, nan


def decode_float(fmt: Format, codes: ArrayLike) -> NDArray[np.float64]:
    """Return the values as float64, which is exact for every format.

    NaN and NaR become NaN, infinities keep their sign, and so does the zero of a minifloat.
    Raises ``ValueError`` as :func:`decode` does.
    """
    index = check_codes(fmt, codes)
    return _looked_up(fmt, index)[2]


def check_codes(fmt: Format, codes: ArrayLike) -> Codes:
    """Return ``codes`` as int64; raise ``ValueError`` naming the first that ``fmt`` lacks."""
    array = np.asarray(codes)
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype.kind not in "iub":
        raise ValueError(f"codes of {fmt.name} must be integers, not {array.dtype}")
    index = array.astype(np.int64)
    low, high = int(index.min()), int(index.max())
    if low < 0 or high >> fmt.bits:
        bad = low if low < 0 else high
        raise ValueError(f"code {bad} is not a code of {fmt.name}, which has {fmt.bits} bits")
    refused = fmt.illegal
    if len(refused):
        hit = (index >= refused.start) & (index < refused.stop)
        if hit.any():
            bad = int(index[hit].flat[0])
            raise ValueError(f"code {bad} ({bad:0{fmt.bits}b}) is illegal in {fmt.name}")
    return index


def legal_codes(fmt: Format) -> Codes:
    """Return every legal code of ``fmt``, non-finite ones included, in ascending order.

    Raises ``ValueError`` for a format of more than 16 bits, whose codes are too many to list.
    """
    if fmt.bits > _LISTED_BITS:
        raise ValueError(f"the codes of {fmt.name} are too many to list: it has {fmt.bits} bits")
    codes = np.arange(1 << fmt.bits, dtype=np.int64)
    return codes[(codes < fmt.illegal.start) | (codes >= fmt.illegal.stop)]


def table(fmt: Format) -> list[tuple[int, str, str]]:
    """Return ``(code, bits, value)`` for every code in ascending order.

    ``bits`` is the code in binary; ``value`` is exact (see :func:`value_text`), or one of
    ``NaN``, ``inf``, ``-inf`` and ``illegal``. A negative zero is shown as ``-0``.
    """
    legal = set(legal_codes(fmt).tolist())
    ints, nan, reals = _book(fmt)
    rows = []
    for code in range(1 << fmt.bits):
        if code not in legal:
            text = "illegal"
        elif nan[code]:
            text = "NaN" if np.isnan(reals[code]) else str(reals[code])
        elif ints[code] == 0:
            text = "-0" if np.signbit(reals[code]) else "0"
        else:
            text = value_text(Fraction(int(ints[code])) * Fraction(2) ** fmt.lam)
        rows.append((code, f"{code:0{fmt.bits}b}", text))
    return rows


def value_text(value: Fraction) -> str:
    """Return a binary fraction as text without loss.

    The plain decimal where it is short (at most 20 characters), else ``m*2^e`` with odd ``m``.
    Raises ``ValueError`` when the denominator is not a power of two.
    """
    places = value.denominator.bit_length() - 1
    if value.denominator != 1 << places:
        raise ValueError(f"{value} is not a binary fraction")
    digits = str(abs(value.numerator) * 5**places).rjust(places + 1, "0")
    whole, part = digits[: len(digits) - places], digits[len(digits) - places :]
    text = ("-" if value < 0 else "") + whole + ("." + part if part else "")
    if len(text) <= _DECIMAL_CHARACTERS:
        return text
    twos = (value.numerator & -value.numerator).bit_length() - 1
    odd, exponent = value.numerator >> twos, twos - places
    return f"{'-' if odd < 0 else ''}{'' if abs(odd) == 1 else f'{abs(odd)}*'}2^{exponent}"


def _looked_up(fmt: Format, codes: Codes) -> tuple[Integers, Bools, NDArray[np.float64]]:
    """Integers, non-finite marks and float64 values of legal codes, in their shape."""
    if fmt.bits > _LISTED_BITS:
        ints, nan, reals = _evaluated(fmt, codes.ravel())
        return ints.reshape(codes.shape), nan.reshape(codes.shape), reals.reshape(codes.shape)
    ints, nan, reals = _book(fmt)
    return ints[codes], nan[codes], reals[codes]


@cache
def _book(fmt: Format) -> tuple[Integers, Bools, NDArray[np.float64]]:
    """What :func:`_evaluated` gives for all codes; illegal codes hold 0."""
    ints, nan, reals = _evaluated(fmt, np.arange(1 << fmt.bits, dtype=np.int64))
    for array in (ints, nan, reals):
        array.flags.writeable = False
    return ints, nan, reals


def _evaluated(fmt: Format, codes: Codes) -> tuple[Integers, Bools, NDArray[np.float64]]:
    """Integers, non-finite marks and float64 values of codes."""
    inf = np.zeros(codes.shape, dtype=bool)
    negative = inf
    if isinstance(fmt, IntFormat):
        ints, nan = _decode_int(fmt, codes), inf
    elif isinstance(fmt, FloatFormat):
        ints, nan, inf, negative = _decode_float(fmt, codes)
    elif isinstance(fmt, PositFormat):
        ints, nan = _decode_posit(fmt, codes)
    elif isinstance(fmt, PowerFormat):
        ints, nan = _decode_power(fmt, codes)
    elif isinstance(fmt, TableFormat):
        ints, nan = np.array(fmt.table, dtype=np.int64)[codes], inf
    else:
        raise ValueError(f"no decoder for {type(fmt).__name__} {fmt.name!r}")
    if len(fmt.illegal):
        ints[(codes >= fmt.illegal.start) & (codes < fmt.illegal.stop)] = 0
    ints[nan] = 0
    reals = np.array([_real(int(i), fmt.lam) for i in ints], dtype=np.float64)
    reals[nan] = np.nan
    reals[inf] = np.inf
    return ints, nan, np.where(negative, -reals, reals)


def _real(integer: int, lam: int) -> float:
    """``integer * 2**lam``; both fractions and the division round correctly, here exactly."""
    return float(integer << lam) if lam >= 0 else integer / (1 << -lam)


def _integers(fmt: Format, codes: Codes) -> Integers:
    """``codes`` in the integer type in which the values of ``fmt`` can be computed."""
    return codes if fmt.max_int < 1 << 62 else codes.astype(object)


def _decode_int(fmt: IntFormat, codes: Codes) -> Integers:
    n = fmt.bits
    weights = np.array([1 << i for i in range(n)], dtype=np.int64)
    bits = codes[:, None] >> np.arange(n) & 1
    if fmt.encoding == "twos":
        weights[-1] = -weights[-1]
        return bits @ weights
    if fmt.encoding == "unsigned":
        return bits @ weights
    if fmt.encoding == "sign-magnitude":
        return np.where(bits[:, -1] == 1, -1, 1) * (bits[:, :-1] @ weights[:-1])
    if fmt.encoding == "bipolar":
        return (2 * bits - 1) @ weights
    return bits @ weights - 1


def _decode_float(fmt: FloatFormat, codes: Codes) -> tuple[Integers, Bools, Bools, Bools]:
    """Integers (signed), NaN-or-inf marks, inf marks, and where the float64 is to be negated."""
    x, y = fmt.exp_bits, fmt.man_bits
    man = codes & (1 << y) - 1
    exp = codes >> y & (1 << x) - 1
    sign = (codes >> x + y & 1).astype(bool) & fmt.has_sign
    # Value (m / 2**y) * 2**(1-B), or (1 + m / 2**y) * 2**(e-B), in units of 2**(1-B-y).
    significand = _integers(fmt, np.where(exp == 0, man, man + (1 << y)))
    ints = significand << _integers(fmt, np.maximum(exp - 1, 0))
    ints = np.where(sign, -ints, ints)

    none = np.zeros(codes.shape, dtype=bool)
    nan, inf = none, none
    top = (exp == (1 << x) - 1) & (x > 0)
    minus_zero = sign & (exp == 0) & (man == 0)
    if fmt.nonfinite_rule == "ieee":
        nan, inf = top, top & (man == 0)
    elif fmt.nonfinite_rule == "fn":
        nan = top & (man == (1 << y) - 1)
    elif fmt.nonfinite_rule == "fnuz":
        nan = minus_zero
    if fmt.special is not None:
        ints[minus_zero] = fmt.special
        minus_zero = none
    return ints, nan, inf, (sign & inf) | (minus_zero & ~nan)


def _decode_posit(fmt: PositFormat, codes: Codes) -> tuple[Integers, Bools]:
    n, es = fmt.bits, fmt.es
    nar = codes == 1 << n - 1
    sign = codes >> n - 1 == 1
    word = np.where(sign, -codes, codes) & (1 << n - 1) - 1  # without the sign bit
    first = word >> n - 2 & 1
    run = np.zeros(codes.shape, dtype=np.int64)
    running = np.ones(codes.shape, dtype=bool)
    for i in range(n - 2, -1, -1):
        running &= (word >> i & 1) == first
        run += running
    regime = np.where(first == 1, run - 1, -run)
    # What follows the run and its end bit, moved up against a frame of n - 1 bits; bits that are
    # cut off by the end of the word read as 0.
    frame = (word << run + 1 & (1 << n - 1) - 1) << es
    exponent = frame >> n - 1
    fraction = frame & (1 << n - 1) - 1
    scale = (regime << es) + exponent  # value = (1 + fraction / 2**places) * 2**scale
    places = n - 1
    zero = word == 0
    significand = _integers(fmt, (1 << places) + fraction)
    shift = np.where(zero, 0, scale - places - fmt.lam)
    up, down = np.maximum(shift, 0), np.maximum(-shift, 0)
    # Exact: the bits below 2**lam are zero because long regimes leave no fraction.
    magnitude = significand << _integers(fmt, up) >> _integers(fmt, down)
    ints = np.where(sign, -magnitude, magnitude)
    ints[zero] = 0
    return ints, nar


def _decode_power(fmt: PowerFormat, codes: Codes) -> tuple[Integers, Bools]:
    width = fmt.bits - fmt.has_sign
    p = codes & (1 << width) - 1
    sign = (codes >> width == 1) & fmt.has_sign
    nan = (p == (1 << width) - 1) & fmt.has_nan
    exponent = np.maximum(p - 1, 0) if fmt.has_zero else np.where(nan, 0, p)
    magnitude = _integers(fmt, np.ones_like(codes)) << _integers(fmt, exponent)
    ints = np.where(sign, -magnitude, magnitude)
    if fmt.has_zero:
        ints[p == 0] = 0
    return ints, nan

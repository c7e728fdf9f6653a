# SPDX-License-Identifier: Apache-2.0
"""From real values to codes, with a named rounding and a named overflow rule.

One method serves every format: its values in ascending order, one threshold between each pair of
neighbours, and a search. What differs between formats is where the threshold of two neighbours
lies and which of them takes a value that meets it exactly.

======================  ===============================  ====================================
format                  threshold                        value on the threshold, ``rne``
======================  ===============================  ====================================
integers, code books,   the middle of the neighbours     the neighbour with the even code
minifloats
``ternary_i2s``         the middle                       the even value
posits                  the posit with one more bit      the even code
powers of two, e8m0     their geometric mean, which no   (cannot happen)
                        binary fraction meets
======================  ===============================  ====================================

The even code also decides between powers of two of a minifloat without mantissa bits, as in gfloat
(by its significand alone, which is then always odd, every such tie would round up).

Where the codes of two neighbours are equally even (special values, free code books), the tie goes
to the smaller magnitude, then to the lower value. Other modes:

* ``rha``, ``ties-to-zero``: the larger, the smaller magnitude; between ``-v`` and ``v`` as ``rne``;
* ``ties-down``: the lower value (what published code for NF4, BitMoD and RaZeR does);
* ``rtz``: the neighbour nearer to zero whatever the distance; between neighbours of opposite sign
  as ``rne``. For powers of two this is ``2**floor(log2(x))``, the way OCP computes an e8m0 scale.

A non-zero value never becomes the zero of a posit, in any mode. Formats without a zero take the
smallest magnitude, of the sign of the value; 0 itself gives the positive one where thresholds are
geometric and follows the table above elsewhere. Between zero and the smallest power of two
(``pot``) the threshold is the middle.

Zero: a minifloat keeps the sign of a value that is or becomes zero, unless its code of -0 means
something else; all other formats have one zero, the lowest code that has the value.

Beyond the largest value, ``overflow="sat"`` gives the largest finite value of that sign.
``"nonsat"`` gives infinity, else NaN, where the format has them: then the rounding sees one more
neighbour, the value that would follow the largest. ``rtz`` never makes a finite value overflow,
posits never overflow. Negative numbers in unsigned formats give the smallest value in both.

An overflow code keeps the sign of the value.

===========  ==================================  =============================
input        formats with NaN                    formats without NaN
===========  ==================================  =============================
NaN          quiet NaN, sign clear               ``ValueError``
infinity     largest finite (``sat``), overflow  largest finite
             code (``nonsat``); posits: NaR
===========  ==================================  =============================
"""

from fractions import Fraction
from functools import lru_cache
from math import isqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import FloatFormat, Format, IntFormat, PositFormat, PowerFormat
from hw.spec.rounding import OVERFLOWS, ROUNDINGS
from sim.golden.formats import decode, decode_float, legal_codes

__all__ = ["encode", "nan_code", "quantize"]

Reals = NDArray[np.float64]
Codes = NDArray[np.int64]

#: Largest float64 below the square root of two.
_ROOT_TWO = float(Fraction(isqrt(2 << 104), 1 << 52))


def encode(fmt: Format, values: ArrayLike, rounding: str = "rne", overflow: str = "sat") -> Codes:
    """Return the codes (int64, shape of ``values``) of float64 ``values``.

    ``rounding`` is a key of :data:`hw.spec.rounding.ROUNDINGS`, ``overflow`` of
    :data:`hw.spec.rounding.OVERFLOWS`. Raises ``ValueError`` on another name, and on NaN when the
    format has none.
    """
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding must be one of {sorted(ROUNDINGS)}, not {rounding!r}")
    if overflow not in OVERFLOWS:
        raise ValueError(f"overflow must be one of {sorted(OVERFLOWS)}, not {overflow!r}")
    x = np.asarray(values, dtype=np.float64)
    thresholds, codes = _decisions(fmt, rounding, overflow)
    result = codes[np.searchsorted(thresholds, x.ravel())].reshape(x.shape)

    if isinstance(fmt, FloatFormat) and _has_minus_zero(fmt):
        minus_zero = 1 << fmt.exp_bits + fmt.man_bits
        result = np.where((result == 0) & np.signbit(x), minus_zero, result)
    unknown = np.isnan(x)
    if isinstance(fmt, PositFormat):
        unknown |= np.isinf(x)
    if unknown.any():
        result = np.where(unknown, nan_code(fmt), result)
    return result


def quantize(fmt: Format, values: ArrayLike, rounding: str = "rne", overflow: str = "sat") -> Reals:
    """Return ``values`` rounded to ``fmt``, as float64. Errors as :func:`encode`."""
    return decode_float(fmt, encode(fmt, values, rounding, overflow))


def nan_code(fmt: Format) -> int:
    """Return the code a NaN is given; raise ``ValueError`` if ``fmt`` has none."""
    if isinstance(fmt, PositFormat):
        return 1 << fmt.bits - 1
    if isinstance(fmt, PowerFormat) and fmt.has_nan:
        return (1 << fmt.bits - fmt.has_sign) - 1
    if isinstance(fmt, FloatFormat):
        ones = (1 << fmt.exp_bits + fmt.man_bits) - 1
        if fmt.nonfinite_rule == "fn":
            return ones
        if fmt.nonfinite_rule == "fnuz":
            return ones + 1
        if fmt.nonfinite_rule == "ieee" and fmt.man_bits:
            return ones - (1 << fmt.man_bits - 1) + 1
    raise ValueError(f"NaN has no code in format {fmt.name}")


def _has_minus_zero(fmt: FloatFormat) -> bool:
    return fmt.has_sign and fmt.special is None and fmt.nonfinite_rule != "fnuz"


@lru_cache(maxsize=256)
def _decisions(fmt: Format, rounding: str, overflow: str) -> tuple[Reals, Codes]:
    """``(thresholds, codes)``: ``x`` becomes ``codes[number of thresholds below x]``."""
    values, codes = _ascending(fmt)
    middle = _middles(fmt, values, codes)
    if overflow == "nonsat":
        values, codes, middle = _with_overflow(fmt, values, codes, middle)
    low, high = values[:-1], values[1:]

    thresholds, up = middle, _tie_rises(fmt, rounding, values, codes)
    if rounding == "rtz":
        # The neighbour farther from zero is reached only by its own value, or by infinity.
        opposite = (low < 0) & (high > 0)
        far = np.where(high > 0, high, low)
        far[np.abs(far) > _largest(fmt)] *= np.inf
        thresholds = np.where(opposite, middle, far)
        up = np.where(opposite, up, high > 0)
    if isinstance(fmt, PositFormat):
        # Only zero itself is zero.
        thresholds = np.where((low == 0) | (high == 0), 0.0, thresholds)
        up = np.where(low == 0, False, np.where(high == 0, True, up))
    return np.where(up, np.nextafter(thresholds, -np.inf), thresholds), codes


def _ascending(fmt: Format) -> tuple[Reals, Codes]:
    """Distinct finite values in ascending order and the lowest code of each."""
    codes = legal_codes(fmt)
    codes = codes[~decode(fmt, codes)[1]]
    values, first = np.unique(decode_float(fmt, codes), return_index=True)
    return values, codes[first]


def _largest(fmt: Format) -> float:
    return float(np.ldexp(float(fmt.max_int), fmt.lam))


def _geometric(fmt: Format, low: Reals, high: Reals) -> NDArray[np.bool_]:
    """Which pairs of neighbours have their threshold at the geometric mean."""
    return isinstance(fmt, PowerFormat) & (np.sign(low) * np.sign(high) > 0)


def _middles(fmt: Format, values: Reals, codes: Codes) -> Reals:
    """Where nearest changes from one neighbour to the next; for geometric means, toward zero."""
    low, high = values[:-1], values[1:]
    if isinstance(fmt, PositFormat):
        # Between two codes lies the odd code of the posit that has one bit more.
        finer = PositFormat(f"posit{fmt.bits + 1}_{fmt.es}", fmt.bits + 1, fmt.es)
        return decode_float(finer, (2 * codes[:-1] + 1) % (2 << fmt.bits))
    middle = low / 2 + high / 2
    geometric = np.copysign(np.minimum(np.abs(low), np.abs(high)) * _ROOT_TWO, middle)
    return np.where(_geometric(fmt, low, high), geometric, middle)


def _tie_rises(fmt: Format, rounding: str, values: Reals, codes: Codes) -> NDArray[np.bool_]:
    """Whether a value on the threshold takes the upper of the two neighbours."""
    low, high = values[:-1], values[1:]
    odd = codes % 2 == 1
    if isinstance(fmt, IntFormat) and fmt.encoding == "offset":
        odd = values % 2 == 1
    upper_nearer = np.abs(high) < np.abs(low)
    even = np.where(odd[:-1] == odd[1:], upper_nearer, odd[:-1])
    balanced = np.abs(high) == np.abs(low)
    rises = {
        "rha": np.where(balanced, even, ~upper_nearer),
        "ties-to-zero": np.where(balanced, even, upper_nearer),
        "ties-down": np.zeros(low.shape, dtype=bool),
    }.get(rounding, even)
    # The computed geometric mean lies just below the true one in magnitude, and 0 is positive.
    rises = np.where(_geometric(fmt, low, high), low < 0, rises)
    return np.where(isinstance(fmt, PowerFormat) & balanced, True, rises)


def _with_overflow(
    fmt: Format, values: Reals, codes: Codes, middle: Reals
) -> tuple[Reals, Codes, Reals]:
    """Add the values that would follow the largest ones, with the code of an overflow."""
    if isinstance(fmt, PositFormat) or not fmt.nonfinite:
        return values, codes, middle
    top = values[-1]
    power = isinstance(fmt, PowerFormat) or (isinstance(fmt, FloatFormat) and not fmt.man_bits)
    after = 2 * top if power else 2 * top - values[-2]
    tie = top * _ROOT_TWO if isinstance(fmt, PowerFormat) else top / 2 + after / 2
    code = sign = 0
    if isinstance(fmt, FloatFormat) and fmt.nonfinite_rule == "ieee":
        code = fmt.max_code + 1
    else:
        code = nan_code(fmt)
    values, codes = np.append(values, after), np.append(codes, code)
    middle = np.append(middle, tie)
    if fmt.signed:
        if isinstance(fmt, FloatFormat) and fmt.nonfinite_rule != "fnuz":
            sign = 1 << fmt.bits - 1
        values, codes = np.append(-after, values), np.append(code | sign, codes)
        middle = np.append(-tie, middle)
    return values, codes, middle

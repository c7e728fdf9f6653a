# SPDX-License-Identifier: Apache-2.0
"""Integer softmax of I-BERT (2021), with exact constants and an exact rounding to 16 bits."""

from collections.abc import Mapping
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Constants", "constants", "exponentials", "row"]

Integers = NDArray[Any]
Constants = tuple[int, int, int, int, int]

_OCTAVES = 30
_LARGEST = 32767
_LN2 = Fraction("0.6931")
_A, _B = Fraction("0.35815147"), Fraction("0.96963238")


def constants(scale: str | Fraction) -> Constants:
    """Return x0, b, c of the polynomial, and Mc, Sc with ``Mc / 2**Sc = 32767 / c``, rounded."""
    step = Fraction(scale)
    x0, b, c = floor(-_LN2 / step), floor(_B / _A / step), floor(1 / _A / step**2)
    ratio = Fraction(_LARGEST, c)
    places = 31
    while floor(ratio * 2**places + Fraction(1, 2)) >= 1 << 31:
        places -= 1
    while floor(ratio * 2 ** (places + 1) + Fraction(1, 2)) < 1 << 31:
        places += 1
    return x0, b, c, floor(ratio * 2**places + Fraction(1, 2)), places


def exponentials(d: Integers, scale: str | Fraction) -> Integers:
    """Return ``exp(d * scale)`` in units of 1/32767, ``d <= 0``."""
    x0, b, c, mult, places = constants(scale)
    d = np.maximum(d, _OCTAVES * x0)
    octave = d // x0
    r = d - x0 * octave
    product = (r * (r + b) + c) * mult
    shift = np.minimum(places + octave, 62)  # beyond, as here, nothing is left of a product
    half = np.left_shift(1, shift) >> 1
    nearest = product + half >> shift
    tie = (product & np.left_shift(1, shift) - 1) == half
    return nearest - (tie & (nearest & 1 == 1) & (shift > 0))


def row(
    parameters: Mapping[str, Any], x: Integers, keep: NDArray[np.bool_], m: int, sh: int
) -> dict[str, Integers]:
    """Return ``p`` of one row (beats, lanes), in units of 1/256."""
    if not keep.any():
        return {"p": np.zeros_like(x)}
    d = np.where(keep, x - x[keep].max(), 0)
    e = np.where(keep, exponentials(d, str(parameters["scale"])), 0)
    factor = (1 << 32) // int(e.sum())
    return {"p": np.minimum(e * factor >> 24, 255)}

# SPDX-License-Identifier: Apache-2.0
"""Shiftmax of I-ViT (2023), as its TVM deployment computes it, in integers of 32 bits that wrap."""

from collections.abc import Mapping
from fractions import Fraction
from math import trunc
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["exponentials", "row"]

Integers = NDArray[Any]

_OCTAVES = 16
_LARGEST = (1 << 31) - 1


def exponentials(d: Integers, scale: str | Fraction) -> Integers:
    """Return about ``exp(d * scale)``, ``d <= 0``; of 0 it is ``-x0 * 2**16``."""
    x0 = trunc(-1 / Fraction(scale) - 1)
    d = np.maximum(d + (d >> 1) - (d >> 4), _OCTAVES * x0)
    octave = d // x0
    r = d - x0 * octave
    found: Integers = (r >> 1) - x0 << _OCTAVES - octave
    return found


def row(
    parameters: Mapping[str, Any], x: Integers, keep: NDArray[np.bool_], m: int, sh: int
) -> dict[str, Integers]:
    """Return ``p`` of one row (beats, lanes), signed, in units of 1/128."""
    if not keep.any():
        return {"p": np.zeros_like(x)}
    d = np.where(keep, x - x[keep].max(), 0)
    e = np.where(keep, exponentials(d, str(parameters["scale"])), 0)
    total = int(_int32(e.sum()))
    factor = trunc(Fraction(_LARGEST, total)) if total else _LARGEST
    return {"p": _int32(e * factor) >> 24}


def _int32(value: Integers) -> Integers:
    half = 1 << 31
    return (value + half & 2 * half - 1) - half

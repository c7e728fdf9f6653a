# SPDX-License-Identifier: Apache-2.0
"""Streaming softmax of ITA (2023), faults included; the groups of columns are beats."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["divide", "row"]

Integers = NDArray[Any]

_SCALAR = 65280  # 255 * 256
_SUM_BITS = 19


def divide(total: int) -> int:
    """Return the scalar over the sum of a row; over 0 what a restoring divider of 16 bits gives."""
    return _SCALAR // total if total else (1 << 16) - 1


def row(
    parameters: Mapping[str, Any], x: Integers, keep: NDArray[np.bool_], m: int, sh: int
) -> dict[str, Integers]:
    """Return ``p`` of one row (beats, lanes); 255 stands for 1."""
    shift = int(parameters["shift"])
    top, total = -128, 0
    for beat, there in zip(x, keep, strict=True):
        if not there.any():
            continue
        new = max(top, int(beat[there].max()))
        total >>= int(_octaves(np.array(new - top), shift))
        total += int((256 >> _octaves(new - beat[there], shift)).sum())
        total &= (1 << _SUM_BITS) - 1
        top = new
    p = divide(total) >> _octaves(np.where(keep, top - x, 0), shift)
    return {"p": np.where(keep, p & 255, 0)}


def _octaves(difference: Integers, shift: int) -> Integers:
    """Return how far to shift right: at most 62, which leaves nothing of any number here."""
    if shift:
        difference = (difference >> shift) + (difference >> shift - 1 & 1)
    return np.minimum(difference, 62)

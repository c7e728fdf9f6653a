# SPDX-License-Identifier: Apache-2.0
"""One rounding, one saturation: what the butterfly models compute with."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["rhu", "rounded", "saturate", "signed"]

Integers = NDArray[Any]


def rhu(value: ArrayLike, shift: ArrayLike) -> Integers:
    """Return ``value / 2**shift`` to nearest, ties up. Values must be below ``2**61``."""
    value, shift = np.asarray(value, dtype=np.int64), np.asarray(shift, dtype=np.int64)
    return value + (np.int64(1) << shift >> 1) >> shift


def rounded(value: ArrayLike, shift: ArrayLike, rounding: str) -> Integers:
    """Return ``value / 2**shift`` by ``rhu``, ``rne`` or ``floor``. Else ``ValueError``."""
    value, shift = np.asarray(value, dtype=np.int64), np.asarray(shift, dtype=np.int64)
    if rounding == "floor":
        return value >> shift
    nearest = rhu(value, shift)
    if rounding == "rne":
        half = np.int64(1) << shift >> 1
        tie = (shift > 0) & (value & (np.int64(1) << shift) - 1 == half)
        return nearest - (tie & nearest & 1)
    if rounding != "rhu":
        raise ValueError(f"rounding must be rhu, rne or floor, not {rounding!r}")
    return nearest


def saturate(value: ArrayLike, bits: int) -> Integers:
    """Return ``value`` held to the range of a signed integer of ``bits`` bits."""
    return np.clip(np.asarray(value), -1 << bits - 1, (1 << bits - 1) - 1)


def signed(values: ArrayLike, bits: int) -> Integers:
    """Return the numbers that ``values``, numbers or codes, mean in ``bits`` bits, as int64."""
    code = np.asarray(values).astype(np.int64) & (1 << bits) - 1
    return (code ^ 1 << bits - 1) - (1 << bits - 1)

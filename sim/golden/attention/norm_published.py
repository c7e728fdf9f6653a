# SPDX-License-Identifier: Apache-2.0
"""Layer normalisation of I-BERT (2021) and of I-ViT (2023), faults included.

Rows are int64 arrays of their elements. A variance beyond 32 bits counts as the largest one.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "divided", "newton", "normalise", "rounded_mean"]

Integers = NDArray[Any]

KINDS = ("ibert", "ivit", "ivit-torch")

_MOST = (1 << 32) - 1


def divided(a: int, b: int) -> int:
    """Return ``a / b`` rounded toward zero, as C divides."""
    return -(-a // b) if a < 0 else a // b


def rounded_mean(total: int, count: int) -> int:
    """Return ``total / count`` to nearest, ties to even."""
    floor, rest = divmod(total, count)
    return floor + (2 * rest > count or (2 * rest == count and floor & 1))


def newton(variance: int, steps: int = 10) -> int:
    """Return what so many steps from ``2**16`` make of the square root; 0 if they divide by 0.

    Ten are right above 142882 only, sixteen everywhere but one below squares, where the root is one
    too large.
    """
    root = 1 << 16
    for _ in range(steps):
        if not root:
            return 0
        root = (root + variance // root) // 2
    return root


def normalise(kind: str, x: Integers, shift: int = 0) -> tuple[Integers, bool]:
    """Return a row's results before the bias, in units of ``1 / (sqrt(n) 2**-30)``, and whether
    its variance was too large. ``shift`` is I-BERT's against overflow."""
    if not len(x):
        return x, False
    total, count = int(x.sum()), len(x)
    d = x - (divided(total, count) if kind == "ivit" else rounded_mean(total, count))
    variance = int(((d >> shift) ** 2 if kind == "ibert" else d**2).sum())
    overflow, variance = variance > _MOST, min(variance, _MOST)
    if kind == "ibert":
        root = math.isqrt(variance) << shift
        factor = (1 << 31) // root if root else 0
    else:
        factor = ((1 << 31) - 1) // newton(variance)
    product = d * factor
    if kind == "ivit":
        return np.where(product < 0, -(-product >> 1), product >> 1), overflow
    return product >> 1, overflow

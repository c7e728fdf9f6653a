# SPDX-License-Identifier: Apache-2.0
"""Logarithmic codes of exponentials: log2, log sqrt 2 (RepQ-ViT, 2023) and AdaLog (2024).

Codes are made of the distance to the row's maximum, so that no exponential is computed; the sum is
that of the numbers which the codes stand for.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.golden.attention.tables import rhu

__all__ = ["adalog_tables", "code", "row", "values", "weights"]

Integers = NDArray[Any]

_STEPS = 37  # of AdaLog, in an octave over Q


def adalog_tables(code_bits: int, base: int) -> tuple[Integers, Integers]:
    """Return T1, the shift of each code, and T2, its mantissa in units of ``1/(2**(b+1) - 2)``."""
    q = np.arange(1 << code_bits)
    part = np.exp2(-(q * base % _STEPS) / _STEPS) * ((2 << code_bits) - 2)
    return q * base // _STEPS, np.floor(part + 0.5).astype(np.int64)


def code(kind: str, d: Integers, base: int | None = None) -> Integers:
    """Return the code of ``2**-d`` before its range is looked at; ``d`` has 12 fraction bits."""
    if kind == "log2":
        return rhu(d, 12)
    if kind == "log-sqrt2":
        return rhu(2 * d, 12)
    assert base is not None
    factor = (_STEPS << 16) // base + 1 >> 1
    # Far beyond every code a distance may be too large for the product.
    return rhu(np.minimum(d, 1 << 24) * factor, 27)


def weights(kind: str, code_bits: int, base: int | None = None) -> Integers:
    """Return the integer that stands for each code; of ``log-sqrt2`` odd ones, times sqrt 2."""
    q = np.arange(1 << code_bits)
    if kind == "log2":
        return np.left_shift(1, 15 - q)
    if kind == "log-sqrt2":
        return np.left_shift(1, 15 - (q + 1 >> 1))
    assert base is not None
    shifts, mantissas = adalog_tables(code_bits, base)
    return mantissas << shifts[-1] - shifts


def values(kind: str, code_bits: int, base: int | None = None) -> NDArray[np.float64]:
    """Return the number that each code stands for; code 0 is 1."""
    found = weights(kind, code_bits, base).astype(np.float64)
    if kind == "log-sqrt2":
        found = found * np.where(np.arange(len(found)) & 1, np.sqrt(2), 1)
    return found / found[0]


def row(
    parameters: Mapping[str, Any], x: Integers, keep: NDArray[np.bool_], m: int, sh: int
) -> dict[str, Integers]:
    """Return ``p`` (codes) and ``zero`` of one row (beats, lanes), and ``l`` (beats,)."""
    kind, bits, base = str(parameters["kind"]), int(parameters["code_bits"]), parameters["base"]
    total = np.zeros(len(x), dtype=np.int64)
    if not keep.any():
        return {"p": np.zeros_like(x), "zero": np.ones(x.shape, dtype=bool), "l": total}
    q = code(kind, np.where(keep, x[keep].max() - x, 0) * m >> sh, base)
    there = keep & (q < 1 << bits)
    p = np.where(there, q, 0)
    weight = np.where(there, weights(kind, bits, base)[p], 0)
    if kind == "log-sqrt2":
        odd = p & 1 == 1
        total[-1] = weight[~odd].sum() + rhu(weight[odd].sum() * 46341, 15)
    else:
        total[-1] = weight.sum()
    return {"p": p, "zero": ~there, "l": total}

# SPDX-License-Identifier: Apache-2.0
"""Golden model of the architecture ``bbs``: weights without some of their bit columns.

A group of int8 weights keeps ``8 - zero_columns`` bits of each: ``r`` redundant columns below the
sign are dropped, the lowest ``zero_columns - r`` are the same number ``c`` in all. A weight is
``stored * 2**(zero_columns - r) + c``. Bit columns are summed by whichever of their bits, ones or
zeros, are fewer, which changes cycles and not the sum (BitVert, MICRO 2024; sheet B.8).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.pe.framing import frames, totals

__all__ = ["METHODS", "compress", "cycles", "decompress", "run", "vectors", "weights_of"]

Ints = NDArray[np.int64]

METHODS = ("average", "zero-point")

_REDUNDANT = 3  # most redundant columns that two bits of metadata can say
_CONSTANTS = range(-32, 32)  # six bits


def cycles(parameters: Mapping[str, Any]) -> int:
    """Return the cycles that one beat takes: the bit columns that are left."""
    return 8 - _zero_columns(parameters)


def weights_of(stored: ArrayLike, r: ArrayLike, c: ArrayLike, zero_columns: int) -> Ints:
    """Return the weights: ``stored`` codes of 8 - zero_columns bits; ``c`` of 7 bits, signed.

    ``r`` and ``c`` broadcast against ``stored``; an ``r`` above ``zero_columns`` counts as that.
    """
    kept = np.minimum(r, zero_columns)
    return (_signed(stored, 8 - zero_columns) << zero_columns - kept) + _signed(c, 7)


def run(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    """Return ``acc``, Python integers: one dot product for each ``last``.

    ``beats`` holds int8 codes ``a`` and stored codes ``w`` of shape (n, lanes), and ``r``, ``c``
    and ``last`` of shape (n,). Raises ``ValueError`` on other formats, on codes that do not fit,
    and on more than ``max_k`` products in a dot product.
    """
    for name in ("format", "act"):
        if parameters[name] != "int8":
            raise ValueError(f"{name} must be int8 with arch bbs, not {parameters[name]!r}")
    columns, lanes = _zero_columns(parameters), int(parameters["lanes"])
    a, w = np.asarray(beats["a"]), np.asarray(beats["w"])
    for name, array, bits in (("a", a, 8), ("w", w, 8 - columns)):
        if array.shape != (len(a), lanes):
            raise ValueError(f"{name} must have shape (beats, {lanes}), not {array.shape}")
        if array.size and (array.min() < 0 or array.max() >> bits):
            raise ValueError(f"{name} must have codes of {bits} bits")
    r, c = (np.asarray(beats[name])[:, None] for name in ("r", "c"))
    longest = int(totals(parameters, beats, np.full(len(a), lanes)).max(initial=0))
    if longest > int(parameters["max_k"]):
        raise ValueError(f"a dot product has {longest} products, more than max_k")
    sums = np.asarray((_signed(a, 8) * weights_of(w, r, c, columns)).sum(axis=-1))
    return {"acc": totals(parameters, beats, sums).astype(object)}


def compress(
    weights: ArrayLike, zero_columns: int, method: str = "average", group: int = 32
) -> tuple[Ints, Ints, Ints]:
    """Return ``(stored, r, c)`` of int8 weights of shape (..., K).

    ``stored`` holds codes (..., K), ``r`` and ``c`` (a 7-bit code) have shape (..., K / group).

    * ``average``: the low columns of all weights become their mean, rounded to nearest even.
    * ``zero-point``: for each constant of six bits the weights are shifted by it (within +-127),
      their low columns rounded away (to nearest even, within the columns that are stored), and
      shifted back; the least squared error wins, the lowest constant among equals.

    Raises ``ValueError`` on another method, on weights that are not int8, on ``zero_columns``
    outside 0 to 6, and when K is not a multiple of ``group``.
    """
    weights = np.asarray(weights).astype(np.int64)
    if method not in METHODS:
        raise ValueError(f"method must be {' or '.join(METHODS)}, not {method!r}")
    if weights.size and (weights.min() < -128 or weights.max() > 127):
        raise ValueError("weights must be int8")
    zero_columns = _zero_columns({"zero_columns": zero_columns})
    rows = _grouped(weights, group)
    chosen = (_average if method == "average" else _zero_point)(rows, zero_columns)
    stored = chosen[0] & (1 << 8 - zero_columns) - 1
    shape = rows.shape[:-1]
    return stored.reshape(weights.shape), chosen[1].reshape(shape), chosen[2].reshape(shape) & 127


def decompress(
    stored: ArrayLike, r: ArrayLike, c: ArrayLike, zero_columns: int, group: int = 32
) -> Ints:
    """Return the weights, (..., K), of what :func:`compress` returned."""
    stored = np.asarray(stored)
    rows = _grouped(stored, group)
    found = weights_of(rows, np.asarray(r)[..., None], np.asarray(c)[..., None], zero_columns)
    return found.reshape(stored.shape)


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, NDArray[Any]]:
    """Return ``beats`` beats for :func:`run`.

    First the two longest dot products, of the largest sums of either sign; then bit columns with
    every share of ones, half of the time with extreme activations and constants.
    """
    columns, lanes = _zero_columns(parameters), int(parameters["lanes"])
    bits = 8 - columns
    longest = max(1, int(parameters["max_k"]) // lanes)
    lead = max(1, min(longest, beats // 4))
    shares = rng.choice([0.1, 0.5, 0.9], (beats, 1, bits)) * rng.choice([0.5, 1], (beats, 1, 1))
    w = (rng.random((beats, lanes, bits)) < shares) @ (1 << np.arange(bits))
    extremes = rng.choice([128, 129, 127, 0, 255], (beats, lanes))
    a = np.where(rng.random((beats, 1)) < 0.5, extremes, rng.integers(0, 256, (beats, lanes)))
    r = rng.integers(0, 4, beats)
    wide = rng.choice([64, 63, 0], beats)
    c = np.where(rng.random(beats) < 0.5, wide, rng.integers(0, 128, beats))
    # The most negative weights, times the most negative and the most positive activations.
    w[: 2 * lead], r[: 2 * lead], c[: 2 * lead] = 1 << bits - 1, 0, 64
    a[:lead], a[lead : 2 * lead] = 128, 127
    a[2 * lead : 2 * lead + 2] = 0  # beats that add nothing
    marks = frames(parameters, rng, beats, [lead, lead], longest)
    return {"a": a, "w": w.astype(np.int64), "r": r, "c": c, **marks}


def _zero_columns(parameters: Mapping[str, Any]) -> int:
    given = parameters.get("zero_columns")
    columns = 0 if given is None else int(given)
    if not 0 <= columns <= 6:
        raise ValueError(f"zero_columns must be an integer from 0 to 6, not {columns}")
    return columns


def _signed(codes: ArrayLike, bits: int) -> Ints:
    half = 1 << bits - 1
    return (np.asarray(codes).astype(np.int64) + half & 2 * half - 1) - half


def _grouped(array: NDArray[Any], group: int) -> NDArray[Any]:
    if array.shape[-1] % group:
        raise ValueError(f"{array.shape[-1]} weights are no multiple of the group, {group}")
    return array.reshape(*array.shape[:-1], -1, group)


def _redundant(rows: Ints, zero_columns: int) -> Ints:
    """Return, (..., 1), how many columns below the sign equal it in all weights of a group."""
    r = np.zeros((*rows.shape[:-1], 1), dtype=np.int64)
    for columns in range(1, min(zero_columns, _REDUNDANT) + 1):
        fits = _signed(rows, 8 - columns) == rows
        r += fits.all(axis=-1, keepdims=True)
    return r


def _average(rows: Ints, zero_columns: int) -> tuple[Ints, Ints, Ints]:
    r = _redundant(rows, zero_columns)
    low = zero_columns - r
    mean = np.rint((rows & (1 << low) - 1).mean(axis=-1, keepdims=True)).astype(np.int64)
    return rows >> low, r, mean


def _zero_point(rows: Ints, zero_columns: int) -> tuple[Ints, Ints, Ints]:
    least = np.full((*rows.shape[:-1], 1), np.iinfo(np.int64).max)
    best = rows, np.zeros_like(least), np.zeros_like(least)
    top = (1 << 7 - zero_columns) - 1
    for constant in _CONSTANTS:
        shifted = np.clip(rows + constant, -127, 127)
        r = _redundant(shifted, zero_columns)
        low = zero_columns - r
        stored = np.clip(np.rint(shifted / (1 << low)).astype(np.int64), -top - 1, top)
        error = (((stored << low) - constant - rows) ** 2).sum(axis=-1, keepdims=True)
        better = error < least
        least = np.where(better, error, least)
        best = (
            np.where(better, stored, best[0]),
            np.where(better, r, best[1]),
            np.where(better, -constant, best[2]),
        )
    return best

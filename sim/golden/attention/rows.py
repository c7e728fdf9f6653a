# SPDX-License-Identifier: Apache-2.0
"""Rows in beats: what the units that work on whole rows share."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["codes", "draw_rows", "row_slices", "scale_of", "signed"]

Integers = NDArray[Any]


def row_slices(last: ArrayLike) -> Iterator[slice]:
    """Yield the beats of each row that ``last`` closes."""
    begin = 0
    for end in np.flatnonzero(np.asarray(last)) + 1:
        yield slice(begin, int(end))
        begin = int(end)


def signed(values: ArrayLike, bits: int) -> Integers:
    """Return the numbers of codes or numbers of ``bits`` bits, at most 62, as int64."""
    array = np.asarray(values).astype(np.int64) & (1 << bits) - 1
    return (array ^ 1 << bits - 1) - (1 << bits - 1)


def codes(values: ArrayLike, bits: int) -> Integers:
    """Return the lowest ``bits`` bits, at most 62, as int64."""
    return np.asarray(values).astype(np.int64) & (1 << bits) - 1


def scale_of(step: float) -> tuple[int, int]:
    """Return M and SH for scores in steps of ``step`` octaves (natural ones: times ``log2 e``).

    Raises ``ValueError`` where no shift from 0 to 63 fits.
    """
    shift = int(np.floor(np.log2(32767.5) - np.log2(step * 4096)))
    while np.floor(step * 4096 * 2.0**shift + 0.5) >= 1 << 15:
        shift -= 1
    while np.floor(step * 4096 * 2.0 ** (shift + 1) + 0.5) < 1 << 15:
        shift += 1
    if not 0 <= shift <= 63:
        raise ValueError(f"a step must be 2**-60 to 7.99 octaves, not {step}")
    return int(np.floor(step * 4096 * 2.0**shift + 0.5)), shift


def draw_rows(
    rng: np.random.Generator, beats: int, lanes: int, most: int
) -> Mapping[str, NDArray[np.bool_]]:
    """Return ``last`` (beats,) and ``keep`` (beats, lanes) of rows of every kind.

    In turn: one element, whole rows, the longest that is allowed (``most`` beats) and one more,
    rows of which nothing is kept, rows that begin or end with absent elements, any pattern.
    """
    last = np.zeros(beats, dtype=bool)
    keep = np.ones((beats, lanes), dtype=bool)
    begin = number = 0
    while begin < beats:
        length = int(rng.integers(1, min(most, 12) + 1))
        kind = number % 9
        if kind == 0:
            length = 1
        elif kind in (3, 4) and most <= max(12, beats // 8):
            length = most + (kind == 4)
        end = min(begin + length, beats)
        part = keep[begin:end]
        if kind == 0:
            part[:] = False
            part[0, int(rng.integers(lanes))] = True
        elif kind == 2:
            part[:] = False
        elif kind == 5:  # a ragged tail
            part[-1, int(rng.integers(1, lanes + 1)) :] = False
        elif kind == 6:
            part[: len(part) // 2 + 1] = False
            part[-1, -1] = True
        elif kind == 7:
            part[:] = rng.random(part.shape) < 0.5
        elif kind == 8:
            part[:] = rng.random(part.shape) < 0.1
        last[end - 1] = True
        begin, number = end, number + 1
    return {"last": last, "keep": keep}

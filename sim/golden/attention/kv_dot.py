# SPDX-License-Identifier: Apache-2.0
"""Dot products with KIVI codes that are never dequantised, times ``2**bits - 1``."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.attention.tables import rhu, saturate

__all__ = ["folded", "outputs", "scores", "token_answers", "wrapped"]

Integers = NDArray[Any]

_BITS = 56


def folded(q: ArrayLike, spread: ArrayLike) -> tuple[Integers, int]:
    """Return a query with the ranges of its channels in it, 16 bits, and their shared exponent."""
    product = np.asarray(q, dtype=np.int64) * np.asarray(spread, dtype=np.int64)
    exponent = max(0, int(np.abs(product).max(initial=0)).bit_length() - 15)
    return saturate(rhu(product, exponent), 16), exponent


def scores(
    q: ArrayLike, spread: ArrayLike, least: ArrayLike, codes: ArrayLike, bits: int
) -> Integers:
    """Return a score for each token of a group: codes (tokens, channels), others (channels,)."""
    query, exponent = folded(q, spread)
    offset = int((np.asarray(q, dtype=np.int64) * np.asarray(least)).sum())
    sums = (np.asarray(codes, dtype=np.int64) * query).sum(axis=-1) << exponent
    return sums + ((1 << bits) - 1) * offset


def outputs(
    p: ArrayLike, spread: ArrayLike, least: ArrayLike, codes: ArrayLike, bits: int
) -> Integers:
    """Return each channel's sum over tokens: codes (tokens, channels), the others (tokens,)."""
    p = np.asarray(p, dtype=np.int64)
    offset = int((p * np.asarray(least)).sum())
    weights = (p * np.asarray(spread))[:, np.newaxis]
    return (np.asarray(codes, dtype=np.int64) * weights).sum(axis=0) + ((1 << bits) - 1) * offset


def wrapped(value: ArrayLike) -> Integers:
    """Return the low bits of sums as the number that they are on the port."""
    code = np.asarray(value, dtype=np.int64) & (1 << _BITS) - 1
    return (code ^ 1 << _BITS - 1) - (1 << _BITS - 1)


def token_answers(
    head: Integers, q: Integers, spread: Integers, least: Integers, codes: Integers,
    bits: int, most: int,
) -> Iterator[tuple[int, int, int]]:  # fmt: skip
    """Yield ``y``, ``last``, ``err`` of each answer to a packet of (beats, lanes) arrays."""
    count = len(head)
    length = int(np.argmin(head)) if not head.all() else count
    if not 1 <= length <= most:
        yield 0, 1, 1
        return
    again = np.flatnonzero(head[length:])
    end = length + int(again[0]) if len(again) else count
    whole = (end - length) // length
    tokens = codes[length : length + whole * length].reshape(whole, length * codes.shape[1])
    query, ranges, offsets = (part[:length].ravel() for part in (q, spread, least))
    answers = wrapped(scores(query, ranges, offsets, tokens, bits))
    complete = end == count and whole * length == end - length and whole > 0
    for number, y in enumerate(answers.tolist()):
        yield y, int(complete and number == whole - 1), 0
    if not complete:
        yield 0, 1, 1

# SPDX-License-Identifier: Apache-2.0
"""Quantised keys and values: codes, their words, and where tokens lie.

A group's scale is its range R over ``2**bits - 1``; R itself is stored, so that nothing is rounded
but the codes. Sources: KIVI (2024), KVQuant (2024), QServe (2024), StreamingLLM (2023).
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.attention.tables import rhu, saturate

__all__ = [
    "book_values",
    "kivi_codes",
    "kivi_values",
    "kv4_codes",
    "kv4_values",
    "nearest_codes",
    "pack",
    "ring_slot",
    "ring_tokens",
    "rounded_quotient",
    "unpack",
    "visible",
    "window",
]

Integers = NDArray[Any]


def rounded_quotient(a: ArrayLike, b: ArrayLike) -> Integers:
    """Return ``a / b`` to nearest, ties to even, and 0 where b is 0; b is not negative."""
    a, b = np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)
    whole = np.where(b > 0, b, 1)
    floor, rest = np.divmod(a, whole)
    nearest = floor + ((2 * rest > whole) | ((2 * rest == whole) & (floor & 1 == 1)))
    return np.where(b > 0, nearest, 0)


def kivi_codes(x: ArrayLike, bits: int) -> tuple[Integers, Integers, Integers]:
    """Return the codes of groups along the last axis, each group's least number and its range."""
    x = np.asarray(x, dtype=np.int64)
    least = x.min(axis=-1)
    spread = x.max(axis=-1) - least
    scaled = (x - least[..., np.newaxis]) * ((1 << bits) - 1)
    return rounded_quotient(scaled, spread[..., np.newaxis]), least, spread


def kivi_values(codes: ArrayLike, least: ArrayLike, spread: ArrayLike, bits: int) -> Integers:
    """Return the integers nearest to what codes mean; least and spread fit the codes' shape."""
    top = (1 << bits) - 1
    return np.asarray(least) + (2 * np.asarray(codes) * np.asarray(spread) + top) // (2 * top)


def kv4_codes(x: ArrayLike) -> tuple[Integers, int, int]:
    """Return the codes of a vector, its zero point and its range, which always contains 0."""
    x = np.asarray(x, dtype=np.int64)
    low, high = int(x.min(initial=0)), int(x.max(initial=0))
    spread = high - low
    zero = int(rounded_quotient(-15 * low, spread))
    return np.clip(rounded_quotient(15 * x, spread) + zero, 0, 15) * (spread > 0), zero, spread


def kv4_values(codes: ArrayLike, zero: int, spread: int, bits: int) -> Integers:
    """Return the integers nearest to what codes mean, held to ``bits`` bits."""
    return saturate((2 * (np.asarray(codes, dtype=np.int64) - zero) * spread + 15) // 30, bits)


def book_values(book: ArrayLike, scale: ArrayLike, offset: ArrayLike) -> Integers:
    """Return what every code means for every scale and offset: (entries, ...) of 16 bits."""
    scale, offset = np.asarray(scale, dtype=np.int64), np.asarray(offset, dtype=np.int64)
    entries = np.asarray(book, dtype=np.int64).reshape(-1, *(1,) * scale.ndim)
    return saturate(rhu(entries * scale, 15) + offset, 16)


def nearest_codes(x: ArrayLike, meanings: ArrayLike) -> Integers:
    """Return the code whose meaning (codes, ...) is nearest to x, the lowest of equals."""
    return np.abs(np.asarray(x) - np.asarray(meanings)).argmin(axis=0)


def pack(codes: ArrayLike, bits: int) -> Integers:
    """Return words of 32 bits along the last axis, the first code lowest."""
    codes = np.asarray(codes, dtype=np.int64)
    each = 32 // bits
    grouped = codes.reshape(*codes.shape[:-1], -1, each)
    return (grouped << bits * np.arange(each)).sum(axis=-1)


def unpack(words: ArrayLike, bits: int) -> Integers:
    """Return the codes of words, the inverse of :func:`pack`."""
    words = np.asarray(words, dtype=np.int64)
    codes = words[..., np.newaxis] >> bits * np.arange(32 // bits) & (1 << bits) - 1
    return codes.reshape(*words.shape[:-1], -1)


def ring_slot(token: ArrayLike, sinks: int, span: int) -> Integers:
    """Return the slot of a token: the first ``sinks`` stay, ``span`` slots go round."""
    token = np.asarray(token, dtype=np.int64)
    return np.where(token < sinks, token, sinks + (token - sinks) % span)


def ring_tokens(last: int, sinks: int, span: int) -> Integers:
    """Return the token in each slot in use after token ``last``."""
    slots = np.full(min(last + 1, sinks + span), -1, dtype=np.int64)
    for token in [*range(min(last + 1, sinks)), *range(max(sinks, last - span + 1), last + 1)]:
        slots[ring_slot(token, sinks, span)] = token
    return slots


def visible(query: ArrayLike, key: ArrayLike, sinks: int, span: int) -> NDArray[np.bool_]:
    """Return whether a query may see a key under the mask of sinks and a sliding window."""
    query, key = np.asarray(query), np.asarray(key)
    return (key <= query) & ((key < sinks) | (key > query - span))


def window(tokens: ArrayLike, residual: int) -> dict[str, Integers]:
    """Return, after so many tokens, what KIVI does with the latest and how many are left whole.

    ``k``: the last ``residual`` keys are quantised now; ``v``: the oldest whole value is.
    """
    tokens = np.asarray(tokens, dtype=np.int64)
    left = tokens % residual
    return {
        "k": (left == 0).astype(np.int64),
        "v": (tokens > residual).astype(np.int64),
        "full_k": left,
        "full_v": np.minimum(tokens, residual),
    }

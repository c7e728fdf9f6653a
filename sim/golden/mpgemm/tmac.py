# SPDX-License-Identifier: Apache-2.0
"""The approximate modes of T-MAC (EuroSys 2025, sheet A.2).

Tables of groups of four activations are quantised to int8, with a scale for ``act_group``
activations, and lookups may be averaged in a tree instead of added. Weights are codes ``u`` (K, N)
of ``bits`` bits, which stand for ``u - 2**(bits - 1)``.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "GROUP",
    "engine_tables",
    "fast_average",
    "fast_bias",
    "tmac_product",
    "tmac_tables_int8",
]

Reals = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Activations that share a table.
GROUP = 4


def tmac_tables_int8(a: ArrayLike, act_group: int = 64) -> tuple[Integers, Reals]:
    """Return tables (M, K / 4, 16) from -127 to 127 and scales (M, K / act_group) of ``a`` (M, K).

    ``T[p] = sum(a[i] if p[i] else -a[i])`` over the scale, rounded to the nearest, ties to even;
    the scale is the largest entry of the group over 127. Raises ``ValueError`` where K is no
    multiple of ``act_group``, or that none of 4.
    """
    array = np.asarray(a, dtype=np.float64)
    m, k = array.shape
    if act_group % GROUP or k % act_group:
        raise ValueError(f"K must be a multiple of act_group, a multiple of 4: {k}, {act_group}")
    signs = 2 * (np.arange(1 << GROUP)[:, None] >> np.arange(GROUP) & 1) - 1
    exact = array.reshape(m, -1, GROUP) @ signs.T
    grouped = exact.reshape(m, k // act_group, -1)
    scales = np.abs(grouped).max(axis=-1) / 127
    codes = np.rint(grouped / np.where(scales == 0, 1, scales)[..., None])
    return np.clip(codes, -128, 127).astype(np.int64).reshape(exact.shape), scales


def engine_tables(tables: ArrayLike) -> Integers:
    """Return the half (M, groups, 8) of ``tables`` (M, groups, 16) that the engine ``lut`` takes.

    What it takes off an entry gives the other half, as long as none is -128.
    """
    return np.asarray(tables, dtype=np.int64)[..., 1 << GROUP - 1 :]


def fast_average(values: ArrayLike) -> Integers:
    """Return the averages over the last axis, of 2, 4, 8 ... values, as a tree makes them.

    Neighbours become ``(x + y + 1) >> 1``, and so do these, until one is left. Every level adds a
    quarter on average. Raises ``ValueError`` for another number of values.
    """
    found = np.asarray(values, dtype=np.int64)
    if found.shape[-1] & found.shape[-1] - 1 or not found.shape[-1]:
        raise ValueError(f"a tree takes a power of two of values, not {found.shape[-1]}")
    while found.shape[-1] > 1:
        found = found[..., 0::2] + found[..., 1::2] + 1 >> 1
    return found[..., 0]


def fast_bias(act_k: int, correction: str) -> float:
    """Return what is taken off an average of ``act_k`` values.

    ``mean`` is what the tree adds on average, a quarter for every level; ``tmac`` is that without
    its fraction, which is the same for 16 values; ``none`` is 0. Raises ``ValueError`` for others.
    """
    levels = act_k.bit_length() - 1
    known = {"mean": levels / 4, "tmac": float(levels // 4), "none": 0.0}
    if correction not in known:
        raise ValueError(f"correction must be mean, tmac or none, not {correction!r}")
    return known[correction]


def tmac_product(
    a: ArrayLike,
    u: ArrayLike,
    bits: int,
    act_group: int = 64,
    act_k: int | None = None,
    correction: str = "tmac",
) -> Reals:
    """Return ``a @ (u - 2**(bits - 1))`` (M, N) as tables of int8 give it.

    With ``act_k`` so many lookups at a time are averaged, not added, and the average is corrected
    as :func:`fast_bias` says. Groups are added from the first on. Raises ``ValueError`` where
    ``act_k`` does not divide the lookups of ``act_group``.
    """
    tables, scales = tmac_tables_int8(a, act_group)
    real, codes = np.asarray(a, dtype=np.float64), np.asarray(u, dtype=np.int64)
    lookups = act_group // GROUP
    if act_k is not None and lookups % act_k:
        raise ValueError(f"act_k must divide {lookups} lookups, not be {act_k}")
    keys = _keys(codes, bits)
    total = np.zeros((len(real), codes.shape[1]))
    for group, first in enumerate(range(0, len(codes) // GROUP, lookups)):
        at = slice(first, first + lookups)
        # (M, N, planes, lookups)
        found = tables[:, np.arange(first, first + lookups), keys[:, :, at]]
        if act_k is None:
            sums = found.sum(axis=-1).astype(np.float64)
        else:
            averages = fast_average(found.reshape(*found.shape[:-1], -1, act_k))
            sums = act_k * (averages - fast_bias(act_k, correction)).sum(axis=-1)
        planes = sums @ (1 << np.arange(bits))
        ones = real[:, GROUP * first : GROUP * first + act_group].sum(axis=1)
        total += (scales[:, group, None] * planes - ones[:, None]) / 2
    return total


def _keys(codes: Integers, bits: int) -> Integers:
    """Keys (N, planes, K / 4) of weight codes (K, N)."""
    each = codes.T.reshape(codes.shape[1], 1, -1, GROUP) >> np.arange(bits)[:, None, None] & 1
    keys: Integers = (each << np.arange(GROUP)).sum(axis=-1)
    return keys

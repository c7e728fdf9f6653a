# SPDX-License-Identifier: Apache-2.0
"""Scaled bit planes on engines whose groups have scales (D4 of A.0.1).

The ``b`` planes of a group of weights become ``b`` scale groups of an engine with weights of one
bit, 0 or 1, and activations that are repeated; one more group of ones carries the zero. In each
group of K, in this order: plane 0, 1 and so on, then the ones. A column's sum is

    y[m, n] = sum over groups g of
              (sum over t of s[g, t, n] * (sum of a * beta[t])) + z[g, n] * (sum of a)

in exactly that order. For signs, ``s * sigma`` is ``2 * s * beta - s``.

ShiftAddLLM's scales are sums of powers of two, so they need no multiplier: ``shifted_lookups``
("Lat") shifts what tables give, ``shifted_activations`` ("Acc") shifts activations before tables
are made of them. Both are exact, in units of the least power.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.mpgemm.binary_codes import BinaryCodes, PowerSums
from sim.golden.mpgemm.lut import fold
from sim.golden.mpgemm.table_beats import table_of

__all__ = [
    "accumulator_bits",
    "column_zeros",
    "plane_activations",
    "plane_scales",
    "plane_weights",
    "shifted_activations",
    "shifted_lookups",
]

Integers = NDArray[np.int64]
Reals = NDArray[np.float64]

#: Activations that share a table in ShiftAddLLM.
GROUP = 8


def plane_activations(codes: BinaryCodes, a: ArrayLike, zero: int = 0) -> Integers:
    """Return A' (M, K') of activations A (M, K): each group as often as there are scales.

    The last group is filled up with ``zero``, the code of 0.
    """
    array = np.asarray(a, dtype=np.int64)
    groups, bits = codes.scales.shape[:2]
    full = np.full((len(array), groups * codes.group), zero, dtype=np.int64)
    full[:, : array.shape[1]] = array
    parts = np.repeat(full.reshape(len(array), groups, 1, codes.group), bits + 1, axis=2)
    return parts.reshape(len(array), -1)


def plane_weights(codes: BinaryCodes) -> Integers:
    """Return W' (K', N) of 0 and 1, in the order of :func:`plane_activations`."""
    bits, k, n = codes.planes.shape
    groups = len(codes.scales)
    full = np.ones((bits + 1, groups * codes.group, n), dtype=np.int64)
    full[:bits, :k] = codes.planes
    full[:bits, k:] = 0
    parts = full.reshape(bits + 1, groups, codes.group, n).swapaxes(0, 1)
    return parts.reshape(-1, n)


def plane_scales(codes: BinaryCodes) -> Reals:
    """Return the scales (groups', N) of the groups of :func:`plane_weights`."""
    scales = 2 * codes.scales if codes.sigma else codes.scales
    return np.concatenate([scales, column_zeros(codes)[:, None]], axis=1).reshape(
        -1, codes.zeros.shape[1]
    )


def column_zeros(codes: BinaryCodes) -> Reals:
    """Return what weights of only zero bits are, (groups, N)."""
    return codes.zeros - codes.scales.sum(axis=1) if codes.sigma else codes.zeros


def accumulator_bits(table_bits: int, span: int, k: int, bits: int, terms: int) -> int:
    """Return the bits of an exact sum of shifted lookups (A.5).

    Parameters
    ----------
    table_bits
        Of a table's entry, negated ones included.
    span
        Largest less least exponent.
    k, bits, terms
        Products, planes of a weight, and powers of two of a scale.
    """
    lookups = -(-k // GROUP) * bits * terms
    return table_bits + span + (lookups - 1).bit_length() + 1


def shifted_lookups(codes: BinaryCodes, a: ArrayLike) -> tuple[NDArray[np.object_], int]:
    """Return ``(c, e)``: integers (M, N) in units of ``2**e``; lookups first, then shifts ("Lat").

    ``a`` (M, K) are integers. Raises ``ValueError`` for scales that are no sums of powers of two,
    and groups that tables of 8 do not divide.
    """
    powers, least = _powers(codes)
    array = np.asarray(a, dtype=np.int64)
    total = np.zeros((len(array), codes.planes.shape[2]), dtype=object)
    for group, (part, keys) in enumerate(_tables(codes, array)):
        tables = table_of(part, half=True)
        for plane, plane_keys in enumerate(keys):
            found = _looked_up(tables, plane_keys).sum(axis=1).astype(object)
            for sign, exponent in _terms(powers, group, plane):
                total += sign * (found * 2 ** (exponent - least).astype(object))
    return total, least


def shifted_activations(codes: BinaryCodes, a: ArrayLike) -> tuple[NDArray[np.object_], int]:
    """Return ``(c, e)`` as :func:`shifted_lookups`; shifts first, then tables ("Acc").

    Raises ``ValueError`` also where columns have scales of their own.
    """
    powers, least = _powers(codes)
    if (codes.scales != codes.scales[:, :, :1]).any():
        raise ValueError("activations can be shifted only for scales that all columns share")
    array = np.asarray(a, dtype=np.int64)
    total = np.zeros((len(array), codes.planes.shape[2]), dtype=object)
    for group, (part, keys) in enumerate(_tables(codes, array)):
        for plane, plane_keys in enumerate(keys):
            shifted = np.zeros_like(part)
            for sign, exponent in _terms(powers, group, plane):
                shifted += int(sign[0]) * (part << int(exponent[0]) - least)
            found = _looked_up(table_of(shifted, half=True), plane_keys)
            total += found.sum(axis=1).astype(object)
    return total, least


def _powers(codes: BinaryCodes) -> tuple[PowerSums, int]:
    """The terms of the scales, and their least exponent."""
    if codes.powers is None or not codes.sigma:
        raise ValueError("scales must be sums of powers of two, for signs")
    if codes.group % GROUP and len(codes.scales) > 1:
        raise ValueError(f"a group must be a multiple of {GROUP} weights, not {codes.group}")
    used = codes.powers.exponents[codes.powers.signs != 0]
    return codes.powers, int(used.min()) if used.size else 0


def _terms(powers: PowerSums, group: int, plane: int) -> list[tuple[Integers, Integers]]:
    """Signs and exponents (N,) of each term; those that are not needed have the least exponent."""
    used = powers.signs != 0
    least = powers.exponents[used].min() if used.any() else 0
    exponents = np.where(used, powers.exponents, least)
    return list(zip(powers.signs[:, group, plane], exponents[:, group, plane], strict=True))


def _tables(codes: BinaryCodes, a: Integers) -> list[tuple[Integers, Integers]]:
    """For each group the activations (M, tables, 8) and folded keys (b, tables, N)."""
    bits, k, n = codes.planes.shape
    found = []
    for start in range(0, k, codes.group):
        size = min(codes.group, k - start)
        count = -(-size // GROUP)
        part = np.zeros((len(a), count * GROUP), dtype=np.int64)
        part[:, :size] = a[:, start : start + size]
        planes = np.zeros((bits, count * GROUP, n), dtype=np.int64)
        planes[:, :size] = codes.planes[:, start : start + size]
        place = np.arange(GROUP)[:, None]
        keys = (planes.reshape(bits, count, GROUP, n) << place).sum(axis=2)
        found.append((part.reshape(len(a), count, GROUP), fold(keys, GROUP)))
    return found


def _looked_up(tables: Integers, keys: Integers) -> Integers:
    """What folded keys (tables, N) find in half tables (M, tables, entries), (M, tables, N)."""
    half = 1 << GROUP - 1
    entries: Integers = np.take_along_axis(tables, keys[None] % half, axis=2)
    return np.where(keys >= half, entries, -entries)

# SPDX-License-Identifier: Apache-2.0
"""Golden model of ``pe --arch nm``: dot products with N of every M weights stored.

Sparse: weight ``j`` of a block of M activations meets the one that its index names. The indices of
a block ascend strictly; a block whose do not is ``bad`` and adds nothing. Dense: the indices are
ignored, and beat ``p`` of a run of dense beats meets activations ``p * N`` to ``p * N + N - 1``,
``p`` counting up to ``M/N - 1`` and around; where N does not divide M every dense block is bad.
Source: sheet B.10 (SAT; 2:4 as in common GPUs).
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.pe.framing import frames, starts_of, totals
from sim.golden.pe.operands import operands
from sim.golden.pe.stimulus import vectors as plain_vectors

__all__ = ["expand", "prune", "ratio", "run", "vectors"]


def ratio(parameters: Mapping[str, Any]) -> tuple[int, int]:
    """Return (N, M) of ``sparsity``. Raises ``ValueError`` unless it is N:M, N below M."""
    text = str(parameters["sparsity"])
    match = re.fullmatch(r"([1-9]\d?):(2|4|8|16)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise ValueError(f"sparsity must be N:M, M 2, 4, 8 or 16 and N below M, not {text!r}")
    return int(match[1]), int(match[2])


def prune(weights: ArrayLike, n: int, m: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return ``(values, idx)`` of shape (..., K/m*n): the n largest magnitudes of every m weights.

    ``weights`` are numbers of shape (..., K), K a multiple of m. Of equal magnitudes the lower
    index stays. A block with fewer than n weights other than 0 keeps zeros of the lowest free
    indices. Indices ascend within a block. Raises ``ValueError`` on another shape.
    """
    array = np.asarray(weights)
    if not 0 < n < m or array.ndim < 1 or array.shape[-1] % m:
        raise ValueError(f"cannot keep {n} of every {m} weights of an array of {array.shape}")
    blocks = array.reshape(*array.shape[:-1], -1, m)
    magnitude = np.abs(blocks.astype(object if array.dtype == object else np.float64))
    order = np.argsort(-magnitude, axis=-1, kind="stable")
    idx = np.sort(order[..., :n], axis=-1)
    values = np.take_along_axis(blocks, idx, axis=-1)
    flat = (*array.shape[:-1], -1)
    return values.reshape(flat), idx.reshape(flat).astype(np.int64)


def expand(values: ArrayLike, idx: ArrayLike, n: int, m: int) -> NDArray[Any]:
    """Return the weights of shape (..., K) that :func:`prune` gave ``values`` and ``idx`` for, with
    0 where none was kept."""
    kept, index = np.asarray(values), np.asarray(idx)
    blocks = kept.reshape(*kept.shape[:-1], -1, n)
    whole = np.zeros((*blocks.shape[:-1], m), dtype=kept.dtype)
    np.put_along_axis(whole, index.reshape(blocks.shape), blocks, axis=-1)
    return whole.reshape(*kept.shape[:-1], -1)


def run(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    """Return ``acc``, ``bad`` and, where a format has non-finite codes, ``nan``, of shape (m,).

    ``beats`` holds ``w`` and ``idx`` of shape (n, lanes), ``a`` of shape (n, lanes/N*M), ``dense``
    and ``last`` (or ``clr``) of shape (n,). ``nan`` marks non-finite codes among the weights and
    the activations that they meet; those of a bad block do not count, in ``nan`` as in ``acc``.
    """
    n, m = ratio(parameters)
    weight, act = operands(parameters)
    lanes = int(parameters["lanes"])
    w, idx = (np.asarray(beats[name]).reshape(-1, lanes // n, n) for name in ("w", "idx"))
    a = np.asarray(beats["a"]).reshape(-1, lanes // n, m)
    dense = np.asarray(beats["dense"], dtype=bool)
    passes = _passes(dense, starts_of(parameters, beats), max(1, m // n))
    met = np.where(dense[:, None, None], passes[:, None, None] * n + np.arange(n), idx)
    ascending = (np.diff(idx, axis=-1) > 0).all(axis=-1)
    good = np.where(dense[:, None], m % n == 0, ascending)
    (iw, nw), (ia, na) = weight.decode(w), act.decode(np.take_along_axis(a, met % m, axis=-1))
    products = iw.astype(object) * ia.astype(object)
    sums = np.where(good, products.sum(axis=-1), 0).sum(axis=-1)
    result = {"acc": totals(parameters, beats, sums)}
    if weight.fmt.nonfinite or act.fmt.nonfinite or act.window is not None:
        marks = (nw | na).any(axis=-1) & good
        result["nan"] = totals(parameters, beats, marks.any(axis=-1))
    result["bad"] = totals(parameters, beats, ~good.all(axis=-1))
    return result


def _passes(dense: NDArray[np.bool_], starts: NDArray[np.bool_], period: int) -> NDArray[np.int64]:
    """Return which pass of its run of dense beats every beat is; 0 for others."""
    passes = np.zeros(len(dense), dtype=np.int64)
    for row in range(1, len(dense)):
        if dense[row] and dense[row - 1] and not starts[row]:
            passes[row] = (passes[row - 1] + 1) % period
    return passes


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, NDArray[Any]]:
    """Return ``beats`` beats for :func:`run`.

    Codes are those of the plain unit's stimulus, so with its corners; the indices are first the
    lowest and the highest, then legal ones of which one in 16 beats spoils a block; runs of dense
    beats are mixed in.
    """
    n, m = ratio(parameters)
    lanes = int(parameters["lanes"])
    codes = plain_vectors({**parameters, "core": "stream", "columns": 1}, rng, beats)
    picked = rng.random((beats, lanes // n, m)).argsort(axis=-1)[..., :n]
    idx = np.sort(picked, axis=-1)
    corners = min(beats, 16)
    idx[: corners // 2] = np.arange(n)
    idx[corners // 2 : corners] = np.arange(m - n, m)
    a = np.repeat(codes["a"].reshape(beats, -1, n), -(-m // n), axis=-1)[..., :m]
    shuffled = rng.random(a.shape).argsort(axis=-1)
    mixed = np.arange(beats) >= corners
    a = np.where(mixed[:, None, None], np.take_along_axis(a, shuffled, axis=-1), a)
    spoiled = np.flatnonzero(mixed & (rng.random(beats) < 1 / 16))
    blocks = rng.integers(0, lanes // n, len(spoiled))
    if n > 1:
        idx[spoiled, blocks] = rng.integers(0, m, (len(spoiled), n))
        idx[spoiled, blocks, 1] = idx[spoiled, blocks, 0]
    dense = mixed & (np.cumsum(rng.random(beats) < 1 / 8) % 2 == 1)
    if m % n:
        dense &= rng.random(beats) < 1 / 8
    longest = max(1, int(parameters["max_k"]) // lanes)
    marks = frames(parameters, rng, beats, [1] * corners, longest)
    flat = {"a": a.reshape(beats, -1), "w": codes["w"], "idx": idx.reshape(beats, lanes)}
    return {**flat, "dense": dense, **marks}

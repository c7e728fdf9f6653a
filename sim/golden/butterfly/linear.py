# SPDX-License-Identifier: Apache-2.0
"""Products of vectors and butterfly matrices.

Weights have the shape ``(log2 n, n/2, 2, 2)``, the strides in descending order. Of a stage with
stride t the pair ``block*t + pos`` are the elements ``2*t*block + pos`` and ``+ t``; its 2 x 2
matrix multiplies them as a column. This is the convention of HazyResearch's ``butterfly`` with
``increasing_stride=False``.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.attention.tables import rhu, saturate
from sim.golden.butterfly.banks import stages

__all__ = ["dense", "multiply", "pack", "product", "unpack"]

Numbers = NDArray[Any]


def _pairs(x: Numbers, weights: Numbers, stage: int) -> Numbers:
    """Return the 2 x 2 products of a stage, shape (rows, blocks, 2, stride)."""
    stride = x.shape[1] >> stage + 1
    w = weights[stage].reshape(1, 1 << stage, stride, 2, 2)
    a, b = np.moveaxis(x.reshape(len(x), 1 << stage, 2, stride), 2, 0)
    return np.stack([w[..., k, 0] * a + w[..., k, 1] * b for k in (0, 1)], axis=2)


def product(x: ArrayLike, weights: ArrayLike) -> Numbers:
    """Return each row of ``x`` (rows, n) times the matrix, in the numbers' own arithmetic."""
    x, weights = np.asarray(x), np.asarray(weights)
    for stage in range(len(weights)):
        x = _pairs(x, weights, stage).reshape(x.shape)
    return x


def dense(weights: ArrayLike) -> Numbers:
    """Return the n x n matrix whose product with a column is what :func:`product` gives."""
    weights = np.asarray(weights)
    return product(np.eye(1 << len(weights), dtype=weights.dtype), weights).T


def multiply(
    x: ArrayLike, weights: ArrayLike, sigma: ArrayLike, weight_frac: int, state_bits: int
) -> Numbers:
    """Return integer rows times a matrix of integer weights with ``weight_frac`` fraction bits.

    Every stage rounds once, ``RHU(w0*a + w1*b, weight_frac + sigma[stage])``, and saturates to
    ``state_bits``. The result is worth ``2**sum(sigma)``.
    """
    x, weights = np.asarray(x, dtype=np.int64), np.asarray(weights, dtype=np.int64)
    for stage, shift in zip(range(len(weights)), np.asarray(sigma), strict=True):
        sums = _pairs(x, weights, stage).reshape(x.shape)
        x = saturate(rhu(sums, weight_frac + int(shift)), state_bits)
    return x


def pack(weights: ArrayLike, lanes: int) -> tuple[Numbers, Numbers]:
    """Return ``re`` and ``im`` of the beats that load ``weights``, shape (beats, lanes)."""
    weights = np.asarray(weights, dtype=np.int64)
    rows = []
    for stage, pair in _places(len(weights), lanes):
        words = np.zeros((len(pair), lanes, 2), dtype=np.int64)
        # Column by column: what a is multiplied by, then what b is.
        columns = np.moveaxis(weights[stage][pair], 3, 2)
        words[:, : 2 * pair.shape[1]] = columns.reshape(len(pair), -1, 2)
        rows.append(words)
    words = np.concatenate(rows)
    return words[..., 0], words[..., 1]


def unpack(re: ArrayLike, im: ArrayLike, lanes: int) -> Numbers:
    """Return the weights that beats load, the inverse of :func:`pack`."""
    words = np.stack([np.asarray(re), np.asarray(im)], axis=2).astype(np.int64)
    levels = next(k for k in range(1, 65) if k * max(1, (1 << k) // lanes) == len(words))
    weights = np.zeros((levels, 1 << levels - 1, 2, 2), dtype=np.int64)
    begin = 0
    for stage, pair in _places(levels, lanes):
        part = words[begin : begin + len(pair), : 2 * pair.shape[1]]
        weights[stage][pair] = np.moveaxis(part.reshape(*pair.shape, 2, 2), 3, 2)
        begin += len(pair)
    return weights


def _places(levels: int, lanes: int) -> list[tuple[int, Numbers]]:
    """Return each stage and which pair every butterfly of every beat is, (beats, butterflies)."""
    found = []
    for stage, (stride, upper, _) in enumerate(stages(1 << levels, lanes)):
        found.append((stage, upper // (2 * stride) * stride + upper % stride))
    return found

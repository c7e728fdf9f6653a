# SPDX-License-Identifier: Apache-2.0
"""Operands of attention with a scale for each block, as SageAttention 1 and 2 (2024) choose them.

The unit ``attention --kind fa-int-p2`` takes them as they are: M and SH come with each tile.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.attention.attention import attend
from sim.golden.attention.rows import scale_of

__all__ = ["Blocks", "attention", "quantize_blocks", "smooth_keys", "tile_scales"]

Reals = NDArray[np.float64]
Integers = NDArray[np.int64]


class Blocks(NamedTuple):
    """Integers (rows, channels) and the scale of each block of rows."""

    codes: Integers
    scales: Reals
    block: int


def quantize_blocks(x: ArrayLike, block: int, bits: int = 8) -> Blocks:
    """Return ``x`` (rows, channels) in integers, the largest of a block as the largest code.

    Rounded half away from zero, as the public kernels do. A block of zeros has the scale 1.
    """
    x = np.asarray(x, dtype=np.float64)
    top = (1 << bits - 1) - 1
    starts = np.arange(0, len(x), block)
    scales = np.maximum.reduceat(np.abs(x).max(axis=1), starts) / top
    scales = np.where(scales > 0, scales, 1.0)
    ratio = x / np.repeat(scales, block)[: len(x), np.newaxis]
    codes = np.sign(ratio) * np.floor(np.abs(ratio) + 0.5)
    return Blocks(codes.astype(np.int64), scales, block)


def smooth_keys(k: ArrayLike) -> tuple[Reals, Reals]:
    """Return the keys without their mean over all tokens, and that mean.

    Weights stay as they are: the scores of a row all lose the same. Its LSE loses
    ``q . mean * scale``.
    """
    k = np.asarray(k, dtype=np.float64)
    mean = k.mean(axis=0)
    return k - mean, mean


def tile_scales(
    q_scale: float, k: Blocks, tile: int, head_scale: float
) -> tuple[Integers, Integers]:
    """Return M and SH of each tile, for queries of one block and scores in natural units.

    Raises ``ValueError`` unless tiles divide the blocks of keys.
    """
    if k.block % tile:
        raise ValueError(f"tile must divide the block of {k.block} keys, not {tile}")
    pairs = [scale_of(q_scale * s * head_scale * np.log2(np.e)) for s in k.scales.tolist()]
    tiles = -(-len(k.codes) // tile)
    m, sh = np.repeat(np.array(pairs), k.block // tile, axis=0)[:tiles].T
    return m, sh


def attention(
    q: Blocks, k: Blocks, v: ArrayLike, head_scale: float, tile: int = 16, exp_bits: int = 12
) -> Reals:
    """Return the means of ``v``, integers (keys, channels), that ``fa-int-p2`` gives each query."""
    found = []
    for index, scale in enumerate(q.scales.tolist()):
        x = q.codes[index * q.block : (index + 1) * q.block] @ k.codes.T
        m, sh = tile_scales(scale, k, tile, head_scale)
        part = attend(x, v, m, sh, tile=tile, exp_bits=exp_bits, kind="fa-int-p2")
        found.append(part.o / part.l[:, np.newaxis])
    return np.concatenate(found)

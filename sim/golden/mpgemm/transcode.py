# SPDX-License-Identifier: Apache-2.0
"""Weights of files as integer matrices, and back (sheet D.1.4 and A.2).

TQ1_0 and TQ2_0 are blocks of 256 ternary weights along K with a binary16 scale, of the types of
GGUF; I2_S are plain two-bit codes with one scale (bitnet.cpp). Tensors are rows of outputs, one
after the other; matrices here are (K, N) as everywhere. T-MAC's bytes hold two keys of four bits of
a plane each. All functions raise ``ValueError`` where sizes or codes do not fit.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "BLOCK",
    "from_i2_s",
    "from_i2_s_rows",
    "from_tmac",
    "from_tq1_0",
    "from_tq2_0",
    "to_i2_s",
    "to_i2_s_rows",
    "to_tmac",
    "to_tq1_0",
    "to_tq2_0",
]

Integers = NDArray[np.int64]
Scales = NDArray[np.float32]
Bytes = NDArray[np.uint8]

#: Weights of a block of TQ1_0 and TQ2_0.
BLOCK = 256

#: Weights and bytes of a block of I2_S, and bytes after the last block: the scale, and unused ones.
_I2_S, _I2_S_BYTES, _I2_S_TAIL = 128, 32, 32

#: Of each element of a block of TQ1_0 its byte, and its place among the trits of that byte.
_TQ1_BYTE, _TQ1_PLACE = np.array(
    [(element % 32, element // 32) for element in range(160)]
    + [(32 + element % 16, element // 16) for element in range(80)]
    + [(48 + element % 4, element // 4) for element in range(16)]
).T

#: Of each element of a block of TQ2_0 its byte, and the lowest of its bits.
_TQ2_BYTE, _TQ2_BIT = np.array(
    [(element // 128 * 32 + element % 32, element % 128 // 32 * 2) for element in range(BLOCK)]
).T


def from_tq1_0(data: ArrayLike, n: int, k: int) -> tuple[Integers, Scales]:
    """Return weights (K, N) and scales (K / 256, N) of the bytes of a tensor of ``n`` rows."""
    blocks = _blocks(data, n, k, 54)
    shifted = blocks[..., _TQ1_BYTE].astype(np.int64) * 3**_TQ1_PLACE & 255
    return _weights((shifted * 3 >> 8) - 1), _scales(blocks[..., 52:])


def to_tq1_0(w: ArrayLike, scales: ArrayLike) -> Bytes:
    """Return the bytes of weights (K, N) of -1, 0 and 1 and scales (K / 256, N)."""
    numbers = _added(_ternary_blocks(w) + 1, _TQ1_BYTE, 3 ** (4 - _TQ1_PLACE))
    return _with_scales(-(-numbers * 256 // 243), scales)


def from_tq2_0(data: ArrayLike, n: int, k: int) -> tuple[Integers, Scales]:
    """Return weights (K, N) and scales (K / 256, N) of the bytes of a tensor of ``n`` rows."""
    blocks = _blocks(data, n, k, 66)
    codes = blocks[..., _TQ2_BYTE].astype(np.int64) >> _TQ2_BIT & 3
    return _weights(_offset("TQ2_0", codes)), _scales(blocks[..., 64:])


def to_tq2_0(w: ArrayLike, scales: ArrayLike) -> Bytes:
    """Return the bytes of weights (K, N) of -1, 0 and 1 and scales (K / 256, N)."""
    return _with_scales(_added(_ternary_blocks(w) + 1, _TQ2_BYTE, 1 << _TQ2_BIT), scales)


def from_i2_s(data: ArrayLike, n: int, k: int) -> tuple[Integers, float]:
    """Return weights (K, N) and the scale of the bytes of a tensor, as builds for x86 store it.

    Element j of a block of 128 is in byte ``j % 32`` at bit ``6 - 2 * (j // 32)``.
    """
    codes, scale = _i2_s(data, n * k)
    shift = np.arange(6, -1, -2)[:, None]
    elements = codes.reshape(-1, 1, _I2_S_BYTES).astype(np.int64) >> shift & 3
    return _offset("I2_S", elements).reshape(n, k).T, scale


def to_i2_s(w: ArrayLike, scale: float) -> Bytes:
    """Return the bytes of weights (K, N) of -1, 0 and 1 with a scale, as :func:`from_i2_s`."""
    flat = _ternary(w).T.reshape(-1) + 1
    _whole("weights of I2_S", flat.size, _I2_S)
    elements = flat.reshape(-1, 4, _I2_S_BYTES) << np.arange(6, -1, -2)[:, None]
    return _i2_s_bytes(elements.sum(axis=1), scale)


def from_i2_s_rows(data: ArrayLike, n: int, k: int) -> tuple[Integers, float]:
    """Return weights and scale as :func:`from_i2_s` of the other build, with 4 rows in each byte.

    Row 0 of the four is in bits 7 and 6.
    """
    _whole("rows of I2_S", n, 4)
    codes, scale = _i2_s(data, n * k)
    shift = np.arange(6, -1, -2)[:, None]
    rows = codes.reshape(-1, 1, k).astype(np.int64) >> shift & 3
    return _offset("I2_S", rows).reshape(n, k).T, scale


def to_i2_s_rows(w: ArrayLike, scale: float) -> Bytes:
    """Return the bytes of weights (K, N) of -1, 0 and 1 with a scale, as :func:`from_i2_s_rows`."""
    rows = _ternary(w).T + 1
    _whole("rows of I2_S", len(rows), 4)
    _whole("weights of I2_S", rows.size, _I2_S)
    each = rows.reshape(-1, 4, rows.shape[1]) << np.arange(6, -1, -2)[:, None]
    return _i2_s_bytes(each.sum(axis=1), scale)


def to_tmac(codes: ArrayLike, bits: int, bm: int = 256, kfactor: int = 16, block: int = 8) -> Bytes:
    """Return T-MAC's bytes of weight codes (K, N) of ``bits`` bits.

    Bit planes of ``block`` outputs come one after the other and make N * bits rows, of which every
    four codes along K are a key. The bytes have the shape (tiles of ``bm`` rows, tiles of
    ``kfactor`` keys, ``bm`` / 32, ``kfactor``, 16): the low nibble is of the row of the last index,
    the high one of 16 rows on.
    """
    array = np.asarray(codes, dtype=np.int64)
    _tmac_sizes(array.shape, bits, bm, kfactor, block)
    if array.min() < 0 or array.max() >> bits:
        raise ValueError(f"codes must have {bits} bits, not be {array.min()} to {array.max()}")
    output, plane, step, pair = _tmac_places(array.shape, bits, bm, kfactor, block)
    found = np.zeros(output.shape, dtype=np.int64)
    for lane in range(4):
        found |= (array[4 * step + lane, output] >> plane & 1) << 4 * pair + lane
    return found.sum(axis=-1).astype(np.uint8)


def from_tmac(
    data: ArrayLike, n: int, k: int, bits: int, bm: int = 256, kfactor: int = 16, block: int = 8
) -> Integers:
    """Return the weight codes (K, N) of T-MAC's bytes, see :func:`to_tmac`."""
    _tmac_sizes((k, n), bits, bm, kfactor, block)
    output, plane, step, pair = _tmac_places((k, n), bits, bm, kfactor, block)
    raw = _sized(data, n * k * bits // 8).reshape(output.shape[:-1])[..., None].astype(np.int64)
    codes = np.zeros((k, n), dtype=np.int64)
    for lane in range(4):
        np.add.at(codes, (4 * step + lane, output), (raw >> 4 * pair + lane & 1) << plane)
    return codes


def _tmac_sizes(shape: tuple[int, ...], bits: int, bm: int, kfactor: int, block: int) -> None:
    k, n = shape
    for what, size, unit in (
        ("bm", bm, 32),
        ("outputs", n, block),
        ("outputs times bits", n * bits, bm),
        ("K", k, 4 * kfactor),
    ):
        _whole(what, size, unit)


def _tmac_places(
    shape: tuple[int, ...], bits: int, bm: int, kfactor: int, block: int
) -> tuple[Integers, Integers, Integers, Integers]:
    """Output, plane, key along K and nibble of each nibble of the bytes."""
    k, n = shape
    sizes = n * bits // bm, k // 4 // kfactor, bm // 32, kfactor, 16, 2
    tile, far, group, near, place, pair = np.indices(sizes)
    row = tile * bm + group * 32 + pair * 16 + place
    inner = row % (block * bits)
    output = row // (block * bits) * block + inner % block
    return output, inner // block, far * kfactor + near, pair


def _whole(what: str, size: int, unit: int) -> None:
    if size % unit or not size:
        raise ValueError(f"{what} must be a multiple of {unit}, not {size}")


def _sized(data: ArrayLike, size: int) -> Bytes:
    array = np.asarray(data, dtype=np.uint8).reshape(-1)
    if array.size != size:
        raise ValueError(f"{size} bytes are needed, not {array.size}")
    return array


def _blocks(data: ArrayLike, n: int, k: int, size: int) -> Bytes:
    """Blocks (N, K / 256, bytes) of a tensor."""
    _whole("K", k, BLOCK)
    return _sized(data, n * k // BLOCK * size).reshape(n, k // BLOCK, size)


def _ternary(w: ArrayLike) -> Integers:
    array = np.asarray(w, dtype=np.int64)
    if array.ndim != 2 or not array.size or np.abs(array).max() > 1:
        raise ValueError("weights must be a matrix of -1, 0 and 1")
    return array


def _ternary_blocks(w: ArrayLike) -> Integers:
    """Blocks (N, K / 256, 256) of weights (K, N)."""
    array = _ternary(w)
    _whole("K", len(array), BLOCK)
    return array.T.reshape(array.shape[1], -1, BLOCK)


def _added(elements: Integers, place: Integers, weights: Integers) -> Integers:
    """Bytes (..., bytes) that are sums of elements (..., 256) with weights."""
    matrix = np.zeros((BLOCK, int(place.max()) + 1), dtype=np.int64)
    matrix[np.arange(BLOCK), place] = weights
    return elements @ matrix


def _offset(name: str, codes: Integers) -> Integers:
    """Codes 0 to 2 less 1."""
    if (codes == 3).any():
        raise ValueError(f"code 3 of {name} is no ternary weight")
    return codes - 1


def _weights(blocks: Integers) -> Integers:
    """Weights (K, N) of blocks (N, K / 256, 256)."""
    return blocks.reshape(len(blocks), -1).T


def _scales(tails: Bytes) -> Scales:
    """Scales (K / 256, N) of pairs of bytes (N, K / 256, 2)."""
    halves: NDArray[Any] = np.ascontiguousarray(tails).view("<f2")[..., 0]
    return halves.T.astype(np.float32)


def _with_scales(found: Integers, scales: ArrayLike) -> Bytes:
    """Bytes of a tensor of blocks (N, K / 256, bytes) and scales (K / 256, N)."""
    halves = np.ascontiguousarray(np.asarray(scales).T.astype("<f2"))
    if halves.shape != found.shape[:2]:
        raise ValueError(f"scales must have shape {found.shape[1::-1]}, not {halves.shape[::-1]}")
    tails = halves[..., None].view(np.uint8)
    return np.concatenate([found.astype(np.uint8), tails], axis=-1).reshape(-1)


def _i2_s(data: ArrayLike, count: int) -> tuple[Bytes, float]:
    """Bytes of the codes, and the scale after them."""
    _whole("weights of I2_S", count, _I2_S)
    array = _sized(data, count // 4 + _I2_S_TAIL)
    codes, tail = array[: count // 4], array[count // 4 :]
    return codes, float(tail[:4].copy().view("<f4")[0])


def _i2_s_bytes(codes: Integers, scale: float) -> Bytes:
    tail = np.zeros(_I2_S_TAIL, dtype=np.uint8)
    tail[:4] = np.array([scale], dtype="<f4").view(np.uint8)
    return np.concatenate([codes.reshape(-1).astype(np.uint8), tail])

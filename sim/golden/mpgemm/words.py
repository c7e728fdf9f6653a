# SPDX-License-Identifier: Apache-2.0
"""Codes side by side in the wide words of an AXI4-Stream, element 0 in the lowest bits."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["pack_codes", "stream_bytes", "unpack_codes"]


def stream_bytes(bits: int) -> int:
    """Return how many whole bytes ``bits`` of payload take."""
    return -(-bits // 8)


def pack_codes(
    codes: ArrayLike, bits: int, padding: np.random.Generator | None = None
) -> list[int]:
    """Return one word for each row of ``codes`` (n, fields), ``bits`` bits a code.

    The bits that fill the word up to whole bytes are 0, or drawn from ``padding``. Raises
    ``ValueError`` on a code of more bits.
    """
    array = np.asarray(codes, dtype=np.int64)
    if array.size and (array.min() < 0 or int(array.max()) >> bits):
        raise ValueError(f"codes must have {bits} bits, not be {array.min()} to {array.max()}")
    used, size = array.shape[1] * bits, stream_bytes(array.shape[1] * bits)
    flat = np.zeros((len(array), size * 8), dtype=np.uint8)
    if padding is not None:
        flat[:, used:] = padding.integers(0, 2, (len(array), size * 8 - used))
    flat[:, :used] = (array[:, :, None] >> np.arange(bits) & 1).reshape(len(array), used)
    data = np.packbits(flat, axis=1, bitorder="little").tobytes()
    return [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]


def unpack_codes(words: Sequence[int], fields: int, bits: int) -> NDArray[np.int64]:
    """Return the codes (n, fields) of ``words``; what lies above them is ignored."""
    size = stream_bytes(fields * bits)
    mask = (1 << fields * bits) - 1
    data = b"".join((int(word) & mask).to_bytes(size, "little") for word in words)
    array = np.frombuffer(data, dtype=np.uint8).reshape(len(words), size)
    flat = np.unpackbits(array, axis=1, count=fields * bits, bitorder="little")
    codes = np.zeros((len(words), fields), dtype=np.int64)
    for bit in range(bits):
        codes |= flat[:, bit::bits].astype(np.int64) << bit
    return codes

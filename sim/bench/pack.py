# SPDX-License-Identifier: Apache-2.0
"""Between arrays of codes and the integers that stand on the ports, lane 0 in the low bits."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["pack", "unpack"]


def pack(codes: ArrayLike, width: int) -> list[int]:
    """Return one integer of ``width`` bits for each row of ``codes``.

    ``codes`` has shape ``(n,)`` or ``(n, lanes)``; the lanes share the width equally. Raises
    ``ValueError`` if they cannot.
    """
    rows = np.asarray(codes)
    if rows.ndim == 1:
        rows = rows[:, np.newaxis]
    count, lanes = rows.shape
    if width % lanes:
        raise ValueError(f"{lanes} lanes do not fill a port of {width} bits")
    bits = width // lanes
    if lanes == 1 or bits > 62:
        mask = (1 << bits) - 1
        return [
            sum((int(code) & mask) << bits * lane for lane, code in enumerate(row)) for row in rows
        ]
    shifts = np.arange(bits, dtype=np.int64)
    planes = (rows.astype(np.int64)[:, :, np.newaxis] >> shifts & 1).astype(np.uint8)
    octets = np.packbits(planes.reshape(count, width), axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in octets]


def unpack(words: Sequence[int], width: int, lanes: int = 1, signed: bool = False) -> NDArray[Any]:
    """Return the values on a port: ``(n,)`` Python integers, or ``(n, lanes)`` for more lanes."""
    bits = width // lanes
    mask, sign = (1 << bits) - 1, (1 << bits - 1) if signed else 0
    values = np.empty((len(words), lanes), dtype=object)
    for row, word in enumerate(words):
        for lane in range(lanes):
            values[row, lane] = ((word >> bits * lane & mask) ^ sign) - sign
    return values[:, 0] if lanes == 1 else values

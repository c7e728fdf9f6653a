# SPDX-License-Identifier: Apache-2.0
"""Registers in the processor's own address space."""

import mmap
import os
from collections.abc import Sequence

import numpy as np

__all__ = ["MmioTransport"]


class MmioTransport:
    """A window of memory that holds registers.

    ``path`` is ``/dev/mem`` with the physical address as ``offset``, a ``/dev/uioN`` with
    ``offset`` 0, or any file. Every access is one aligned word, in the order given.

    Raises ``ValueError`` for a window that cannot be mapped.
    """

    def __init__(self, path: str, offset: int = 0, size: int = 4096) -> None:
        page = mmap.ALLOCATIONGRANULARITY
        if offset % page or offset < 0 or size < 4 or size % 4:
            raise ValueError(f"address must be a multiple of {page}, not {offset:#x}")
        try:
            file = os.open(path, os.O_RDWR | os.O_SYNC)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(f"memory {path!r} cannot be opened: {reason}") from None
        try:
            self._map = mmap.mmap(file, size, offset=offset)
        except (OSError, OverflowError, ValueError) as error:
            raise ValueError(f"memory {path!r} cannot be mapped at {offset:#x}: {error}") from None
        finally:
            os.close(file)
        self._words = np.frombuffer(self._map, dtype="<u4")

    def close(self) -> None:
        """Unmap the window."""
        self._words = np.zeros(0, dtype="<u4")
        self._map.close()

    def read(self, address: int, words: int) -> list[int]:
        """Return words from rising addresses."""
        first = self._index(address, words)
        return [int(self._words[k]) for k in range(first, first + words)]

    def write(self, address: int, words: Sequence[int], *, fixed: bool = False) -> None:
        """Write words to rising addresses, or all to one."""
        first = self._index(address, 1 if fixed else len(words))
        for k, word in enumerate(words):
            self._words[first if fixed else first + k] = word

    def _index(self, address: int, words: int) -> int:
        if address % 4 or address < 0 or address // 4 + words > len(self._words):
            raise ValueError(f"{words} words at {address:#x} are not in the mapped window")
        return address // 4

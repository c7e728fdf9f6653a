# SPDX-License-Identifier: Apache-2.0
"""Memory of the module ``u-dma-buf``: contiguous, mapped with its cache, synchronized by hand."""

import mmap
import os
from pathlib import Path

from fpga.driver.memory import Buffer, Heap
from fpga.driver.transport import Bytes

__all__ = ["DmaBuffer"]

_TO_DEVICE, _FROM_DEVICE = 1, 2


class DmaBuffer:
    """The buffer behind ``path``, such as ``/dev/udmabuf0``, cut into pieces.

    ``sysfs`` is the folder of its attributes. Raises ``ValueError`` where there is no such buffer.
    """

    def __init__(self, path: str, sysfs: str | None = None) -> None:
        self._sysfs = Path(sysfs or f"/sys/class/u-dma-buf/{Path(path).name}")
        try:
            address = int((self._sysfs / "phys_addr").read_text(), 0)
            size = int((self._sysfs / "size").read_text(), 0)
            file = os.open(path, os.O_RDWR)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(f"buffer {path!r} cannot be opened: {reason}") from None
        try:
            self._map = mmap.mmap(file, size)
        except (OSError, ValueError) as error:
            raise ValueError(f"buffer {path!r} cannot be mapped: {error}") from None
        finally:
            os.close(file)
        self._heap = Heap(address, size)

    def close(self) -> None:
        """Unmap the buffer."""
        self._map.close()

    def alloc(self, size: int, align: int = 64) -> Buffer:
        """Take a piece. Raises ``ValueError`` where none is left."""
        return self._heap.alloc(size, align)

    def free(self, buffer: Buffer) -> None:
        """Give a piece back."""
        self._heap.free(buffer)

    def upload(self, address: int, data: Bytes) -> None:
        """Copy bytes into the buffer, then write the cache back."""
        at = self._heap.check(address, len(data))
        self._map[at : at + len(data)] = data
        self._sync("sync_for_device", at, len(data), _TO_DEVICE)

    def download(self, address: int, size: int) -> bytes:
        """Drop what the cache has, then return bytes of the buffer."""
        at = self._heap.check(address, size)
        self._sync("sync_for_cpu", at, size, _FROM_DEVICE)
        return self._map[at : at + size]

    def _sync(self, what: str, offset: int, size: int, direction: int) -> None:
        for name, value in (
            ("sync_offset", offset),
            ("sync_size", size),
            ("sync_direction", direction),
            (what, 1),
        ):
            (self._sysfs / name).write_text(f"{value}\n")

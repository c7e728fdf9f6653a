# SPDX-License-Identifier: Apache-2.0
"""A device of a PYNQ overlay: its MMIO, contiguous memory and interrupts."""

import asyncio
import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from fpga.driver.memory import Buffer
from fpga.driver.transport import Bytes

__all__ = ["PynqTransport"]

_WINDOW = 4096


class PynqTransport:
    """The registers of an IP and memory of ``pynq.allocate``.

    Parameters
    ----------
    ip
        The IP of an overlay (``overlay.coprocessor_0``), or the physical address of its registers.
    interrupt
        Path of its interrupt in the block design, such as ``coprocessor_0/interrupt``; without it
        the driver looks at the status.

    Raises ``ValueError`` where the package ``pynq`` is missing.
    """

    def __init__(self, ip: Any, interrupt: str | None = None) -> None:
        try:
            self._pynq = importlib.import_module("pynq")
        except ImportError:
            raise ValueError(
                "the package pynq is not installed: run this on a PYNQ board"
            ) from None
        self._mmio = self._pynq.MMIO(ip, _WINDOW) if isinstance(ip, int) else ip.mmio
        self._interrupt = self._pynq.Interrupt(interrupt) if interrupt else None
        self._arrays: dict[int, tuple[Buffer, Any, Any]] = {}

    def close(self) -> None:
        """Give all memory back."""
        for buffer, _, _ in list(self._arrays.values()):
            self.free(buffer)

    def read(self, address: int, words: int) -> list[int]:
        """Return registers."""
        return [int(self._mmio.read(at)) for at in range(address, address + 4 * words, 4)]

    def write(self, address: int, words: Sequence[int], *, fixed: bool = False) -> None:
        """Write registers in order."""
        for k, word in enumerate(words):
            self._mmio.write(address if fixed else address + 4 * k, int(word))

    def alloc(self, size: int, align: int = 64) -> Buffer:
        """Take memory. Raises ``ValueError`` where none is left."""
        try:
            whole = self._pynq.allocate(shape=(size + align - 1,), dtype=np.uint8)
        except (MemoryError, RuntimeError) as error:
            raise ValueError(f"no {size} bytes of contiguous memory are left: {error}") from None
        skip = -int(whole.device_address) % align
        buffer = Buffer(int(whole.device_address) + skip, size)
        self._arrays[buffer.address] = buffer, whole, whole[skip : skip + size]
        return buffer

    def free(self, buffer: Buffer) -> None:
        """Give memory back. Raises ``ValueError`` for what is not taken."""
        if buffer.address not in self._arrays:
            raise ValueError(f"no buffer of {buffer.size} bytes is taken at {buffer.address:#x}")
        _, whole, _ = self._arrays.pop(buffer.address)
        whole.freebuffer()

    def upload(self, address: int, data: Bytes) -> None:
        """Copy bytes into the memory, then write the cache back."""
        whole, view = self._piece(address, len(data))
        view[:] = np.frombuffer(data, dtype=np.uint8)
        whole.flush()

    def download(self, address: int, size: int) -> bytes:
        """Drop what the cache has, then return bytes of the memory."""
        whole, view = self._piece(address, size)
        whole.invalidate()
        return bytes(view.tobytes())

    def wait_interrupt(self, timeout: float) -> bool:
        """Wait for the interrupt."""
        if self._interrupt is None:
            return False
        try:
            loop = asyncio.get_event_loop_policy().get_event_loop()
            loop.run_until_complete(asyncio.wait_for(self._interrupt.wait(), timeout))
        except TimeoutError:
            return False
        return True

    def _piece(self, address: int, size: int) -> tuple[Any, Any]:
        """Return the whole array and the part of it for these bytes."""
        for buffer, whole, view in self._arrays.values():
            if buffer.address <= address and address + size <= buffer.end:
                start = address - buffer.address
                return whole, view[start : start + size]
        raise ValueError(f"{size} bytes at {address:#x} are in no buffer")

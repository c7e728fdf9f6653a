# SPDX-License-Identifier: Apache-2.0
"""What a driver needs of the way to its device."""

from collections.abc import Sequence
from typing import Protocol

from fpga.driver.memory import Buffer

__all__ = ["Bytes", "DeviceError", "MemoryTransport", "Transport"]

Bytes = bytes | bytearray | memoryview


class DeviceError(RuntimeError):
    """The device does not answer, or not as it should. The message is one line."""


class Transport(Protocol):
    """Words to and from registers. Addresses are byte addresses, multiples of four."""

    def read(self, address: int, words: int) -> list[int]:
        """Return ``words`` words from rising addresses. Raises :class:`DeviceError`."""
        ...

    def write(self, address: int, words: Sequence[int], *, fixed: bool = False) -> None:
        """Write words to rising addresses, or all to one. Raises :class:`DeviceError`."""
        ...

    def close(self) -> None:
        """Give the device up."""
        ...


class MemoryTransport(Transport, Protocol):
    """Registers, and memory that the device reads and writes by itself.

    What was uploaded is where the device sees it before :meth:`write` gives it the next word; what
    :meth:`download` returns is what the device had written when it said so. Caches are the
    transport's affair.
    """

    def alloc(self, size: int, align: int = 64) -> Buffer:
        """Take memory. Raises ``ValueError`` where none is left."""
        ...

    def free(self, buffer: Buffer) -> None:
        """Give memory back."""
        ...

    def upload(self, address: int, data: Bytes) -> None:
        """Copy bytes to the device's memory, and no others."""
        ...

    def download(self, address: int, size: int) -> bytes:
        """Return bytes of the device's memory."""
        ...

    def wait_interrupt(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds; return whether the interrupt is up, or may be.

        A transport without interrupts returns False at once, or after a pause.
        """
        ...

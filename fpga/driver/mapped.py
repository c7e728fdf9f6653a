# SPDX-License-Identifier: Apache-2.0
"""A device in the processor's own address space, by what Linux offers without PYNQ."""

import os
import select
from collections.abc import Sequence

from fpga.driver.dma_buffer import DmaBuffer
from fpga.driver.memory import Buffer
from fpga.driver.mmio import MmioTransport
from fpga.driver.transport import Bytes

__all__ = ["DevmemTransport", "UioTransport"]

_WINDOW = 4096


class DevmemTransport:
    """Registers at a physical address, by ``/dev/mem``, and a buffer of ``u-dma-buf``.

    Needs root, and a kernel that lets it at addresses of devices. There is no interrupt: the driver
    looks at the status. Raises ``ValueError`` where something cannot be opened.
    """

    def __init__(
        self,
        address: int,
        buffer: str = "/dev/udmabuf0",
        *,
        path: str = "/dev/mem",
        sysfs: str | None = None,
    ) -> None:
        self._registers = MmioTransport(path, address, _WINDOW)
        try:
            self._memory = DmaBuffer(buffer, sysfs)
        except BaseException:
            self._registers.close()
            raise

    def close(self) -> None:
        """Unmap everything."""
        self._registers.close()
        self._memory.close()

    def read(self, address: int, words: int) -> list[int]:
        """Return registers."""
        return self._registers.read(address, words)

    def write(self, address: int, words: Sequence[int], *, fixed: bool = False) -> None:
        """Write registers; the mapping keeps their order."""
        self._registers.write(address, words, fixed=fixed)

    def alloc(self, size: int, align: int = 64) -> Buffer:
        """Take a piece of the buffer. Raises ``ValueError`` where none is left."""
        return self._memory.alloc(size, align)

    def free(self, buffer: Buffer) -> None:
        """Give a piece back."""
        self._memory.free(buffer)

    def upload(self, address: int, data: Bytes) -> None:
        """Copy bytes into the buffer."""
        self._memory.upload(address, data)

    def download(self, address: int, size: int) -> bytes:
        """Return bytes of the buffer."""
        return self._memory.download(address, size)

    def wait_interrupt(self, timeout: float) -> bool:
        """Return False: there is none."""
        del timeout
        return False


class UioTransport(DevmemTransport):
    """Registers and interrupt by ``/dev/uioN``, and a buffer of ``u-dma-buf``.

    The device tree says ``compatible = "generic-uio"`` and the kernel is booted with
    ``uio_pdrv_genirq.of_id=generic-uio``.
    """

    def __init__(
        self, path: str = "/dev/uio0", buffer: str = "/dev/udmabuf0", *, sysfs: str | None = None
    ) -> None:
        super().__init__(0, buffer, path=path, sysfs=sysfs)
        self._file = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def close(self) -> None:
        """Unmap everything."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        super().close()

    def wait_interrupt(self, timeout: float) -> bool:
        """Enable the interrupt and wait for it. It stays disabled afterwards, as UIO does it."""
        try:
            os.write(self._file, (1).to_bytes(4, "little"))
            if not select.select([self._file], [], [], timeout)[0]:
                return False
            return len(os.read(self._file, 4)) == 4
        except BlockingIOError:
            return False

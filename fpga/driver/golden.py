# SPDX-License-Identifier: Apache-2.0
"""The golden model of the co-processor in the place of a device: no hardware, no tools, no time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fpga.driver.memory import Buffer, Heap
from fpga.driver.transport import Bytes, DeviceError
from sim.golden.coprocessor.accelerator import GoldenAccelerator

__all__ = ["GoldenTransport"]


class GoldenTransport:
    """The device that a manifest describes, with ``size`` bytes of memory from ``base`` on."""

    def __init__(
        self,
        manifest: Mapping[str, Any],
        *,
        base: int | None = None,
        size: int | None = None,
        instant: bool = True,
    ) -> None:
        self.device = GoldenAccelerator(manifest, base=base, size=size, instant=instant)
        self._heap = Heap(self.device.base, len(self.device.memory))

    def close(self) -> None:
        """Do nothing."""

    def read(self, address: int, words: int) -> list[int]:
        """Return registers. Raises :class:`DeviceError` where one refuses."""
        values = []
        for place in range(address, address + 4 * words, 4):
            value, refused = self.device.read32(place)
            if refused:
                raise DeviceError(f"a read of the register at {place:#05x} was refused")
            values.append(value)
        return values

    def write(self, address: int, words: Sequence[int], *, fixed: bool = False) -> None:
        """Write registers. Raises :class:`DeviceError` where one refuses."""
        for number, word in enumerate(words):
            place = address if fixed else address + 4 * number
            if self.device.write32(place, word):
                raise DeviceError(f"a write to the register at {place:#05x} was refused")

    def alloc(self, size: int, align: int = 64) -> Buffer:
        """Take memory. Raises ``ValueError`` where none is left."""
        return self._heap.alloc(size, align)

    def free(self, buffer: Buffer) -> None:
        """Give memory back."""
        self._heap.free(buffer)

    def upload(self, address: int, data: Bytes) -> None:
        """Copy bytes into the memory."""
        at = self._heap.check(address, len(data))
        self.device.memory[at : at + len(data)] = np.frombuffer(data, dtype=np.uint8)

    def download(self, address: int, size: int) -> bytes:
        """Return bytes of the memory."""
        at = self._heap.check(address, size)
        return self.device.memory[at : at + size].tobytes()

    def wait_interrupt(self, timeout: float) -> bool:
        """Complete a descriptor where the device does not do so by itself."""
        del timeout
        self.device.step()
        return self.device.interrupt

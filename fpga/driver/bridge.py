# SPDX-License-Identifier: Apache-2.0
"""A co-processor behind a serial bridge, with memory on its chip."""

from collections.abc import Sequence

from fpga.driver.memory import Buffer, Heap
from fpga.driver.transport import Bytes, DeviceError, Transport
from hw.spec.bridge import BRIDGE_BASE, BRIDGE_FLAGS, BRIDGE_MAGIC, DEVICE_BASE, bridge_map

__all__ = ["BridgeTransport"]


class BridgeTransport:
    """Registers and memory by words over ``link``, such as :class:`fpga.driver.uart.UartTransport`.

    There is no interrupt: the driver looks at the status. Raises :class:`DeviceError` where no such
    bridge answers.
    """

    def __init__(self, link: Transport) -> None:
        self._link = link
        self._map = bridge_map(0)
        found = [self._own(name) for name in ("ID", "RAM_BASE", "RAM_BYTES")]
        if found[0] != BRIDGE_MAGIC:
            raise DeviceError(
                f"no bridge with memory answers: ID is {found[0]:#010x}, not {BRIDGE_MAGIC:#010x}"
            )
        self._heap = Heap(found[1], found[2])
        self._clear()

    def close(self) -> None:
        """Close the link."""
        self._link.close()

    def read(self, address: int, words: int) -> list[int]:
        """Return registers. Raises :class:`DeviceError` if none come, or one refuses."""
        found = self._link.read(DEVICE_BASE + address, words)
        self._check(f"a read of the register at {address:#05x}")
        return found

    def write(self, address: int, words: Sequence[int], *, fixed: bool = False) -> None:
        """Write registers. Raises :class:`DeviceError` if one refuses, or bytes are lost."""
        self._link.write(DEVICE_BASE + address, words, fixed=fixed)
        self._check(f"a write to the register at {address:#05x}")

    def alloc(self, size: int, align: int = 64) -> Buffer:
        """Take memory. Raises ``ValueError`` where none is left."""
        return self._heap.alloc(size, align)

    def free(self, buffer: Buffer) -> None:
        """Give memory back."""
        self._heap.free(buffer)

    def upload(self, address: int, data: Bytes) -> None:
        """Copy bytes into the memory; words that are not whole are read first."""
        self._heap.check(address, len(data))
        first, last = address // 4 * 4, -(-(address + len(data)) // 4) * 4
        before = after = b""
        if first < address:
            before = self.download(first, address - first)
        if address + len(data) < last:
            after = self.download(address + len(data), last - address - len(data))
        whole = before + bytes(data) + after
        words = [int.from_bytes(whole[at : at + 4], "little") for at in range(0, len(whole), 4)]
        self._link.write(first, words)
        self._check(f"{len(data)} bytes to {address:#x}")

    def download(self, address: int, size: int) -> bytes:
        """Return bytes of the memory."""
        self._heap.check(address, size)
        first, last = address // 4 * 4, -(-(address + size) // 4) * 4
        words = self._link.read(first, (last - first) // 4)
        whole = b"".join(word.to_bytes(4, "little") for word in words)
        return whole[address - first : address - first + size]

    def wait_interrupt(self, timeout: float) -> bool:
        """Return False: there is none."""
        del timeout
        return False

    def _own(self, name: str) -> int:
        return self._link.read(BRIDGE_BASE + self._map[name].offset, 1)[0]

    def _clear(self) -> None:
        register = self._map["FLAGS"]
        self._link.write(BRIDGE_BASE + register.offset, [register.mask])

    def _check(self, what: str) -> None:
        """Raise :class:`DeviceError` where the bridge has noted that something went wrong."""
        flags = self._own("FLAGS")
        if flags:
            self._clear()
            told = [why for k, why in enumerate(BRIDGE_FLAGS.values()) if flags >> k & 1]
            raise DeviceError(f"{what} failed: {'; '.join(told)}")

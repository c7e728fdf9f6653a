# SPDX-License-Identifier: Apache-2.0
"""Memory that a device reaches: pieces of it, and who has which."""

from dataclasses import dataclass

__all__ = ["Buffer", "Heap"]


@dataclass(frozen=True)
class Buffer:
    """``size`` bytes from ``address`` on, as the device addresses them."""

    address: int
    size: int

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.address + self.size

    def overlaps(self, other: "Buffer") -> bool:
        """Return whether a byte belongs to both."""
        return self.address < other.end and other.address < self.end


class Heap:
    """Pieces of ``size`` bytes from ``base`` on, the first that fits."""

    def __init__(self, base: int, size: int) -> None:
        self.whole = Buffer(base, size)
        self._taken: list[Buffer] = []

    def alloc(self, size: int, align: int = 64) -> Buffer:
        """Take a piece. Raises ``ValueError`` where none is left that is large enough."""
        if size < 1 or align < 1 or align & (align - 1):
            raise ValueError(
                f"size must be positive and align a power of two, not {size} and {align}"
            )
        for at in range(len(self._taken) + 1):
            before = self._taken[at - 1].end if at else self.whole.address
            behind = self._taken[at].address if at < len(self._taken) else self.whole.end
            start = -(-before // align) * align
            if start + size <= behind:
                self._taken.insert(at, Buffer(start, size))
                return self._taken[at]
        left = self.whole.size - sum(taken.size for taken in self._taken)
        raise ValueError(
            f"the device's memory of {self.whole.size} bytes has no {size} in one piece, "
            f"{left} are free"
        )

    def free(self, buffer: Buffer) -> None:
        """Give a piece back. Raises ``ValueError`` for one that is not taken."""
        if buffer not in self._taken:
            raise ValueError(f"no buffer of {buffer.size} bytes is taken at {buffer.address:#x}")
        self._taken.remove(buffer)

    def check(self, address: int, size: int) -> int:
        """Return the offset of ``size`` bytes. Raises ``ValueError`` where they are not inside."""
        offset = address - self.whole.address
        if size < 0 or not 0 <= offset <= self.whole.size - size:
            raise ValueError(
                f"{size} bytes at {address:#x} are not in the device's memory, "
                f"{self.whole.address:#x} to {self.whole.end - 1:#x}"
            )
        return offset

# SPDX-License-Identifier: Apache-2.0
"""What a driver needs of the way to its device."""

from collections.abc import Sequence
from typing import Protocol

__all__ = ["DeviceError", "Transport"]


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

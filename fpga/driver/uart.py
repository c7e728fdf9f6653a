# SPDX-License-Identifier: Apache-2.0
"""Registers over a serial port, by LiteX's ``uartbone`` protocol."""

import contextlib
import fcntl
import os
import select
import termios
import time
from collections.abc import Sequence
from typing import Any

from fpga.driver.transport import DeviceError

__all__ = ["FRAME_SECONDS", "UartTransport", "frame", "words_per_frame"]

WRITE, READ, WRITE_FIXED = 1, 2, 3
FRAME_SECONDS = 0.1  #: The bridge gives up a frame after this time.
HEADER = 6  #: Bytes before the words of a frame.
MOST_WORDS = 255


def words_per_frame(baud: int) -> int:
    """Return how many words fill at most half of a frame's time limit, as LiteX's host does.

    Raises ``ValueError`` if not even one does.
    """
    words = (int(baud / 10 * FRAME_SECONDS / 2) - HEADER) // 4
    if words < 1:
        raise ValueError(f"baud must be at least 2000 for a frame to pass in time, not {baud}")
    return min(words, MOST_WORDS)


def frame(command: int, address: int, words: int, data: Sequence[int] = ()) -> bytes:
    """Return the bytes of one frame; ``address`` is a byte address."""
    header = bytes([command, words]) + (address // 4).to_bytes(4, "big")
    return header + b"".join(word.to_bytes(4, "big") for word in data)


class UartTransport:
    """A serial port or a pseudo-terminal with a ``uartbone`` bridge behind it.

    ``timeout`` is how many seconds may pass without a byte of an answer. A read that stays without
    one is repeated ``retries`` times, each after a silence in which the bridge gives up whatever
    it had understood.

    Raises ``ValueError`` for a port that cannot be opened or a rate that it does not have.
    """

    def __init__(
        self, port: str, baud: int = 115_200, *, timeout: float = 1.0, retries: int = 2
    ) -> None:
        self.port, self.baud, self.timeout, self.retries = port, baud, timeout, retries
        self.limit = words_per_frame(baud)
        rate = getattr(termios, f"B{baud}", None)
        if rate is None:
            raise ValueError(f"baud {baud} is no rate of a serial port, such as 115200 is")
        try:
            self._file = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(f"port {port!r} cannot be opened: {reason}") from None
        try:
            self._configure(rate)
        except BaseException:
            os.close(self._file)
            raise

    def _configure(self, rate: int) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            settings = termios.tcgetattr(self._file)
        except BlockingIOError:
            raise ValueError(f"port {self.port!r} is in use by another program") from None
        except termios.error:
            raise ValueError(f"port {self.port!r} is no serial port") from None
        control = termios.CS8 | termios.CREAD | termios.CLOCAL
        characters = list(settings[6])
        characters[termios.VMIN] = characters[termios.VTIME] = 0
        raw: list[Any] = [0, 0, control, 0, rate, rate, characters]
        termios.tcsetattr(self._file, termios.TCSANOW, raw)
        termios.tcflush(self._file, termios.TCIOFLUSH)

    def close(self) -> None:
        """Close the port."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def read(self, address: int, words: int) -> list[int]:
        """Return words from rising addresses. Raises :class:`DeviceError` if none come."""
        values: list[int] = []
        while len(values) < words:
            count = min(self.limit, words - len(values))
            answer = self._ask(frame(READ, address + 4 * len(values), count), 4 * count)
            values += [int.from_bytes(answer[k : k + 4], "big") for k in range(0, len(answer), 4)]
        return values

    def write(self, address: int, words: Sequence[int], *, fixed: bool = False) -> None:
        """Write words. The bridge acknowledges nothing: ask the device what has arrived."""
        for start in range(0, len(words), self.limit):
            part = words[start : start + self.limit]
            if fixed:
                self._send(frame(WRITE_FIXED, address, len(part), part))
            else:
                self._send(frame(WRITE, address + 4 * start, len(part), part))

    def recover(self) -> None:
        """Stay silent until the bridge is idle, and forget what it said."""
        time.sleep(1.5 * FRAME_SECONDS)
        with contextlib.suppress(termios.error):
            termios.tcflush(self._file, termios.TCIOFLUSH)

    def _ask(self, request: bytes, size: int) -> bytes:
        for attempt in range(self.retries + 1):
            if attempt:
                self.recover()
            with contextlib.suppress(termios.error):
                termios.tcflush(self._file, termios.TCIFLUSH)
            self._send(request)
            answer = self._receive(size)
            if len(answer) == size:
                return answer
        raise DeviceError(
            f"no answer from {self.port} at {self.baud} baud: {len(answer)} of {size} bytes came; "
            "check the port, the rate and that the board is configured"
        )

    def _send(self, data: bytes) -> None:
        sent = 0
        while sent < len(data):
            if not select.select([], [self._file], [], self.timeout)[1]:
                raise DeviceError(f"{self.port} takes no bytes")
            try:
                sent += os.write(self._file, data[sent:])
            except BlockingIOError:
                continue
            except OSError as error:
                raise DeviceError(f"{self.port} is gone: {error.strerror}") from None

    def _receive(self, size: int) -> bytes:
        answer = b""
        while len(answer) < size and select.select([self._file], [], [], self.timeout)[0]:
            try:
                part = os.read(self._file, size - len(answer))
            except BlockingIOError:
                continue
            except OSError as error:
                raise DeviceError(f"{self.port} is gone: {error.strerror}") from None
            if not part:
                raise DeviceError(f"{self.port} is gone: the other side has closed it")
            answer += part
        return answer

# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``pe-uart``: bytes in, bytes out.

The bridge is that of LiteX's ``uartbone``: command, number of words, word address (4 bytes), words,
all most significant byte first. It is modelled without its time limit: no frame takes 100 ms, and
no byte comes while an answer is sent.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.coprocessor import pe_axi
from sim.golden.coprocessor.device import Device

__all__ = ["Bridge", "frame", "run", "vectors"]


class Bridge:
    """The bytes of the bridge in front of a device."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._frame = b""

    def feed(self, byte: int) -> bytes:
        """Return what answers one more byte."""
        self._frame += bytes([byte])
        if len(self._frame) < 6:
            return b""
        command, count = self._frame[:2]
        if command not in (1, 2, 3, 4) or count == 0:
            self._frame = b""
            self.device.flag("COMMAND")
            return b""
        if command in (2, 4):
            addresses, self._frame = self._addresses(), b""
            return b"".join(self.device.read(a)[0].to_bytes(4, "big") for a in addresses)
        done, rest = divmod(len(self._frame) - 6, 4)
        if done and not rest:
            word = int.from_bytes(self._frame[-4:], "big")
            self.device.write(self._addresses()[done - 1], word)
            if done == count:
                self._frame = b""
        return b""

    def _addresses(self) -> list[int]:
        """Byte addresses of the words of the frame."""
        command, count = self._frame[:2]
        first, step = int.from_bytes(self._frame[2:6], "big"), int(command in (1, 2))
        return [4 * ((first + k * step) % (1 << 32)) for k in range(count)]


def run(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    """Return the bytes ``tx`` that answer the bytes ``rx``, both of one dimension.

    ``due`` says how many of them there are after each byte of ``rx``; a host waits for them before
    it sends the next.
    """
    bridge = Bridge(Device(parameters))
    answers = [bridge.feed(byte) for byte in np.asarray(beats["rx"]).astype(np.uint8).tolist()]
    return {
        "tx": np.frombuffer(b"".join(answers), dtype=np.uint8),
        "due": np.cumsum([len(answer) for answer in answers], dtype=np.int64),
    }


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, NDArray[Any]]:
    """Return about ``beats`` bytes of whole frames: every command, then accesses one by one."""
    device = Device(parameters)
    scratch = device.map["SCRATCH"].offset // 4
    frames = [
        frame(2, 0, 8),
        frame(1, scratch, 1, [0x0123_4567]),
        frame(3, scratch, 2, [0x89AB_CDEF, 0xDEAD_BEEF]),
        frame(4, scratch, 2),
        frame(7, scratch, 3),
        frame(2, scratch, 0),
        frame(2, 0x4000_0000, 1),
        frame(2, device.map["ERROR"].offset // 4, 3),
    ]
    size = sum(map(len, frames))
    while size < beats:
        for write, address, data, strobe in _accesses(parameters, rng):
            # Bytes hold only aligned accesses of whole words.
            if size < beats and address % 4 == 0 and (strobe == 15 or not write):
                word = address // 4
                frames.append(frame(1, word, 1, [data]) if write else frame(2, word, 1))
                size += len(frames[-1])
    return {"rx": np.frombuffer(b"".join(frames), dtype=np.uint8)}


def _accesses(parameters: Mapping[str, Any], rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Return some hundred accesses: write, address, data and strobe."""
    columns = pe_axi.vectors(parameters, rng, 800)
    names = ("write", "address", "data", "strobe")
    return list(zip(*(columns[name].tolist() for name in names), strict=True))


def frame(command: int, word: int, count: int, data: list[int] | None = None) -> bytes:
    """Return the bytes of one frame."""
    header = bytes([command, count]) + word.to_bytes(4, "big")
    return header + b"".join(value.to_bytes(4, "big") for value in data or [])

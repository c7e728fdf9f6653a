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

__all__ = ["run", "vectors"]


def run(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    """Return the bytes ``tx`` that answer the bytes ``rx``, both of one dimension."""
    device = Device(parameters)
    rx = np.asarray(beats["rx"]).astype(np.uint8).tobytes()
    tx, at = b"", 0
    while at + 6 <= len(rx):
        command, count = rx[at], rx[at + 1]
        word = int.from_bytes(rx[at + 2 : at + 6], "big")
        at += 6
        if command not in (1, 2, 3, 4) or count == 0:
            device.flag("COMMAND")
            continue
        step = 1 if command in (1, 2) else 0
        for k in range(count):
            address = 4 * ((word + k * step) % (1 << 32))
            if command in (2, 4):
                tx += device.read(address)[0].to_bytes(4, "big")
            elif at + 4 <= len(rx):
                device.write(address, int.from_bytes(rx[at : at + 4], "big"))
                at += 4
    return {"tx": np.frombuffer(tx, dtype=np.uint8)}


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
    # Bytes hold only aligned accesses of whole words.
    accesses = pe_axi.vectors(parameters, rng, 4 * beats)
    columns = (accesses[name].tolist() for name in ("write", "address", "data", "strobe"))
    size = sum(map(len, frames))
    for write, address, data, strobe in zip(*columns, strict=True):
        if size >= beats:
            break
        if address % 4 == 0 and (strobe == 15 or not write):
            word = address // 4
            frames.append(frame(1, word, 1, [data]) if write else frame(2, word, 1))
            size += len(frames[-1])
    return {"rx": np.frombuffer(b"".join(frames), dtype=np.uint8)}


def frame(command: int, word: int, count: int, data: list[int] | None = None) -> bytes:
    """Return the bytes of one frame."""
    header = bytes([command, count]) + word.to_bytes(4, "big")
    return header + b"".join(value.to_bytes(4, "big") for value in data or [])

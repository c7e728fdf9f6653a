# SPDX-License-Identifier: Apache-2.0
"""What the matrix co-processor makes of the bytes of its operands."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.spec.coprocessor import ACTIVATIONS, FLAGS, Descriptor
from sim.golden.coprocessor.contract import Contract, Extent
from sim.golden.mpgemm.jobs import job_word

__all__ = ["Result", "multiply"]

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Result:
    """Bytes (M, N * c_bytes) of C, and whether a sum was not a number."""

    c: Bytes
    nan: bool


def multiply(contract: Contract, d: Descriptor, read: Callable[[Extent], Bytes]) -> Result:
    """Return C of a product; ``read`` gives the bytes (rows, size) of an extent.

    Every column tile is a job of the engine's own golden model.
    """
    contract = contract.chosen(d.engine)
    extents, unit = contract.extents(d), contract.unit_of(d)
    panels = [_words(panel, contract["w_slot"]) for panel in read(extents["w"])]
    scales: list[list[int]] = [[] for _ in panels]
    if "s" in extents:
        scales = [_words(panel, contract["s_slot"]) for panel in read(extents["s"])]
    a = _codes(read(extents["a"]), d.k, contract["act_slot"], contract.act_bits)
    if contract.stays(d):  # the last tile of K is filled up, whatever with
        panels = [panel + [0] * (-len(panel) % int(unit.parameters["rows"])) for panel in panels]
    bits, rows = contract.bits(d.w_fmt), contract.row_tiles(d.m)
    once = bool(contract.parameters["act_scale"])
    parts, nan = [], False
    for width, panel, scale in zip(contract.tiles(d.n), panels, scales, strict=True):
        packets = {"act": unit.activations(a, width), "wgt": panel * rows}
        if contract["s_slot"]:
            packets["scale"] = scale if once else scale * rows
        streams: dict[str, dict[str, list[int]]] = {
            f"s_axis_{name}": {"tdata": words, "tlast": [0] * (len(words) - 1) + [1]}
            for name, words in packets.items()
        }
        streams["s_axis_job"] = {"tdata": [job_word(d.m, width, d.k, bits)]}
        out = unit.module.run(unit.parameters, streams)["m_axis_out"]
        values, marks = unit.results(d.m, width, d.k, out)
        parts.append(values)
        nan |= bool(marks.any())
    c = np.concatenate(parts, axis=1)
    if d.flags >> FLAGS["accumulate"] & 1:
        c = _added(c, read(extents["c"]), contract["c_bytes"])
    c = _activated(contract, d, c)
    return Result(_bytes(c, contract["c_bytes"]), nan)


def _words(panel: Bytes, slot: int) -> list[int]:
    data = panel.tobytes()
    return [int.from_bytes(data[at : at + slot], "little") for at in range(0, len(data), slot)]


def _codes(rows: Bytes, k: int, slot: int, bits: int) -> NDArray[np.int64]:
    """Return the codes (M, K) of rows of bytes; bits of a slot above the code do not matter."""
    flat = np.unpackbits(rows, axis=1, count=k * slot, bitorder="little")
    places = flat.reshape(len(rows), k, slot)[..., :bits].astype(np.int64)
    codes: NDArray[np.int64] = (places << np.arange(bits)).sum(axis=-1)
    return codes


def _added(c: NDArray[Any], before: Bytes, size: int) -> NDArray[Any]:
    """Return sums of ``size`` bytes, which wrap, of C and the bytes (M, N * size) of another."""
    half = 1 << 8 * size - 1
    old = [
        [int.from_bytes(row[at : at + size], "little") for at in range(0, len(row), size)]
        for row in (bytes(row) for row in before)
    ]
    total = c.astype(object) + np.array(old, dtype=object)
    return np.asarray((total + half) % (2 * half) - half)


def _activated(contract: Contract, d: Descriptor, c: NDArray[Any]) -> NDArray[Any]:
    # A negative binary32 is a negative code.
    if d.activation == ACTIVATIONS["relu"]:
        return np.where(c < 0, 0, c)
    if d.activation == ACTIVATIONS["clamp"]:
        return np.minimum(np.maximum(c, d.clamp_low), d.clamp_high)
    return c


def _bytes(c: NDArray[Any], size: int) -> Bytes:
    words = (c.astype(object) & (1 << 8 * size) - 1).astype(np.uint64)
    flat = words[..., None] >> np.arange(0, 8 * size, 8, dtype=np.uint64) & np.uint64(255)
    return flat.astype(np.uint8).reshape(len(c), -1)

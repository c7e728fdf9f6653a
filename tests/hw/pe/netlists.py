# SPDX-License-Identifier: Apache-2.0
"""Parts of processing elements as netlists that numpy evaluates."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal, Value
from numpy.typing import NDArray

from gen import yosys
from sim.bench.netlist import Netlist

__all__ = ["evaluate", "netlist", "words"]

Part = Callable[[Module, dict[str, Signal]], dict[str, Value]]


def netlist(folder: Path, inputs: dict[str, int], part: Part) -> Netlist:
    """Return the combinational ``part`` of signals of the bits that ``inputs`` says."""
    m = Module()
    signals = {name: Signal(bits, name=name) for name, bits in inputs.items()}
    ports = list(signals.values())
    for name, value in part(m, signals).items():
        output = Signal(len(value), name=name)
        m.d.comb += output.eq(value)
        ports.append(output)
    text = yosys.to_verilog(rtlil.convert(m, name="part", ports=ports, emit_src=False))
    (folder / "part.v").write_text(text, encoding="utf-8")
    return Netlist.read([folder / "part.v"], "part", folder)


def evaluate(net: Netlist, vectors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return every output as unsigned integers."""
    return {name: words(bits) for name, bits in net.evaluate(vectors).items()}


def words(bits: NDArray[np.uint8]) -> NDArray[Any]:
    """Return the integers whose bits lie along the last axis, bit 0 first."""
    if bits.shape[-1] < 63:
        weights = np.int64(1) << np.arange(bits.shape[-1])
        return bits.astype(np.int64) @ weights
    octets = np.packbits(bits, axis=-1, bitorder="little")
    whole = [int.from_bytes(row.tobytes(), "little") for row in octets]
    return np.array([*whole, 0], dtype=object)[:-1]

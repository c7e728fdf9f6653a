# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``pe-axi``: the answer to every access, one after the other."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.registers import WINDOW
from sim.golden.coprocessor.device import Device

__all__ = ["run", "vectors"]


def run(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    """Return ``value`` (0 for a write) and ``error`` (SLVERR) of each access, in order.

    ``beats`` holds ``write``, ``address`` (byte address), ``data`` and ``strobe``, each of shape
    (n,); the latter two do not matter to a read.
    """
    device = Device(parameters)
    columns = (np.asarray(beats[name]).tolist() for name in ("write", "address", "data", "strobe"))
    answers = [
        (0, device.write(address, data, strobe)) if write else device.read(address)
        for write, address, data, strobe in zip(*columns, strict=True)
    ]
    return {
        "value": np.array([value for value, _ in answers], dtype=np.int64),
        "error": np.array([error for _, error in answers], dtype=bool),
    }


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, NDArray[Any]]:
    """Return ``beats`` accesses: all registers in turn, then any, mostly dot products.

    Of more than 800 half first drive the counts up.

    Codes are legal, and dot products short enough for the accumulator.
    """
    device = Device(parameters)
    names, rows = device.map, []
    for register in names.registers:
        rows += [(0, register.offset, 0, 0), (1, register.offset, 0, 0)]
    rows += [(k, address, 0, 15) for k in (0, 1) for address in (1, 2, 3, 0x030, WINDOW - 4)]
    results = [names[name] for name in ("STATUS", "ERROR", "COUNT", "RESULT")]
    results += names.vector("ACC")
    rows += [(1, r.offset, 0, 15) for r in device.operands]
    for row in range(max(0, beats - 800) // 4):
        rows += [(1, names["PUSH"].offset, 1, 15), (1, names["POP"].offset, 1, 15)]
        rows += [(0, names["COUNT"].offset, 0, 0)] if row % 16 == 0 else []
    reset = [(1, names["CTRL"].offset, 2, 15), (0, names["COUNT"].offset, 0, 0)]
    rows += reset
    open_beats, longest = 0, max(1, int(parameters["max_k"]) // device.lanes)
    while len(rows) < beats:
        kind = rng.random()
        if kind < 0.45:
            words = _operand_words(device, rng)
            last = open_beats + 1 >= longest or rng.random() < 0.4
            if last or rng.random() < 0.5:
                rows += [(1, r.offset, v, 15) for r, v in zip(device.operands, words, strict=True)]
                rows.append((1, names["PUSH"].offset, int(last), 15))
            else:
                rows += [(1, names["FEED"].offset, value, 15) for value in words]
            open_beats = 0 if last else open_beats + 1
        elif kind < 0.75:
            known = [*names.registers, *results * 4]
            rows.append((0, known[rng.integers(len(known))].offset, 0, 0))
            rows += [(1, names["POP"].offset, 1, 15)] if rng.random() < 0.3 else []
        elif kind < 0.9:
            # One bit alone, or all but one, or any.
            data = (1 << int(rng.integers(32))) ^ int(rng.choice([0, 0xFFFF_FFFF]))
            if rng.random() < 0.2:
                data = int(rng.integers(1 << 32))
            strobe = int(rng.integers(16)) if rng.random() < 0.5 else 15
            name = "SCRATCH" if rng.random() < 0.8 else "ERROR"
            rows += [(1, names[name].offset, data, strobe), (0, names[name].offset, 0, 0)]
        elif kind < 0.905:
            rows += [*reset, (0, names["STATUS"].offset, 0, 0)]
            open_beats = 0
        else:
            # An address that misses a register by one bit.
            register = names.registers[rng.integers(len(names.registers))]
            address = register.offset ^ 1 << int(rng.integers(12))
            write = int(rng.integers(2) and names.at(address) is None)
            rows += [(write, address, 0xFFFF_FFFF * write, 15), (0, register.offset, 0, 0)]
    table = np.array(rows[:beats], dtype=np.int64).reshape(-1, 4)
    return dict(zip(("write", "address", "data", "strobe"), table.T, strict=True))


def _operand_words(device: Device, rng: np.random.Generator) -> list[int]:
    """Words of one beat of random legal codes."""
    words = []
    for stem, operand in (("A", device.act), ("W", device.weight)):
        codes = rng.choice(operand.codes, device.lanes).tolist()
        value = sum(code << operand.fmt.bits * lane for lane, code in enumerate(codes))
        words += [value >> 32 * k & 0xFFFF_FFFF for k in range(len(device.map.vector(stem)))]
    return words

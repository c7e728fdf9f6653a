# SPDX-License-Identifier: Apache-2.0
"""Many combinational encoders in one netlist, evaluated on arrays of source codes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gen.emit import emit
from gen.unit import Unit, discover
from hw.encode.block import Block, BlockQuantizeParams
from hw.encode.source import parse_source
from sim.bench.netlist import Netlist
from sim.golden import block_quantize, quantize

__all__ = ["block_differences", "differences", "outputs"]


def outputs(
    cells: list[dict[str, Any]], codes: NDArray[np.int64], folder: Path
) -> list[NDArray[np.int64]]:
    """Return what each of ``cells``, parameters with one common source, makes of ``codes``."""
    unit = discover()["quantize"]
    bits = parse_source(cells[0]["source"]).bits
    text, pins, at, widths = "", [], 0, []
    for number, cell in enumerate(cells):
        params = unit.params(core="cell", **cell)
        text += emit(unit, params, f"cell{number}")[0]
        widths.append(params.target.bits)
        pins.append(f"  cell{number} u{number}(.x(x), .q(q[{at} +: {widths[-1]}]));")
        at += widths[-1]
    ports = f"input [{bits - 1}:0] x, output [{at - 1}:0] q"
    source = folder / "cells.v"
    source.write_text("\n".join([text, f"module cells({ports});", *pins, "endmodule\n"]))
    found = Netlist.read([source], "cells", folder).evaluate({"x": codes})["q"]
    parts = np.split(found.astype(np.int64), np.cumsum(widths)[:-1], axis=1)
    return [part @ (1 << np.arange(part.shape[1])) for part in parts]


def differences(cells: list[dict[str, Any]], codes: NDArray[np.int64], folder: Path) -> list[str]:
    """Return a line for each cell that differs from the golden model, with the first code."""
    wrong = []
    bits = parse_source(cells[0]["source"]).bits
    words = np.array([int(code) & (1 << bits) - 1 for code in codes], dtype=object)
    for cell, found in zip(cells, outputs(cells, codes, folder), strict=True):
        full = {"lam": 0, "rounding": "rne", "overflow": "sat", "lanes": 1} | cell
        try:
            due = quantize.run(full, {"x": words})["q"]
            usable = np.ones(len(words), dtype=bool)
        except ValueError:  # a NaN, for which the format has no code
            usable = ~np.isnan(quantize.float_values(cell["source"], words))
            due = np.zeros(len(words), dtype=np.int64)
            due[usable] = quantize.run(full, {"x": words[usable]})["q"]
            if (bad := found[~usable] != found[words == 0][0]).any():
                wrong.append(f"{cell}: NaN {int(words[~usable][bad][0]):#x} does not become 0")
        bad = np.flatnonzero((found != due.astype(np.int64)) & usable)
        if len(bad):
            k = bad[0]
            wrong.append(
                f"{cell}: {len(bad)} wrong, first {int(words[k]):#x}: due {int(due[k]):#x}, "
                f"got {int(found[k]):#x}"
            )
    return wrong


def block_differences(
    cells: list[dict[str, Any]],
    codes: NDArray[np.int64],
    folder: Path,
    tensor: NDArray[np.int64] | None = None,
) -> list[str]:
    """Return a line for each block cell that differs from the golden model.

    ``codes`` has shape (blocks, size); all cells have that size and one source. ``tensor`` holds
    the tensor scales, if the cells take them.
    """
    unit: Unit = replace(discover()["block-quantize"], build=Block)
    params = [BlockQuantizeParams(**cell) for cell in cells]
    bits, size = params[0].source_format.bits, codes.shape[1]
    text, pins, at = "", [], 0
    for number, chosen in enumerate(params):
        text += emit(unit, chosen, f"cell{number}")[0]
        ports = [f".x({{{', '.join(f'x{k}' for k in reversed(range(size)))}}})"]
        if tensor is not None:
            ports.append(".g(g)")
        for name, width in chosen.fields.items():
            ports.append(f".{name}(r[{at} +: {width}])")
            at += width
        pins.append(f"  cell{number} u{number}({', '.join(ports)});")
    inputs = ", ".join(f"input [{bits - 1}:0] x{k}" for k in range(size))
    inputs += "" if tensor is None else ", input [31:0] g"
    top = f"module cells({inputs}, output [{at - 1}:0] r);"
    source = folder / "cells.v"
    source.write_text("\n".join([text, top, *pins, "endmodule\n"]))
    netlist = Netlist.read([source], "cells", folder)
    values = {f"x{k}": codes[:, k] for k in range(size)}
    beats = {"x": codes}
    if tensor is not None:
        values, beats = values | {"g": tensor}, beats | {"g": tensor}
    found = netlist.evaluate(values)["r"].astype(np.int64)
    wrong, at = [], 0
    for chosen in params:
        due = block_quantize.run(chosen.resolved, beats)
        for name, width in chosen.fields.items():
            lanes = np.reshape(due[name], (len(codes), -1))
            part = found[:, at : at + width].reshape(len(codes), lanes.shape[1], -1)
            got = part @ (1 << np.arange(part.shape[2]))
            at += width
            bad = np.flatnonzero((got != lanes.astype(np.int64)).any(axis=1))
            if len(bad):
                row = [hex(c) for c in codes[bad[0]]]
                wrong.append(
                    f"{chosen}: {len(bad)} wrong in {name}, first {row}: "
                    f"due {lanes[bad[0]]}, got {got[bad[0]]}"
                )
    return wrong

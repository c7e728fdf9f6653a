# SPDX-License-Identifier: Apache-2.0
"""From a board and a unit's parameters to a bitstream and what is known about it."""

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpga import tools
from fpga.board import CONSTRAINTS, Board, Part
from fpga.flows.job import BuildError, Job
from fpga.top import TOP
from gen import __version__, cli
from gen.emit import emit, manifest_text
from gen.unit import discover

__all__ = ["SCHEMA", "BuildError", "build", "flow_of", "parameters", "summary"]

SCHEMA = 1  #: Version of the report's layout.


def flow_of(board: Board) -> Any:
    """Return the module of :mod:`fpga.flows` that builds for ``board``."""
    return importlib.import_module(f"fpga.flows.{board.flow}")


def parameters(board: Board, given: Mapping[str, Any], unit: str | None = None) -> Any:
    """Return the parameters of a unit of the board: its defaults there, but what is ``given``.

    Raises ``ValueError`` for a unit that the board does not carry or a value that it refuses.
    """
    unit = board.unit(unit)
    kind = discover()[unit].params
    names = {field.name for field in dataclasses.fields(kind)}
    if unknown := given.keys() - names:
        raise ValueError(f"unit {unit} of board {board.name} has no {sorted(unknown)[0]}")
    chosen = {**board.units[unit], **given}
    if "bits" in given and "format" not in given:
        chosen.pop("format", None)
    if "clock_hz" in names:
        chosen["clock_hz"] = board.clock_hz
    return kind(**chosen)


def build(
    board: Board, part: Part, params: Any, folder: Path, unit: str | None = None
) -> dict[str, Any]:
    """Build a unit of the board, its first if not named, into ``folder``.

    Returns the report, which is written there too, as is the unit's manifest. Raises
    :class:`BuildError` when no working bitstream comes out (one that is too slow is kept beside its
    report), ``ValueError`` for a folder that cannot be written or a missing tool.
    """
    flow = flow_of(board)
    text, manifest = emit(discover()[board.unit(unit)], params)
    sources = {f"{manifest['module']}.v": text, f"{TOP}.v": flow.top(board, manifest)}
    constraints = (CONSTRAINTS / board.constraints).read_text(encoding="utf-8")
    with cli.write_files(folder) as write:
        about = {f"{manifest['module']}.json": manifest_text(manifest)}
        for name, content in {**sources, **about, board.constraints: constraints}.items():
            write(folder / name, content)
    job = Job(board, part, folder, tuple(sources), board.constraints, TOP, manifest)
    job.remove("report.json")
    result = flow.run(job)
    report = {
        "schema": SCHEMA,
        "generator": {"name": "bitloom", "version": __version__},
        "board": board.name,
        "part": part.name,
        "device": part.device,
        "unit": manifest["unit"],
        "parameters": manifest["parameters"],
        "sources": {name: _sha256(content.encode()) for name, content in sources.items()},
        **result,
        "bitstream": _described(folder / result["bitstream"]),
        "tools": {name: tools.version(name) for name in flow.TOOLS if name != "make"},
    }
    with cli.write_files() as write:
        write(folder / "report.json", json.dumps(report, indent=2) + "\n")
    for name, clock in report["clocks"].items():
        if not clock["met"]:
            raise BuildError(
                f"timing is not met: {name} reaches {clock['achieved_mhz']} MHz of"
                f" {clock['constraint_mhz']} MHz; see {folder / 'report.json'}"
            )
    return report


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _described(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"file": path.name, "bytes": len(content), "sha256": _sha256(content)}


def summary(report: Mapping[str, Any], folder: Path) -> str:
    """Return the report in one line."""
    clocks = (
        f"{name} {clock['achieved_mhz']:g} MHz (needs {clock['constraint_mhz']:g})"
        for name, clock in report["clocks"].items()
    )
    used = sorted(report["utilisation"].items(), key=lambda r: -r[1]["used"] / r[1]["available"])
    cells = (f"{cell} {count['used']}/{count['available']}" for cell, count in used[:4])
    return (
        f"{folder / report['bitstream']['file']}: {report['device']}, {', '.join(clocks)},"
        f" {', '.join(cells)}"
    )

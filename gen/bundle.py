# SPDX-License-Identifier: Apache-2.0
"""The folder that ``-o`` writes: a unit with all that a stranger needs to use and check it."""

import importlib
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np

from gen import __version__
from gen.emit import manifest_text
from gen.ip import interfaces, ip_tcl
from gen.ip_xact import component_xml
from gen.registers import register_files

__all__ = ["bundle", "golden_vectors"]

_BEATS = 64
_JOBS = 6  #: Of matrix engines, beside the model's edge shapes.


def bundle(verilog: str, manifest: dict[str, Any]) -> dict[str, str]:
    """Return file name -> text: Verilog, manifest, FuseSoC core and a smoke test with vectors.

    A unit without streams or cells that the smoke test knows comes without one. A unit with AXI
    comes with what makes the folder an IP repository of Vivado's, one whose golden model knows its
    registers with what :mod:`gen.registers` makes of them.
    """
    module = manifest["module"]
    files = {f"{module}.v": verilog}
    vectors = golden_vectors(manifest)
    if vectors:
        files[f"{module}.vectors.json"] = json.dumps(vectors) + "\n"
        smoke = resources.files("gen") / "smoke_test.py"
        files[f"test_{module}.py"] = smoke.read_text(encoding="utf-8")
    files[f"{module}.core"] = _core(manifest, bool(vectors))
    if interfaces(manifest):
        files |= {f"{module}_ip.tcl": ip_tcl(manifest), "component.xml": component_xml(manifest)}
    registers_of = getattr(importlib.import_module(manifest["golden"]), "registers_of", None)
    if registers_of:
        files |= register_files(registers_of(manifest), module)
    manifest = {**manifest, "files": sorted([*files, f"{module}.json"])}
    files[f"{module}.json"] = manifest_text(manifest)
    return files


def golden_vectors(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return rows of port values in and out, from the unit's golden model; None if it has none.

    Of a unit with several input streams, a matrix engine, the rows are those of each stream.
    """
    parameters = manifest["parameters"]
    golden = importlib.import_module(manifest["golden"])
    stream = bool(manifest["streams"])
    if sum(entry["dir"] == "in" for entry in manifest["streams"]) > 1:
        packets = golden.vectors(parameters, np.random.default_rng(0), _JOBS)
        return {"streams": {**_beats(packets), **_beats(golden.run(parameters, packets))}}
    if not stream and parameters.get("core") not in ("accumulate", "dot"):
        return None
    beats = golden.vectors(parameters, np.random.default_rng(0), _BEATS)
    ports = {port["name"]: port for port in manifest["ports"]}
    inputs = _rows(beats, ports, "i_" if stream else "")
    outputs = _rows(golden.run(parameters, beats), ports, "o_" if stream else "")
    if not stream and parameters["core"] == "accumulate":
        return _pipelined(inputs, outputs, manifest["latency"])
    return {"inputs": inputs, "outputs": outputs}


def _beats(streams: Mapping[str, Mapping[str, Any]]) -> dict[str, list[dict[str, int]]]:
    """Return one row of port values for each beat of each stream."""
    return {
        name: [
            {f"{name}_{field}": int(word) for field, word in zip(fields, row, strict=True)}
            for row in zip(*fields.values(), strict=True)
        ]
        for name, fields in streams.items()
    }


def _rows(
    fields: Mapping[str, Any], ports: Mapping[str, dict[str, Any]], prefix: str
) -> list[dict[str, int]]:
    """Return one row of port values for each beat or result."""
    count = len(next(iter(fields.values())))
    return [
        {f"{prefix}{n}": _packed(values[k], ports[f"{prefix}{n}"]) for n, values in fields.items()}
        for k in range(count)
    ]


def _pipelined(
    inputs: list[dict[str, int]], outputs: list[dict[str, int]], latency: int
) -> dict[str, Any]:
    """Return rows for a cell whose stages are all enabled: ``clr`` and sums come later."""
    delay = latency - 1
    rows = []
    for k in range(len(inputs) + delay):
        arrived = inputs[max(k - delay, 0)]
        entering = inputs[min(k, len(inputs) - 1)]
        rows.append({**entering, "en": (1 << latency) - 1, "clr": arrived["clr"]})
    return {"inputs": rows, "outputs": [{}] * delay + outputs}


def _packed(codes: Any, port: Mapping[str, Any]) -> int:
    """Return one port value from the codes of its lanes, lane 0 in the low bits."""
    bits = port["width"] // port.get("lanes", 1)
    lanes = enumerate(np.atleast_1d(codes))
    return sum(int(code) % (1 << bits) << bits * lane for lane, code in lanes)


def _core(manifest: Mapping[str, Any], smoke: bool) -> str:
    """Return the FuseSoC description (CAPI2)."""
    module = manifest["module"]
    lines = [
        "CAPI=2:",
        f"name: ::{module}:{__version__}",
        f"description: {manifest['summary']}",
        "filesets:",
        "  rtl:",
        f"    files: [{module}.v]",
        "    file_type: verilogSource",
    ]
    if smoke:
        lines += [
            "  smoke:",
            "    files:",
            f"      - test_{module}.py: {{file_type: user, copyto: test_{module}.py}}",
            f"      - {module}.json: {{file_type: user, copyto: {module}.json}}",
            f"      - {module}.vectors.json: {{file_type: user, copyto: {module}.vectors.json}}",
        ]
    lines += [
        "targets:",
        "  default:",
        "    filesets: [rtl]",
        f"    toplevel: {module}",
        "  lint:",
        "    flow: lint",
        "    flow_options: {tool: verilator, verilator_options: [--lint-only, -Wno-fatal]}",
        "    filesets: [rtl]",
        f"    toplevel: {module}",
    ]
    if smoke:
        lines += [
            "  sim:",
            "    flow: sim",
            f"    flow_options: {{tool: icarus, cocotb_module: test_{module}, timescale: 1ns/1ps}}",
            "    filesets: [rtl, smoke]",
            f"    toplevel: {module}",
        ]
    return "\n".join(lines) + "\n"

# SPDX-License-Identifier: Apache-2.0
"""A small matrix engine in plain Verilog, with faults to choose from, and its golden model."""

from pathlib import Path
from typing import Any

from sim.golden.mpgemm.array import faulty, run, vectors

__all__ = ["FAULTS", "MANIFEST", "cycles", "faulty", "run", "source", "vectors"]

#: What breaks each, as the proof (None: it has no property for it) and the bench say it.
FAULTS = {
    "LOST_ROW": ("out_rows_value", "on m_axis_out"),
    "REPEATED_ROW": (None, "column 1 of the tile on m_axis_out_tdata"),
    "WRONG_KEEP": ("out_keep_value", "on m_axis_out_tkeep"),
    "VALID_DROPS": ("out_valid_kept", "fell before its result was taken"),
    "PAYLOAD_CHANGES": ("out_payload_kept", "changed while it waited"),
    "VALID_NEEDS_READY": ("depends combinationally", None),
    "READY_FOLLOWS_VALID": ("depends combinationally", None),
    "AFTER_ERROR": ("out_not_early", "on m_axis_out"),
    "HANG": ("out_in_time", "then none for"),
    "SLOW": (None, "the golden model says"),
}

_STREAMS = {
    "s_axis_job": ("in", {"tdata": 64}),
    "s_axis_act": ("in", {"tdata": 8, "tlast": 1}),
    "s_axis_wgt": ("in", {"tdata": 8, "tlast": 1}),
    "m_axis_out": ("out", {"tdata": 16, "tkeep": 2, "tuser": 4, "tlast": 1}),
}


def _port(stream: str, field: str, direction: str, width: int, role: str) -> dict[str, Any]:
    name, signed = f"{stream}_{field}", False
    return {
        "name": name,
        "dir": direction,
        "width": width,
        "signed": signed,
        "role": role,
        "stream": stream,
    }


def _ports() -> list[dict[str, Any]]:
    ports: list[dict[str, Any]] = [
        {"name": "aclk", "dir": "in", "width": 1, "role": "clock"},
        {"name": "aresetn", "dir": "in", "width": 1, "role": "reset"},
    ]
    for name, (way, fields) in _STREAMS.items():
        back = "out" if way == "in" else "in"
        ports.append(_port(name, "tvalid", way, 1, "valid"))
        ports.append(_port(name, "tready", back, 1, "ready"))
        ports += [_port(name, field, way, width, "payload") for field, width in fields.items()]
    return ports


MANIFEST: dict[str, Any] = {
    "unit": "engine",
    "module": "engine",
    "golden": "tests.sim.bench.engine",
    "parameters": {
        "dataflow": "broadcast",
        "format": "int2",
        "act": "int2",
        "rows": 2,
        "columns": 2,
        "lanes": 1,
        "max_k": 7,
        "acc_bits": 6,
        "pipeline": 0,
        "window": None,
    },
    "clock": {
        "name": "aclk",
        "edge": "rising",
        "reset": "aresetn",
        "reset_active": "low",
        "reset_kind": "synchronous",
    },
    "ports": _ports(),
    "streams": [
        {
            "name": name,
            "dir": way,
            "valid": f"{name}_tvalid",
            "ready": f"{name}_tready",
            "fields": [f"{name}_{field}" for field in fields],
        }
        for name, (way, fields) in _STREAMS.items()
    ],
    "latency": 2,
    "beats_per_cycle": 0.5,
    "combinational_paths": [],
    "contract": {"tile_interval": 1},
}


def cycles(parameters: dict[str, Any], m: int, n: int, k: int) -> int:
    """A step takes two cycles, except the first of a tile, a row one, a job three beside them."""
    columns = -(-n // parameters["columns"])
    return 3 + columns * (m + -(-m // parameters["rows"]) * (2 * k - 1))


def source(fault: str | None = None) -> str:
    """Return the Verilog, with one of :data:`FAULTS`."""
    text = (Path(__file__).parent / "engine.v").read_text(encoding="utf-8")
    return f"`define {fault}\n{text}" if fault else text

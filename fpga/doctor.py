# SPDX-License-Identifier: Apache-2.0
"""What is installed, and what is missing for which job."""

import importlib
from typing import Any

from fpga import board as boards
from fpga import tools
from fpga.synth.lut import FAMILIES

__all__ = ["examine", "render"]

#: Of use with every board, but no part of a build.
_COMFORTS = ("openfpgaloader",)


def _jobs(board: str | None) -> dict[str, tuple[str, ...]]:
    """Return for each job, as a person types it, the tools that it needs."""
    chosen = [boards.find(board)] if board else list(boards.discover().values())
    found = {
        f"make fpga BOARD={b.name}": importlib.import_module(f"fpga.flows.{b.flow}").TOOLS
        for b in chosen
    }
    if board is None:
        for name, family in FAMILIES.items():
            needs = ("yosys", family.nextpnr) if family.nextpnr else ("yosys",)
            found[f"python -m fpga report UNIT --target {name}"] = needs
        found["python -m fpga report UNIT --target gates"] = ("yosys",)
    return found


def examine(board: str | None = None) -> dict[str, Any]:
    """Return the tools and the jobs that need them, as JSON objects.

    A tool has ``name``, ``version``, ``purpose`` and ``install``; a job ``name``, ``needs``,
    ``missing`` and ``ready``. The version of a tool that is present but does not tell is ``"?"``,
    of a missing one ``None``. With ``board``, only that board's job and the tools of use with it;
    ``ValueError`` if there is no such board.
    """
    jobs = _jobs(board)
    wanted = set(tools.TOOLS)
    if board:
        wanted = {name for needs in jobs.values() for name in needs} | set(_COMFORTS)
    rows = []
    for name, tool in tools.TOOLS.items():
        if name in wanted:
            rows.append(
                {
                    "name": name,
                    "version": (tools.version(name) or "?") if tools.find(name) else None,
                    "purpose": tool.purpose,
                    "install": tool.install,
                }
            )
    present = {row["name"] for row in rows if row["version"]}
    return {
        "tools": rows,
        "jobs": [
            {
                "name": name,
                "needs": list(needs),
                "missing": [need for need in needs if need not in present],
                "ready": present.issuperset(needs),
            }
            for name, needs in jobs.items()
        ],
    }


def render(findings: dict[str, Any]) -> str:
    """Return the findings of :func:`examine` as text for a terminal."""
    rows = [(t["name"], t["version"] or "missing", t["purpose"]) for t in findings["tools"]]
    lines = _columns([("tool", "version", "for"), *rows])
    states = [
        (job["name"], "ready" if job["ready"] else "needs " + ", ".join(job["missing"]))
        for job in findings["jobs"]
    ]
    lines += ["", *_columns([("job", "state"), *states])]
    absent = [(t["name"], t["install"]) for t in findings["tools"] if not t["version"]]
    if absent:
        lines += ["", *_columns([("missing", "to get it"), *absent])]
    return "\n".join(lines) + "\n"


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]

# SPDX-License-Identifier: Apache-2.0
"""Records of :mod:`fpga.report` as aligned text for a terminal."""

from collections.abc import Sequence
from typing import Any

__all__ = ["render"]

#: Resources shown even where none is used.
_ALWAYS = frozenset({"LUT", "LUT4", "FF", "CARRY", "CARRY4", "CCU2C", "LUT4eq", "DSP", "BRAM"})


def render(records: Sequence[dict[str, Any]]) -> str:
    """Return one block of lines for each record, and a heading for each set of parameters."""
    lines: list[str] = []
    last = None
    for record in records:
        heading = _heading(record)
        if heading != last:
            lines += [heading]
            last = heading
        lines += ["", *_aligned(_rows(record))]
        lines += [f"  note: {note}" for note in record["notes"]]
        lines.append("  " + ", ".join(f"{k} {v or '?'}" for k, v in record["tools"].items()))
    return "\n".join(lines) + "\n"


def _heading(record: dict[str, Any]) -> str:
    # The targets are headings of their own.
    given = (record["parameters"] or {}).items()
    words = [f"{k}={v}" for k, v in given if v not in (None, False) and k != "target"]
    return " ".join([record["unit"] or record["module"], *words])


def _rows(record: dict[str, Any]) -> list[list[str]]:
    points: list[dict[str, Any]] = record["points"]
    if points[0]["area"]:
        return _gate_rows(record, points)
    names = list(dict.fromkeys(name for point in points for name in point["counts"]))
    names = [n for n in names if n in _ALWAYS or any(p["counts"].get(n) for p in points)]
    device = f" {record['device']}" if record["device"] else ""
    rows = [[record["target"] + device, *names]]
    rows += [[p["name"], *(str(p["counts"].get(n, 0)) for n in names)] for p in points]
    if seeds := record["options"]["seeds"]:
        rows[0].append("Fmax/MHz")
        for row, point in zip(rows[1:], points, strict=True):
            row.append(f"{point['fmax']['median']:.1f}" if point["fmax"] else "-")
        rows[0].append("seeds")
        for row, point in zip(rows[1:], points, strict=True):
            every = point["fmax"]["all"] if point["fmax"] else []
            spread = f" ({min(every):.1f} ... {max(every):.1f})" if len(every) > 1 else ""
            row.append(f"{seeds}{spread}" if every else "-")
    return rows


def _gate_rows(record: dict[str, Any], points: list[dict[str, Any]]) -> list[list[str]]:
    names = ", ".join(file["name"] for file in record["options"]["liberty"])
    area, delay = points[0]["area"]["unit"], points[0]["delay"]["unit"]
    rows = [[f"gates ({names})", f"area/{area}", "sequential", f"delay/{delay}", "cells", "from"]]
    for point in points:
        total, sequential = point["area"]["total"], point["area"]["sequential"]
        share = f"{sequential:.1f} ({sequential / total:.0%})" if total else "-"
        value, cells = f"{point['delay']['value']:.1f}", str(sum(point["counts"].values()))
        rows.append([point["name"], f"{total:.1f}", share, value, cells, point["recipe"]])
    return rows


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        first = row[0] if number == 0 else "  " + row[0]
        cells = [first.ljust(widths[0] + 2)]
        for i, cell in enumerate(row[1:], 1):
            left = rows[0][i] in ("from", "seeds")
            cells.append(cell.ljust(widths[i]) if left else cell.rjust(widths[i]))
        lines.append("  ".join(cells).rstrip())
    return lines

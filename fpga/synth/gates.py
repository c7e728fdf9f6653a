# SPDX-License-Identifier: Apache-2.0
"""Mapping to a library of standard cells: area and combinational delay.

One call of ABC is one throw: its scripts, and Yosys's two styles of multipliers, differ by tens of
percent on the same module, and which is best depends on the module. So all are tried; the smallest
result is the *area* point, the one with the least delay the *fast* point.
"""

import gzip
import hashlib
import re
import zlib
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from fpga import tools
from fpga.synth.yosys import DUT, Design

__all__ = ["Library", "generic", "points", "read_liberty"]


@dataclass(frozen=True)
class Library:
    """Cells to map to.

    Parameters
    ----------
    names, texts
        Name and Liberty text of each file.
    area_unit, delay_unit
        Names of the units of area and delay.
    picoseconds
        How many of the picoseconds that ABC counts make one unit of delay.
    sizes
        Whether cells come in several strengths, so that buffers and sizes should be chosen.
    """

    names: tuple[str, ...]
    texts: tuple[str, ...]
    area_unit: str = "library units"
    delay_unit: str = "ps"
    picoseconds: float = 1.0
    sizes: bool = True

    @cached_property
    def cells(self) -> frozenset[str]:
        """Names of all cells."""
        pattern = re.compile(r"\bcell\s*\(\s*\"?([^\s\")]+)")
        return frozenset(name for text in self.texts for name in pattern.findall(text))

    @property
    def identity(self) -> list[dict[str, str]]:
        """Name and content hash of each file."""
        return [
            {"name": name, "sha256": hashlib.sha256(text.encode()).hexdigest()}
            for name, text in zip(self.names, self.texts, strict=True)
        ]


def generic() -> Library:
    """Return the project's own library: area in gate equivalents, delay in NAND2 delays."""
    text = (resources.files("fpga") / "cells.lib").read_text(encoding="utf-8")
    return Library(("cells.lib",), (text,), "GE", "NAND2", 1000.0, sizes=False)


def read_liberty(paths: list[Path]) -> Library:
    """Return the library in the Liberty files ``paths``, each plain or compressed by gzip.

    Raises ``ValueError`` for a file that cannot be read or is not Liberty.
    """
    texts = []
    for path in paths:
        try:
            raw = path.read_bytes()
            text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("latin-1")
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(f"cannot read the Liberty file {str(path)!r}: {reason}") from None
        if not re.search(r"^\s*library\s*\(", text, re.M) or not re.search(r"\bcell\s*\(", text):
            raise ValueError(f"{str(path)!r} is not a Liberty file with cells")
        texts.append(text)
    return Library(tuple(path.name for path in paths), tuple(texts))


_LEAN = "strash; ifraig; scorr; dc2"
#: Name -> (ABC commands, whether speed is the aim).
_SCRIPTS: dict[str, tuple[str, bool]] = {
    "area-flow": (f"{_LEAN}; &get -n; &st; &dch -f; &nf -R 1000 -F 500; &put", False),
    "area-cuts": (f"{_LEAN}; dch -f; amap -m", False),
    "fast-choices": (f"{_LEAN}; &get -n; &st; &synch2; &dch -f; &nf -p; &put", True),
    "fast-lut": ("strash; &get -n; &st; &if -g -K 6; &synch2; &dch -f; &nf; &put", True),
    # Sized libraries only: it fails an assertion of ABC on libraries with one size of each cell.
    "fast-sized": (f"{_LEAN}; dch -f; map -B 0.9", True),
}
_SIZING = {
    False: "buffer -c -N 16; dnsize -D 100000",
    True: "buffer -c -N 8; upsize -D 100; dnsize -D 100",
}


def _abc(name: str, library: Library) -> str:
    commands, fast = _SCRIPTS[name]
    steps = f"{commands}; topo" + (f"; {_SIZING[fast]}" if library.sizes else "")
    # ABC's own output reaches nobody but a file that it opens itself.
    steps += f"; set abcout {name}.sta; stime -p; unset abcout"
    return steps.replace("; ", "\n") + "\n"


def points(design: Design, library: Library) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the area point and the fast point, and a note for each try that failed.

    A point has ``name``, ``area`` and ``delay``, the ``counts`` of cells and the ``recipe`` that
    made it. Raises :class:`fpga.tools.ToolError` when every try fails or the library lacks a cell.
    """
    files = []
    for index, text in enumerate(library.texts):
        files.append(f"lib{index}.lib")
        (design.folder / files[-1]).write_text(text, encoding="latin-1")
    options = " ".join(f"-liberty {file}" for file in files)
    found: list[dict[str, Any]] = []
    failed: list[tools.ToolError] = []
    for style in ("default", "booth") if design.multiplies else ("default",):
        design.yosys(
            f"gates_{style}",
            f"read_rtlil base.il\n"
            f"synth -flatten -noabc -top {DUT} {'-booth' if style == 'booth' else ''}\n"
            f"dfflibmap {options}\nopt\nwrite_rtlil gates_{style}.il\n",
        )
        for name in _SCRIPTS:
            if name == "fast-sized" and not library.sizes:
                continue
            try:
                found.append(_map(design, library, options, style, name))
            except tools.ToolError as error:
                failed.append(error)
    if not found:
        raise failed[0]
    notes = [f"one try left out: {error}" for error in failed]
    best = [
        ("area", min(found, key=lambda p: (p["area"]["total"], p["delay"]["value"]))),
        ("fast", min(found, key=lambda p: (p["delay"]["value"], p["area"]["total"]))),
    ]
    return [{"name": name, **point} for name, point in best], notes


def _map(design: Design, library: Library, options: str, style: str, name: str) -> dict[str, Any]:
    timing = design.folder / f"{name}.sta"
    timing.unlink(missing_ok=True)
    (design.folder / f"{name}.abc").write_text(_abc(name, library), encoding="utf-8")
    design.yosys(
        f"abc_{style}_{name}",
        f"read_rtlil gates_{style}.il\nabc {options} -script {name}.abc\nopt_clean -purge\n"
        f"tee -o cells.json stat -json {options}\n",
    )
    result = design.statistics("cells")
    counts = dict(sorted(result.get("num_cells_by_type", {}).items()))
    counts.pop("$scopeinfo", None)
    if lacking := [cell for cell in counts if cell not in library.cells]:
        raise tools.ToolError(f"{', '.join(library.names)} has no cell for {', '.join(lacking)}")
    # A module of flip-flops alone leaves ABC nothing to do, and no file.
    text = timing.read_text(encoding="utf-8") if timing.exists() else ""
    delay = re.search(r"Delay\s*=\s*([\d.]+)\s*ps", text)
    return {
        "area": {
            "total": round(float(result.get("area") or 0), 3),
            "sequential": round(float(result.get("sequential_area") or 0), 3),
            "unit": library.area_unit,
        },
        "delay": {
            "value": round(float(delay[1]) / library.picoseconds, 3) if delay else 0.0,
            "unit": library.delay_unit,
        },
        "counts": counts,
        "recipe": f"{style} multiplier, {name}" if design.multiplies else name,
    }

# SPDX-License-Identifier: Apache-2.0
"""What a build needs to know of a board, and how the boards are found."""

import importlib
import pkgutil
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import fpga.boards

__all__ = ["CONSTRAINTS", "Board", "Part", "discover", "find"]

#: Folder of the constraint files, one for each board.
CONSTRAINTS = Path(__file__).resolve().parent.parent / "constraints"


@dataclass(frozen=True)
class Part:
    """One FPGA that a board is sold with."""

    name: str  #: What its users call it, as in ``PART=85F``.
    device: str  #: The maker's ordering code.
    options: tuple[str, ...] = ()  #: What selects it in nextpnr.
    board_part: str = ""  #: Vivado's name of board and preset.
    cells: dict[str, int] = field(default_factory=dict)  #: What it has, where no tool says so.


@dataclass(frozen=True)
class Board:
    """One board. A module of :mod:`fpga.boards` defines one as ``BOARD``."""

    name: str  #: As in ``BOARD=ulx3s``; also the stem of its constraint file.
    summary: str  #: One line for the catalogue.
    flow: str  #: Module of :mod:`fpga.flows` that builds for it.
    parts: tuple[Part, ...]  #: The first is the default.
    #: Generator units that can be put on the board, each with its parameters there, those that are
    #: not the unit's own defaults; the first unit is the default.
    units: dict[str, dict[str, Any]]
    constraints: str  #: File in :data:`CONSTRAINTS`.
    clock_hz: int  #: Clock that drives the unit.
    leds: int  #: User LEDs.
    leds_active_low: bool = False
    button_active_low: bool = False  #: Sense of the button that resets the design.

    def part(self, name: str | None = None) -> Part:
        """Return the part called ``name``, whatever its case. Raises ``ValueError`` if unknown."""
        if name is None:
            return self.parts[0]
        for part in self.parts:
            if part.name.lower() == name.lower():
                return part
        names = ", ".join(p.name for p in self.parts)
        raise ValueError(f"board {self.name} has part {names}, not {name!r}")

    def unit(self, name: str | None = None) -> str:
        """Return the unit called ``name``, the first without one. Raises ``ValueError``."""
        if name is None:
            return next(iter(self.units))
        if name not in self.units:
            names = ", ".join(self.units)
            raise ValueError(f"board {self.name} has unit {names}, not {name!r}")
        return name


@cache
def discover() -> dict[str, Board]:
    """Return every board of :mod:`fpga.boards`, in order of name.

    Raises ``TypeError`` for a module without a ``BOARD``.
    """
    boards: dict[str, Board] = {}
    for info in sorted(pkgutil.iter_modules(fpga.boards.__path__), key=lambda i: i.name):
        board = getattr(importlib.import_module(f"fpga.boards.{info.name}"), "BOARD", None)
        if not isinstance(board, Board):
            raise TypeError(f"fpga/boards/{info.name}.py must define BOARD = Board(...)")
        boards[board.name] = board
    return boards


def find(name: str) -> Board:
    """Return the board called ``name``. Raises ``ValueError`` if there is none."""
    boards = discover()
    if name not in boards:
        raise ValueError(f"board must be one of {', '.join(boards)}, not {name!r}")
    return boards[name]

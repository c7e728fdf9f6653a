# SPDX-License-Identifier: Apache-2.0
"""What every flow is given, and what it may complain about."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpga.board import Board, Part

__all__ = ["BuildError", "Job", "to_terminal"]


class BuildError(Exception):
    """The tools could not make a working bitstream. The text is one line."""


def to_terminal(stage: str) -> None:
    """Show on a terminal what is being done; say nothing to a file or a pipe."""
    if sys.stderr.isatty():
        print(f"{stage} ...", file=sys.stderr)


@dataclass(frozen=True)
class Job:
    """One build: the sources lie in ``folder`` already."""

    board: Board
    part: Part
    folder: Path
    sources: tuple[str, ...]  #: Verilog files, relative to ``folder``.
    constraints: str  #: Constraint file, relative to ``folder``.
    top: str  #: Module at the top.
    manifest: Mapping[str, Any]  #: Of the unit.
    progress: Callable[[str], None] = to_terminal

    @property
    def name(self) -> str:
        """Stem of every product."""
        return self.board.name

    @property
    def clock(self) -> str:
        """Name of the unit's clock, and of the top's."""
        name: str = self.manifest["clock"]["name"]
        return name

    def edam(self, constraint_type: str, options: dict[str, Any]) -> dict[str, Any]:
        """Return edalize's description of this build."""
        files = [{"name": name, "file_type": "verilogSource"} for name in self.sources]
        files.append({"name": self.constraints, "file_type": constraint_type})
        return {
            "name": self.name,
            "toplevel": self.top,
            "files": files,
            "flow_options": options,
        }

    def remove(self, *names: str) -> None:
        """Delete products of an earlier build, which ``make`` might take for this one's."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

# SPDX-License-Identifier: Apache-2.0
"""Values of the options that several commands of ``sim`` have in common."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.bench.gtkw import save_file

__all__ = ["Waves", "count", "place_waves", "read_text"]


def count(name: str, text: str, least: int, most: int = 9_999_999) -> int:
    """Return the integer that ``text`` is. Raises ``ValueError`` naming the option ``name``."""
    plain = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not plain or not least <= int(text) <= most:
        raise ValueError(f"{name} must be an integer from {least} to {most}, not {text[:40]!r}")
    return int(text)


def read_text(name: str) -> str:
    """Return the content of the text file ``name``. Raises ``ValueError`` if there is none."""
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"cannot read {name!r}: {reason}") from None


@dataclass(frozen=True)
class Waves:
    """Where the waveform of a run is kept, and beside it the save file for GTKWave."""

    path: Path

    @property
    def save(self) -> Path:
        """Path of the save file."""
        return Path(f"{self.path}.gtkw")

    def keep(self, manifest: Mapping[str, Any], made: Path | None) -> None:
        """Copy the waveform ``made``, if there is one, and write the save file."""
        if made is not None and made.exists():
            shutil.copyfile(made, self.path)
        self.save.write_text(save_file(manifest, self.path.name), encoding="utf-8")

    def __str__(self) -> str:
        return f"{self.path} (view: gtkwave {self.save})"


def place_waves(name: str | None, simulator: str) -> Waves | None:
    """Return the place of a waveform, ``None`` if none is wanted.

    Raises ``ValueError`` if it cannot be written, or not in the format of ``simulator``.
    """
    if name is None:
        return None
    path, suffix = Path(name), {"icarus": ".fst", "verilator": ".vcd"}[simulator]
    if path.suffix != suffix:
        raise ValueError(f"{simulator} writes {suffix[1:].upper()}: waves must end in {suffix}")
    waves = Waves(path)
    try:
        for file in (waves.path, waves.save):
            new = not file.exists()
            with file.open("ab"):
                pass
            # Whether there will be anything to keep is not known yet.
            if new:
                file.unlink()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"cannot write {name!r}: {reason}") from None
    return waves

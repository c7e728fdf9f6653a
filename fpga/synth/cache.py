# SPDX-License-Identifier: Apache-2.0
"""Records of earlier reports, found again by the content of all that decides them."""

import contextlib
import functools
import hashlib
import json
import os
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from fpga import tools

__all__ = ["folder", "key", "load", "store"]


@functools.cache
def _recipe() -> str:
    """Return a hash of the recipes themselves: whoever changes one starts anew."""
    digest = hashlib.sha256()
    sources = [*resources.files("fpga.synth").iterdir(), resources.files("fpga") / "report.py"]
    for item in sorted(sources, key=lambda i: i.name):
        if item.name.endswith(".py"):
            digest.update(item.name.encode() + b"\0" + item.read_bytes())
    return digest.hexdigest()


def key(question: dict[str, Any]) -> str:
    """Return the name under which the answer to ``question``, a JSON object, is kept."""
    text = json.dumps([_recipe(), question], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def folder() -> Path:
    """Return the folder of all records; it may not exist yet."""
    return tools.cache_folder() / "report"


def _place(name: str) -> Path:
    return folder() / name[:2] / f"{name}.json"


def load(name: str) -> dict[str, Any] | None:
    """Return the record kept under ``name``, ``None`` if there is none that can be read."""
    try:
        found = json.loads(_place(name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def store(name: str, record: dict[str, Any]) -> None:
    """Keep ``record`` under ``name``: whole or not at all. A cache that refuses is no error."""
    place = _place(name)
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=place.parent, suffix=".part")
        try:
            with open(handle, "w", encoding="utf-8") as file:
                json.dump(record, file)
            os.replace(part, place)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise

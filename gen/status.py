# SPDX-License-Identifier: Apache-2.0
"""How far a unit has been verified, computed from recorded evidence."""

import json
from functools import cache
from importlib import resources
from typing import Any

from gen.unit import Unit

__all__ = ["LADDER", "evidence_of", "status_of"]

#: Status -> the evidence it needs beyond the status before it.
LADDER: dict[str, tuple[str, ...]] = {
    "S1": ("oracle", "simulation", "parsers"),
    "S2": ("formal", "throughput", "largest_sum", "mutation", "area"),
    "S3": ("model_data",),
}


@cache
def evidence_of(name: str) -> dict[str, Any]:
    """Return the recorded evidence of the unit called ``name``."""
    path = resources.files("gen") / "evidence" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def status_of(unit: Unit) -> str:
    """Return ``S0`` to ``S3``: the highest rung whose evidence, and all below, is recorded."""
    evidence, reached = evidence_of(unit.name), "S0"
    for status, needed in LADDER.items():
        if not all(evidence.get(item, {}).get("passed") for item in needed):
            break
        reached = status
    return reached

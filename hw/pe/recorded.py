# SPDX-License-Identifier: Apache-2.0
"""Areas on record, by which ``--arch auto`` chooses.

``areas.json`` holds ``"weight act target": {architecture: area}``: the bare accumulating cell of
one lane and 256 products, without DSP blocks, in gate equivalents or look-up tables, for the
architectures that take the pair. ``python -m benchmarks areas`` measures it anew.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources

__all__ = ["areas", "smallest"]

_UNITS = {"gates": "GE", "xcup": "LUT", "ecp5": "LUT4", "ice40": "LUT4"}


@cache
def areas() -> Mapping[str, Mapping[str, float]]:
    """Return the record."""
    path = resources.files("hw.pe") / "areas.json"
    record: dict[str, dict[str, float]] = json.loads(path.read_text("utf-8"))
    return record


def smallest(weight: str, act: str, target: str) -> tuple[str, str]:
    """Return the smallest architecture of a format pair on a target, and the reason in words.

    A pair that is not on record is judged by the same weight beside int8, among the architectures
    that take every pair, and without that record goes to shift-add.
    """
    for judged in dict.fromkeys((act, "int8")):
        found = areas().get(f"{weight} {judged} {target}")
        if not found:
            continue
        ranked = sorted(found, key=lambda name: (found[name], name != "shift-add", name))
        if judged != act:
            ranked = [name for name in ranked if name in ("multiply", "shift-add")]
        chosen, other = ranked[:2]
        sizes = f"{found[chosen]:g} {_UNITS[target]} against {found[other]:g} of {other}"
        return chosen, f"as one lane of {weight} x {judged} is on record with {sizes}"
    return "shift-add", "by rule, as this weight is not on record"

# SPDX-License-Identifier: Apache-2.0
"""Areas on record, by which ``--arch auto`` chooses.

``areas.json`` holds ``"weight act target": [multiply, shift-add]``: the bare accumulating cell of
one lane and 256 products, without DSP blocks, in gate equivalents or look-up tables.
``python -m benchmarks areas`` measures it anew.
"""

import json
from functools import cache
from importlib import resources

__all__ = ["areas", "smaller"]

_UNITS = {"gates": "GE", "xcup": "LUT", "ecp5": "LUT4", "ice40": "LUT4"}


@cache
def areas() -> dict[str, tuple[float, float]]:
    """Return the record."""
    path = resources.files("hw.pe") / "areas.json"
    return {key: tuple(pair) for key, pair in json.loads(path.read_text("utf-8")).items()}


def smaller(weight: str, act: str, target: str) -> tuple[str, str]:
    """Return the smaller architecture of a format pair on a target, and the reason in words.

    A pair that is not on record is judged by the same weight beside int8, and without that record
    goes to shift-add.
    """
    for judged in (act, "int8"):
        pair = areas().get(f"{weight} {judged} {target}")
        if pair:
            multiply, shift_add = pair
            names = ("multiply", "shift-add")
            chosen, other = names if multiply < shift_add else names[::-1]
            sizes = f"{min(pair):g} {_UNITS[target]} against {max(pair):g} of {other}"
            return chosen, f"as one lane of {weight} x {judged} is on record with {sizes}"
    return "shift-add", "by rule, as this weight is not on record"

# SPDX-License-Identifier: Apache-2.0
"""Areas on record, by which ``--arch auto`` chooses.

``areas.json`` holds ``"weight act target": {architecture: [area, delay]}``: the bare accumulating
cell of one lane and 256 products, without DSP blocks, in gate equivalents and NAND2 delays, or in
look-up tables, without a delay. It has the architectures that can stand for each other: same ports,
one beat a cycle, exact sums. ``python -m benchmarks areas`` measures it anew.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources

__all__ = ["EVERY_PAIR", "areas", "smallest"]

#: Architectures that take every pair of formats.
EVERY_PAIR = ("shift-add", "multiply", "booth")

_UNITS = {"gates": "GE", "xcup": "LUT", "ecp5": "LUT4", "ice40": "LUT4"}


@cache
def areas() -> Mapping[str, Mapping[str, Sequence[float]]]:
    """Return the record."""
    path = resources.files("hw.pe") / "areas.json"
    record: dict[str, dict[str, list[float]]] = json.loads(path.read_text("utf-8"))
    return record


def _other(arch: str) -> str | None:
    return None if arch in EVERY_PAIR else "it does not take every pair"


def smallest(
    weight: str, act: str, target: str, refusal: Callable[[str], str | None] = _other
) -> tuple[str, str]:
    """Return the smallest architecture of a format pair on a target, and the reason in words.

    ``refusal`` says why an architecture is not to be had, None if it is; by default those of
    :data:`EVERY_PAIR` are. A pair that is not on record is judged by the same weight beside int8,
    among those, and without that record goes to shift-add.
    """
    for judged in dict.fromkeys((act, "int8")):
        found = areas().get(f"{weight} {judged} {target}")
        if not found:
            continue
        names = [name for name in found if judged == act or name in EVERY_PAIR]
        names.sort(key=lambda name: (found[name][0], name != "shift-add", name))
        reasons = [refusal(name) for name in names]
        if None not in reasons:
            return "shift-add", f"as no other takes these parameters: {reasons[0]}"
        place = reasons.index(None)
        other = names[place + 1] if place + 1 < len(names) else names[0]
        size, others = (_size(found[name], target) for name in (names[place], other))
        text = f"smallest on record for one lane of {weight} x {judged}: {size}; {other} {others}"
        if judged != act:
            text += f" ({weight} x {act} is not on record)"
        if place:
            text += f"; {names[0]} is smaller, but {reasons[0]}"
        return names[place], text
    return "shift-add", "by rule, as this weight is not on record"


def _size(entry: Sequence[float], target: str) -> str:
    delay = f" @ {entry[1]:.0f} NAND2 delays" if len(entry) > 1 else ""
    return f"{entry[0]:g} {_UNITS[target]}{delay}"

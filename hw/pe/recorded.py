# SPDX-License-Identifier: Apache-2.0
"""Areas measured once, by which ``--arch auto`` chooses."""

__all__ = ["smaller"]

#: (weight, act, target) -> area of (multiply, shift-add).
AREAS: dict[tuple[str, str, str], tuple[float, float]] = {}


def smaller(weight: str, act: str, target: str) -> tuple[str, str]:
    """Return the smaller architecture of a format pair on a target, and the reason in words."""
    areas = AREAS.get((weight, act, target))
    if areas is None:
        return "shift-add", "by rule: no report of this pair is recorded"
    multiply, shift_add = areas
    names = ("multiply", "shift-add") if multiply <= shift_add else ("shift-add", "multiply")
    least, most = sorted(areas)
    return names[0], f"recorded area {least:g} against {most:g} of {names[1]} on {target}"

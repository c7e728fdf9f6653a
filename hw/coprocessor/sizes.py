# SPDX-License-Identifier: Apache-2.0
"""How large the presets are: what was measured, by ``python -m benchmarks presets``.

``sizes.json`` holds for each of :data:`POINTS` the counts that ``python -m fpga report`` gave.
"""

import json
from functools import cache
from importlib import resources

from hw.coprocessor.params import CoprocessorParams

__all__ = ["POINTS", "expected", "recorded"]

#: Preset, target that it is for, and protection. Missing: ``kv260``, which was not finished.
POINTS = (
    ("tiny", "ice40", "none"),
    ("small", "ecp5", "none"),
    ("small", "ecp5", "secded"),
    ("small", "gowin", "none"),
    ("ultra96", "xcup", "none"),
)


@cache
def recorded() -> dict[tuple[str, str, str], dict[str, float]]:
    """Return the counts of each point."""
    text = (resources.files("hw.coprocessor") / "sizes.json").read_text(encoding="utf-8")
    rows = json.loads(text)
    return {(row["preset"], row["target"], row["protect"]): row["counts"] for row in rows}


def expected(params: CoprocessorParams) -> dict[str, dict[str, float]]:
    """Return the counts of these parameters by target, none where they are no preset's."""
    found = {}
    for (preset, target, protect), counts in recorded().items():
        alike = (params.preset, params.protect) == (preset, protect)
        if alike and params == CoprocessorParams(preset=preset, protect=protect):
            found[target] = counts
    return found

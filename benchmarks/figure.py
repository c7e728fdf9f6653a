# SPDX-License-Identifier: Apache-2.0
"""The README's picture: area of a PE over weight formats, from ``hw/pe/areas.json``.

``python -m benchmarks figure`` writes ``docs/pe_area.svg``, the same bytes from the same areas.
Needs matplotlib (extra ``docs``).
"""

import json
from pathlib import Path

from benchmarks.areas import PATH

__all__ = ["main"]

_OUTPUT = Path(__file__).parents[1] / "docs" / "pe_area.svg"


def main() -> int:
    """Draw the figure."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "bitloom", "svg.fonttype": "path", "font.size": 9})
    areas = json.loads(PATH.read_text())
    figure, axes = plt.subplots(2, 1, figsize=(9.5, 6.2), sharex=True, layout="constrained")
    panels = (
        ("gates", "gate equivalents", "ASIC: generic cells"),
        ("xcup", "LUT6", "UltraScale+, without DSP blocks"),
    )
    order = [key.split()[0] for key in areas if key.endswith(" int8 gates")]
    order.sort(key=lambda name: min(areas[f"{name} int8 gates"]))
    for axis, (target, unit, title) in zip(axes, panels, strict=True):
        pairs = [areas[f"{name} int8 {target}"] for name in order]
        places = range(len(order))
        axis.bar([p - 0.2 for p in places], [m for m, _ in pairs], 0.4, color="#b9c4d0",
                 label="multiply")  # fmt: skip
        axis.bar([p + 0.2 for p in places], [s for _, s in pairs], 0.4, color="#2f6f9f",
                 label="shift-add")  # fmt: skip
        axis.set_ylabel(unit)
        axis.set_title(title, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    axes[1].set_xticks(range(len(order)), order, rotation=60, ha="right")
    figure.suptitle("One accumulating PE, weight format x int8, exact sums of 256 products")
    figure.savefig(_OUTPUT, metadata={"Date": None})
    print(_OUTPUT.relative_to(Path.cwd()) if _OUTPUT.is_relative_to(Path.cwd()) else _OUTPUT.name)
    return 0

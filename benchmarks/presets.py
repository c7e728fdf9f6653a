# SPDX-License-Identifier: Apache-2.0
"""Sizes of the co-processor's presets: ``hw/coprocessor/sizes.json``, ``docs/coprocessor.md``.

``python -m benchmarks presets`` measures them and prints the table of the page. A preset of Zynq
takes many minutes, one that has not changed none.
"""

import json
from pathlib import Path
from typing import Any

from fpga.report import report_unit
from hw.coprocessor.params import CoprocessorParams
from hw.coprocessor.sizes import POINTS, recorded

__all__ = ["HEAD", "PAGE", "RECORD", "main", "measured", "row"]

ROOT = Path(__file__).parents[1]
PAGE, RECORD = ROOT / "docs" / "coprocessor.md", ROOT / "hw" / "coprocessor" / "sizes.json"
HEAD = "| preset | target | MACs per cycle | LUT | FF | BRAM | DSP |\n|---|---|---|---|---|---|---|"
#: What counts as tables, beside them the carry cells that take their place.
LUTS = {"ice40": "LUT4", "ecp5": "LUT4eq", "gowin": "LUT4eq", "xcup": "LUT"}


def measured(preset: str, target: str, protect: str, **options: Any) -> dict[str, float]:
    """Return the counts of a point."""
    given = {"preset": preset} | ({} if protect == "none" else {"protect": protect})
    record = report_unit("coprocessor", given, target, seeds=0, dsp=True, **options)
    counts: dict[str, float] = record["counts"]
    return counts


def row(preset: str, target: str, protect: str) -> str:
    """Return the row of a point in the table of the page."""
    counts = recorded()[preset, target, protect]
    name = f"`{preset}`" + ("" if protect == "none" else f" `--protect {protect}`")
    macs = CoprocessorParams(preset=preset).macs_per_step
    cells = (counts[kind] for kind in (LUTS[target], "FF", "BRAM", "DSP"))
    return f"| {name} | {target} | {macs} | {' | '.join(f'{cell:g}' for cell in cells)} |"


def main() -> int:
    """Measure, record, print."""
    rows = []
    for point in POINTS:
        preset, target, protect = point
        counts = measured(*point, timeout=7200.0)
        rows.append({"preset": preset, "target": target, "protect": protect, "counts": counts})
    RECORD.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    recorded.cache_clear()
    print(HEAD)
    for point in POINTS:
        print(row(*point))
    return 0

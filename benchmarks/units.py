# SPDX-License-Identifier: Apache-2.0
"""Size of the units around a PE: rows for ``docs/benchmarks.md``.

``python -m benchmarks units`` prints a Markdown table. Every row is what ``python -m fpga report``
says of the command in it, without DSP blocks.
"""

import shlex
from pathlib import Path
from typing import Any

from fpga.report import report_unit

__all__ = ["PAGE", "ROWS", "command", "gates", "main", "row"]

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"

#: (unit, parameters); the first of each unit is held to what is measured today by a test.
ROWS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("fma", {"format": "e5m2", "core": "cell"}),
    ("fma", {"format": "e5m2", "addend": "fp32", "result": "fp32", "core": "cell"}),
    ("fma", {"format": "fp16", "core": "cell"}),
    ("mul", {"format": "posit8_2", "core": "cell"}),
    ("mul", {"format": "e4m3", "core": "cell"}),
    ("mul", {"format": "fp16", "core": "cell"}),
    ("quantize", {"source": "fp16", "format": "e2m1", "core": "cell"}),
    ("quantize", {"source": "fp32", "format": "e4m3", "core": "cell"}),
    ("quantize", {"source": "int32", "format": "e4m3", "core": "cell"}),
    ("block-quantize", {"block": "olive4"}),
    ("block-quantize", {"block": "mxfp4", "size": 16}),
    ("block-quantize", {"block": "nvfp4", "size": 4}),
    ("requant", {"multiplier": 1518500250, "shift": 40, "core": "cell"}),
    ("dequant", {"acc_bits": 16, "scale": "int8"}),
    ("array", {"dataflow": "broadcast", "format": "int4", "act": "int4", "rows": 1, "columns": 2}),
    (
        "array",
        {"dataflow": "ws", "format": "int4", "act": "int4", "rows": 2, "columns": 2, "depth": 4},
    ),
    ("mpgemm", {"engine": "lut", "bits": 1, "act": "int4", "rows": 1, "columns": 2, "group": 4}),
    ("lut-table", {"act": "int4", "group": 4}),
)


def command(unit: str, parameters: dict[str, Any]) -> str:
    """Return the unit and its options as they stand in the first column."""
    words = [unit]
    for name, value in parameters.items():
        words += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    return shlex.join(words)


def gates(unit: str, parameters: dict[str, Any], **options: Any) -> str:
    """Return area @ delay of the smallest mapping and delay @ area of the fastest."""
    small, fast = report_unit(unit, parameters, "gates", seeds=0, **options)["points"][:2]
    return (
        f"{small['area']['total']:.0f} @ {small['delay']['value']:.0f} | "
        f"{fast['delay']['value']:.0f} @ {fast['area']['total']:.0f}"
    )


def row(unit: str, parameters: dict[str, Any]) -> str:
    """Return one row of the table."""
    lut = report_unit(unit, parameters, "xcup", dsp=False, seeds=0)["counts"]["LUT"]
    return f"| `{command(unit, parameters)}` | {gates(unit, parameters)} | {lut} |"


def main() -> int:
    """Print the table."""
    print("| unit | GE @ delay | fast: delay @ GE | US+ LUT |\n|---|---|---|---|")
    for unit, parameters in ROWS:
        print(row(unit, parameters), flush=True)
    return 0

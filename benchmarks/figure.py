# SPDX-License-Identifier: Apache-2.0
"""The README's picture: area of a product over formats, for every architecture.

``python -m benchmarks figure`` writes ``docs/pe_area.svg`` with ``fpga compare``.
"""

from pathlib import Path

from gen.cli import main as command

__all__ = ["main"]

_OUTPUT = Path(__file__).parents[1] / "docs" / "pe_area.svg"
_FORMATS = "int8,int6,int4,int3,int2,ternary,e2m1,e2m0,e2m3,e3m2,e4m3,e5m2,posit8_0,nf4,flint4"


def main() -> int:
    """Draw the figure."""
    words = ["--formats", _FORMATS, "--acts", "int8,same,fp16", "--archs", "all"]
    words += ["--targets", "gates,xcup", "--plot", str(_OUTPUT)]
    return command("fpga", "", ["compare", "pe", *words])

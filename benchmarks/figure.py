# SPDX-License-Identifier: Apache-2.0
"""The README's picture: area of a product over formats, for every architecture.

``python -m benchmarks figure`` writes ``docs/pe_area.svg`` with ``fpga compare``. Two architectures
are not in it: ``dsp-packed``, as no DSP block is counted, and ``simd``, whose format is an input.
"""

from pathlib import Path

from gen.cli import main as command
from hw.pe.arch import NAMES

__all__ = ["main"]

_OUTPUT = Path(__file__).parents[1] / "docs" / "pe_area.svg"
_FORMATS = "int8,int4,int2,ternary,e2m1,e4m3,nf4,flint4,posit8_0"


def main() -> int:
    """Draw the figure."""
    archs = ",".join(name for name in NAMES if name not in ("dsp-packed", "simd"))
    words = ["--formats", _FORMATS, "--acts", "int8,same", "--archs", archs]
    words += ["--targets", "gates,xcup", "--no-toggles", "--plot", str(_OUTPUT)]
    return command("fpga", "", ["compare", "pe", *words])

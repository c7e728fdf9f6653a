# SPDX-License-Identifier: Apache-2.0
"""Cocotb side of the exhaustive bench: counts through every input, keeps every output.

Runs inside the simulator. The environment gives the input bits (``BITLOOM_BITS``) and the file
(``BITLOOM_SEEN``) that receives the output of each vector as binary digits, one line each.
"""

import os
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import Timer


@cocotb.test()
async def count(dut: Any) -> None:
    """Drive ``x`` with every value and record ``q``."""
    step = Timer(1, unit="ns")
    x, q = dut.x, dut.q
    lines = []
    for value in range(1 << int(os.environ["BITLOOM_BITS"])):
        x.value = value
        await step
        lines.append(str(q.value))
    Path(os.environ["BITLOOM_SEEN"]).write_text("\n".join(lines), encoding="ascii")

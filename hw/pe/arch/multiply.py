# SPDX-License-Identifier: Apache-2.0
"""Significands meet in a real multiplier."""

from hw.pe.arch import Arch
from hw.pe.pe import OPTIONS, any_pair, plain

ARCH = Arch(
    name="multiply",
    summary="decoded significands meet in a multiplier, which synthesis may map to a DSP block",
    source="textbook",
    cycles="one beat a cycle",
    when="On an FPGA with DSP blocks to spare, or where synthesis brings good multipliers.",
    check=any_pair,
    build=plain,
    options=OPTIONS,
    flow=(("a", "w"), ("decode a", "decode w"), ("significand x significand",),
          ("shift, sign",), ("adder tree",), ("accumulator@",)),
)  # fmt: skip

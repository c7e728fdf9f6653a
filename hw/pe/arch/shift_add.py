# SPDX-License-Identifier: Apache-2.0
"""Rows of shifted activations instead of a multiplier."""

from hw.pe.arch import Arch
from hw.pe.pe import OPTIONS, any_pair, plain

ARCH = Arch(
    name="shift-add",
    summary="every digit of the weight selects a shifted activation; one tree adds all rows",
    source="MixPE (2024); MacSorley (1961) for the digits; Dadda (1965) for the tree",
    cycles="one beat a cycle",
    when="The default for weights of up to 4 bits, on gates and on look-up tables.",
    check=any_pair,
    build=plain,
    options=OPTIONS,
    flow=(("a", "w"), ("decode a", "digits of w"), ("rows 0, ±a, ±2a",),
          ("adder tree or carry chains",), ("accumulator@",)),
)  # fmt: skip

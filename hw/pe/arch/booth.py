# SPDX-License-Identifier: Apache-2.0
"""Radix-4 Booth rows, whatever the width of the significands."""

from hw.pe.arch import Arch
from hw.pe.pe import OPTIONS, any_pair, plain

ARCH = Arch(
    name="booth",
    summary="radix-4 Booth digits of one significand select multiples of the other; one tree adds "
    "all rows",
    source="MacSorley (1961); Dadda (1965) for the tree",
    cycles="one beat a cycle",
    when="For significands of 4 bits and more; half the rows of a multiplier without recoding.",
    check=any_pair,
    build=plain,
    options=OPTIONS,
    flow=(("a", "w"), ("decode a", "Booth digits of w"), ("rows 0, ±a, ±2a",),
          ("Dadda tree or carry chains",), ("accumulator@",)),
    cases=({"format": "int3", "act": "int3", "max_k": 16},),
)  # fmt: skip

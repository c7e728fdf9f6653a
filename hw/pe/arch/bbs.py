# SPDX-License-Identifier: Apache-2.0
"""Weights a bit column a cycle, some columns pruned: BitVert."""

from typing import TYPE_CHECKING

from hw.pe.arch import Arch
from hw.pe.bbs import BBS

if TYPE_CHECKING:
    from hw.pe.params import PEParams


def check(params: "PEParams") -> None:
    """Raise ``ValueError`` for what the architecture does not take."""
    for name, value, needed in (
        ("format", params.weight_format.name, "int8"),
        ("act", params.act_format.name, "int8"),
        ("pipeline", params.pipeline, 0),
    ):
        if value != needed:
            raise ValueError(f"{name} must be {needed} with arch bbs, not {value!r}")
    if params.lanes % 16:
        raise ValueError(f"lanes must be a multiple of 16 with arch bbs, not {params.lanes}")
    pruned = params.zero_columns
    if pruned is not None and (type(pruned) is not int or not 0 <= pruned <= 6):
        raise ValueError(f"zero_columns must be an integer from 0 to 6, not {pruned!r}")


ARCH = Arch(
    name="bbs",
    summary="a column of weight bits a cycle; its ones or its zeros, whichever are fewer, select "
    "the activations that are added",
    source="BitVert: bi-directional bit-level sparsity (2024)",
    cycles="8 - zero_columns cycles a beat",
    when="For int8 weights some of whose bit columns were pruned, where the time saved counts.",
    check=check,
    build=BBS,
    flow=(("a", "column of w"), ("scheduler", "sum of a"), ("4 of 8 activations",),
          ("shift, constant",), ("accumulator@",)),
    options=("zero_columns",),
    typical={"lanes": 16, "zero_columns": 4},
    cores=("stream",),
    golden="sim.golden.pe.bbs",
    cases=({"format": "int8", "lanes": 16, "zero_columns": 5, "max_k": 48},),
)  # fmt: skip

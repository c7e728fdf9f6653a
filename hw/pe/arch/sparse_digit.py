# SPDX-License-Identifier: Apache-2.0
"""A cycle for each non-zero digit of the activations (OPT3 and OPT4C of the bit-weight engines)."""

from amaranth.lib import wiring

from hw.pe.arch import Arch
from hw.pe.integers import check_lanes, check_pipeline, check_plain_integers
from hw.pe.params import PEParams
from hw.pe.sparse_digit import LANES, SparseColumn
from hw.pe.sparse_digit_stream import SparseDigitPE


def _check(params: PEParams) -> None:
    check_plain_integers(params)
    check_lanes(params, LANES)
    check_pipeline(params, 0)


def _build(params: PEParams) -> wiring.Component:
    return SparseDigitPE(params) if params.core == "stream" else SparseColumn(params)


ARCH = Arch(
    name="sparse-digit",
    summary="the non-zero digits of four activations, one a cycle, select multiples of the weights "
    "of all columns",
    source="bit-weight tensor engines, HPCA 2025 (OPT3, OPT4C)",
    cycles="the non-zero digits of four activations, at least one cycle for each digit weight",
    when="For many columns that share activations near 0, at the highest clock.",
    check=_check,
    build=_build,
    flow=(("a", "w"), ("EN-T digits*",), ("sparse encoder",), ("row 0, ±w, ±2w*",),
          ("sum and carries@",), ("adder*",)),
    options=("columns",),
    typical={"lanes": 4, "columns": 8},
    cores=("stream", "accumulate"),
    cases=({"format": "int2", "act": "int2", "lanes": 4, "max_k": 8},
           {"format": "int4", "lanes": 4, "columns": 2, "core": "accumulate"}),
)  # fmt: skip

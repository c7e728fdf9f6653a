# SPDX-License-Identifier: Apache-2.0
"""The accumulator stays in carry-save form (OPT1 of the bit-weight engines)."""

from amaranth.lib import wiring

from hw.pe.arch import Arch
from hw.pe.csa import CarrySave, CarrySavePE
from hw.pe.integers import check_integers, check_pipeline
from hw.pe.params import PEParams


def _check(params: PEParams) -> None:
    check_integers(params)
    check_pipeline(params, 1)


def _build(params: PEParams) -> wiring.Component:
    return CarrySavePE(params) if params.core == "stream" else CarrySave(params)


ARCH = Arch(
    name="csa",
    summary="the sum stays in two words, compressed with each product; one adder outside the loop "
    "resolves it",
    source="bit-weight tensor engines, HPCA 2025 (OPT1); Baugh and Wooley (1973) for the rows",
    cycles="one beat a cycle; a result takes one cycle more",
    when="For integers at a high clock: no carry crosses the accumulator within a cycle.",
    check=_check,
    build=_build,
    flow=(("a", "w"), ("AND rows",), ("Dadda tree",), ("carries cut into segments",),
          ("sum and carries@",), ("adder*",)),
    cores=("stream", "accumulate"),
    cases=({"format": "int2", "act": "int2", "max_k": 8},
           {"format": "int8", "core": "accumulate"}),
)  # fmt: skip

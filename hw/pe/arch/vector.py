# SPDX-License-Identifier: Apache-2.0
"""Products of equal bit weight are summed before a shift (OPT2 of the bit-weight engines)."""

from amaranth.lib import wiring

from hw.pe.arch import Arch
from hw.pe.datapath import check_stages, component
from hw.pe.group import OPTIONS, GroupPE, check_group
from hw.pe.integers import check_integers
from hw.pe.params import PEParams
from hw.pe.vector import VectorDatapath


def _check(params: PEParams) -> None:
    check_integers(params)
    check_stages(params)
    check_group(params)


def _build(params: PEParams) -> wiring.Component:
    return GroupPE(params) if params.group else component(VectorDatapath(params))


ARCH = Arch(
    name="vector",
    summary="for each digit weight one tree sums all lanes; the few sums are shifted and added",
    source="bit-weight tensor engines, HPCA 2025 (OPT2)",
    cycles="one beat a cycle",
    when="For tiles of 8 lanes and more, whose columns share the recoded activations.",
    check=_check,
    build=_build,
    flow=(("a", "w"), ("EN-T digits of a",), ("rows 0, ±w, ±2w",), ("a tree per digit weight",),
          ("shift, add",), ("accumulator@",)),
    options=("columns", *OPTIONS),
    typical={"lanes": 16},
    cases=({"format": "int2", "act": "int2", "lanes": 2, "max_k": 8},),
)  # fmt: skip

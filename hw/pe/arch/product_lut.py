# SPDX-License-Identifier: Apache-2.0
"""A table of all products instead of a multiplier."""

from amaranth.lib import wiring

from hw.pe.arch import Arch
from hw.pe.datapath import check_stages, component
from hw.pe.group import OPTIONS, GroupPE, check_group
from hw.pe.params import PEParams
from hw.pe.product_lut import MOST_BITS, TableDatapath


def _check(params: PEParams) -> None:
    weight, act = params.weight_format, params.act_format
    if weight.bits + act.bits > MOST_BITS:
        raise ValueError(
            f"format and act must have at most {MOST_BITS} bits together with arch product-lut, "
            f"such as int4 and int4, not {weight.name!r} and {act.name!r}"
        )
    if params.act_window:
        raise ValueError(f"window must not be given with arch product-lut, not {params.window!r}")
    check_stages(params)
    check_group(params)


def _build(params: PEParams) -> wiring.Component:
    return GroupPE(params) if params.group else component(TableDatapath(params))


ARCH = Arch(
    name="product-lut",
    summary="a table of all products of two short codes; signs that only negate stay outside it",
    source="DeepGEMM (2023), in software",
    cycles="one beat a cycle",
    when="For code books, which cost a table no more than integers, and pairs of 4-bit floats on "
    "FPGAs, where each bit of a product is one look-up table.",
    check=_check,
    build=_build,
    flow=(("a", "w"), ("table of products", "signs"), ("Dadda tree or carry chains",),
          ("accumulator@",)),
    options=("columns", *OPTIONS),
    cases=({"format": "nf4", "act": "int2", "lanes": 2, "columns": 2, "max_k": 4},
           {"format": "e2m1", "act": "e2m1", "pipeline": 1, "max_k": 4}),
)  # fmt: skip

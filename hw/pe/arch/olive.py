# SPDX-License-Identifier: Apache-2.0
"""Pairs in which an outlier takes the place of its neighbour."""

from typing import Any

from hw.pe.arch import Arch
from hw.pe.datapath import check_stages, component
from hw.pe.olive import FORMATS, PairDatapath
from hw.pe.params import PEParams


def _check(params: PEParams) -> None:
    name = params.weight_format.name
    if name not in FORMATS:
        allowed = ", ".join(FORMATS)
        raise ValueError(f"format must be one of {allowed} with arch olive, not {name!r}")
    if params.act_format != params.weight_format:
        raise ValueError(f"act must be as format with arch olive, {name!r}, not {params.act!r}")
    if params.lanes % 2:
        raise ValueError(f"lanes must be even with arch olive, not {params.lanes}")
    check_stages(params)


def _build(params: PEParams) -> Any:
    built: Any = component(PairDatapath(params))
    form = FORMATS[params.weight_format.name]
    built.notes = (
        *params.notes,
        f"pairs of elements: 1 and {form.bits - 1} zeros marks a victim, its neighbour is an "
        f"outlier of {form.bits - 1 - form.man_bits} exponent and {form.man_bits} mantissa bits, "
        f"bias {form.bias}, up to {form.largest}",
    )
    return built


def _max_product(params: PEParams) -> int:
    # Two outliers that meet fill a pair alone: half of their product for each element.
    form = FORMATS.get(params.weight_format.name)
    return form.largest**2 // 2 if form else 1


ARCH = Arch(
    name="olive",
    summary="outliers take the place of their neighbours; integers with exponents are multiplied",
    source="OliVe (2023)",
    cycles="one beat a cycle",
    when="For 4-bit tensors of transformers, whose few large values would spoil the scale.",
    check=_check,
    build=_build,
    flow=(("pairs of a", "pairs of w"), ("decode", "decode"), ("v times v",), ("shift by e + e",),
          ("Dadda tree or carry chains",), ("accumulator@",)),
    golden="sim.golden.pe.olive",
    max_product=_max_product,
    typical={"lanes": 2},
    cases=({"format": "int4", "act": "int4", "lanes": 2, "max_k": 2},
           {"format": "flint4", "act": "flint4", "lanes": 2, "max_k": 4, "pipeline": 1}),
)  # fmt: skip

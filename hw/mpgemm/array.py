# SPDX-License-Identifier: Apache-2.0
"""The array of processing elements, as its manifest describes it."""

from typing import Any

from amaranth.lib import wiring

from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.engine import Engine

__all__ = ["build", "engine_of"]


def engine_of(params: ArrayParams, core: Any) -> Engine:
    """Return the engine around a core whose sums stay in place."""
    return Engine(params.shape, core, params.new_scaling(), params.row_sums)


def build(params: ArrayParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    component: Any = params.flow.build(params)
    cell, result, dequant = params.cell, params.result, params.dequant
    out: dict[str, Any] = {"format": f"int{result.out_bits}", "lam": cell.lam}
    if dequant is not None:
        exact = {"format": f"int{result.out_bits}", "lam": dequant.y_lam}
        out = exact if dequant.mode == "exact" else {"format": "fp32"}
    act, weight = cell.act_format, cell.weight_format
    facts: dict[str, Any] = {
        "number_formats": {
            "s_axis_act_tdata": {"format": act.name, "lanes": params.shape.act_bits // act.bits},
            "s_axis_wgt_tdata": {
                "format": weight.name,
                "lanes": params.shape.wgt_bits // weight.bits,
            },
            "m_axis_out_tdata": {**out, "lanes": params.columns},
        },
        "contract": {"lam": cell.lam, "acc_bits": cell.acc_width, "max_k": params.max_k},
        "notes": params.notes,
    }
    if params.flow.stationary:
        facts["contract"]["tile_rows"] = params.batch
    if params.group is not None:
        facts["contract"] |= {"group": params.group, "sum": params.group_sum}
    for name, value in facts.items():
        setattr(component, name, value)
    return component

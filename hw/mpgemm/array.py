# SPDX-License-Identifier: Apache-2.0
"""The array of processing elements, as its manifest describes it."""

from typing import Any

from amaranth.lib import wiring

from hw.mpgemm.array_params import ArrayParams

__all__ = ["build"]


def build(params: ArrayParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    component: Any = params.flow.build(params)
    cell, shape = params.cell, params.shape
    facts = {
        "number_formats": {
            "s_axis_act_tdata": {
                "format": cell.act_format.name,
                "lanes": params.rows * params.lanes,
            },
            "s_axis_wgt_tdata": {
                "format": cell.weight_format.name,
                "lanes": params.columns * params.lanes,
            },
            "m_axis_out_tdata": {
                "format": f"int{shape.out_bits}",
                "lanes": params.columns,
                "lam": cell.lam,
            },
        },
        "contract": {"lam": cell.lam, "acc_bits": cell.acc_width, "max_k": params.max_k},
        "notes": params.notes,
    }
    for name, value in facts.items():
        setattr(component, name, value)
    return component

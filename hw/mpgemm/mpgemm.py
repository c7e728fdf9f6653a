# SPDX-License-Identifier: Apache-2.0
"""The unit ``mpgemm``: an engine of one of many kinds, as its manifest describes it."""

from typing import Any

from amaranth.lib import wiring

from hw.mpgemm.params import MpGemmParams

__all__ = ["build"]


def build(params: MpGemmParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    component: Any = params.kind.build(params)
    shape, epilogue = params.shape, params.epilogue
    facts = {
        "number_formats": {
            "s_axis_act_tdata": {
                "format": params.act_format.name,
                "lanes": shape.rows * shape.depth,
            },
            "s_axis_wgt_tdata": params.kind.weights(params),
            "m_axis_out_tdata": {**epilogue.out_format(shape), "lanes": shape.columns},
        },
        "contract": {
            "lam": params.activation.lam,
            "acc_bits": params.acc_width,
            "max_k": params.max_k,
            "tile": {"m": shape.rows, "n": shape.columns, "k": shape.depth},
            "planes": shape.planes if shape.beats > 1 else 0,  # most that a job may name
            "planes_per_beat": shape.planes_per_beat,
            **epilogue.contract,
        },
        "golden": params.kind.golden,
    }
    for name, value in facts.items():
        if not hasattr(component, name):
            setattr(component, name, value)
    if params.kind.contract:
        component.contract |= params.kind.contract(params)
    return component

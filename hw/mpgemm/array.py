# SPDX-License-Identifier: Apache-2.0
"""The array of processing elements, as its manifest describes it."""

from typing import Any

from amaranth.lib import wiring

from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.engine import Engine

__all__ = ["build", "described", "engine_of"]


def engine_of(params: ArrayParams, core: Any) -> Engine:
    """Return the engine around a core whose sums stay in place."""
    return params.epilogue.engine(params.shape, core, params.row_sums)


def build(params: ArrayParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    return described(params, params.flow.build(params))


def described(params: ArrayParams, component: Any) -> wiring.Component:
    """Return ``component`` with what its manifest says."""
    cell, epilogue = params.cell, params.epilogue
    act, weight, sparse = cell.act_format, cell.weight_format, params.sparse
    word = sparse.word if sparse else weight.bits
    facts: dict[str, Any] = {
        "number_formats": {
            "s_axis_act_tdata": {"format": act.name, "lanes": params.shape.act_bits // act.bits},
            "s_axis_wgt_tdata": {
                "format": weight.name,
                "lanes": params.shape.wgt_bits // word,
            },
            "m_axis_out_tdata": {**epilogue.out_format(params.shape), "lanes": params.columns},
        },
        "contract": {"lam": cell.lam, "acc_bits": cell.acc_width, "max_k": params.max_k},
        "notes": params.notes,
    }
    if params.flow.stationary:
        facts["contract"]["tile_rows"] = params.batch
    if params.flow.switched:
        facts["contract"]["flow_extra"] = list(component.flow_extra)
    if sparse:
        dense = sparse.m if sparse.passes > 1 else 0
        facts["contract"] |= {"sparsity": [sparse.n, sparse.m], "dense": dense}
    facts["contract"] |= epilogue.contract
    for name, value in facts.items():
        setattr(component, name, value)
    return component

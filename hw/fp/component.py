# SPDX-License-Identifier: Apache-2.0
"""An arithmetic cell as a unit: bare or behind streams, with what its manifest says."""

from typing import Any

from amaranth.lib import wiring

from hw.fp.params import FMAParams, MulParams
from hw.quant.staged import Staged

__all__ = ["component_of"]


def component_of(cell: Any, params: FMAParams | MulParams, inputs: str) -> wiring.Component:
    """Return ``cell``, whose operands are ``inputs`` and whose result is ``y``, as a unit."""
    component: Any = cell
    before, after = "", ""
    if params.core == "stream":
        beat = {name: len(getattr(cell, name)) for name in inputs}
        component = Staged(cell, beat, {"y": len(cell.y)}, params.pipeline)
        before, after = "i_", "o_"
    names = [*(before + name for name in inputs), after + "y"]
    component.number_formats = {
        name: {"format": fmt.name} for name, fmt in zip(names, params.formats, strict=True)
    }
    component.contract = {"rounding": params.rounding, "overflow": params.chosen_overflow}
    result: wiring.Component = component
    return result

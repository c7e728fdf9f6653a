# SPDX-License-Identifier: Apache-2.0
"""The unit ``softmax``: rows of logits to rows of probabilities."""

from typing import Any

from amaranth.lib import wiring

from hw.attention.softmax_params import SoftmaxParams
from hw.attention.softmax_safe import SafeSoftmax

__all__ = ["build"]

_KINDS: dict[str, Any] = {"safe": SafeSoftmax}


def build(params: SoftmaxParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    component: Any = _KINDS[params.kind](params)
    lanes = params.width
    component.latency = (component.passes - 1) * params.max_beats + component.overhead
    component.number_formats = {
        "i_x": {"format": f"int{params.in_bits}", "lanes": lanes},
        "o_p": {"format": f"{'int' if params.kind == 'ivit' else 'uint'}{params.p_bits}",
                "lanes": lanes},
    }  # fmt: skip
    component.contract = {
        "answers": "beats",
        "max_beats": params.max_beats,
        "passes": component.passes,
        "overhead": component.overhead,
    }
    return component

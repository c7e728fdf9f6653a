# SPDX-License-Identifier: Apache-2.0
"""The unit ``softmax``: rows of logits to rows of probabilities."""

from typing import Any

from amaranth.lib import wiring

from hw.attention.softmax_fixed import IBertSoftmax, IVitSoftmax
from hw.attention.softmax_ita import ItaSoftmax
from hw.attention.softmax_log import LogSoftmax
from hw.attention.softmax_online import OnlineSoftmax
from hw.attention.softmax_params import SoftmaxParams
from hw.attention.softmax_safe import SafeSoftmax
from hw.attention.softmax_two_pass import TwoPassSoftmax

__all__ = ["build"]

_KINDS: dict[str, Any] = {
    "safe": SafeSoftmax,
    "online": OnlineSoftmax,
    "two-pass": TwoPassSoftmax,
    "ita": ItaSoftmax,
    "ibert": IBertSoftmax,
    "ivit": IVitSoftmax,
    "log2": LogSoftmax,
    "log-sqrt2": LogSoftmax,
    "adalog": LogSoftmax,
}


def build(params: SoftmaxParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    component: Any = _KINDS[params.kind](params)
    lanes, beats = params.width, params.max_beats
    sign = "int" if params.kind == "ivit" else "uint"
    component.latency = (component.passes - 1) * beats + component.overhead
    component.beats_per_cycle = 1 / component.row_cycles
    component.number_formats = {
        "i_x": {"format": f"int{params.in_bits}", "lanes": lanes},
        **{name: {"format": "uint1", "lanes": lanes} for name in ("i_keep", "o_keep", "o_zero")},
        "o_p": {"format": f"{sign}{params.p_bits}", "lanes": lanes},
    }
    component.contract = {
        "answers": "beats",
        "max_beats": beats,
        "passes": component.passes,
        "overhead": component.overhead,
        "row_cycles": component.row_cycles,
    }
    return component

# SPDX-License-Identifier: Apache-2.0
"""The unit ``kv-cache``: keys and values of few bits."""

from typing import Any

from amaranth.lib import wiring

from hw.attention.kv_cache_params import KvCacheParams
from hw.attention.kv_dequantize import KvDequantize
from hw.attention.kv_quantize import KvQuantize

__all__ = ["build"]


def build(params: KvCacheParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    component: Any = (KvQuantize if params.op == "quantize" else KvDequantize)(params)
    word, elements = ("o", "i") if params.op == "quantize" else ("i", "o")
    sides = {"lanes": params.sides}
    component.number_formats = {
        f"{elements}_x": {"format": f"int{params.x_bits}", "lanes": params.lanes},
        f"{word}_mn": {"format": f"int{params.x_bits}", **sides},
        f"{word}_r": {"format": f"uint{params.x_bits}", **sides},
    }
    component.contract = {"answers": "packets", "overhead": component.overhead}
    return component

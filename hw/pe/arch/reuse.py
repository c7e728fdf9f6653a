# SPDX-License-Identifier: Apache-2.0
"""Products are reused where weights repeat (AxLLM)."""

from amaranth.lib import wiring

from hw.pe.arch import Arch
from hw.pe.integers import check_lanes, check_pipeline, check_plain_integers
from hw.pe.params import PEParams
from hw.pe.reuse import ReusePE
from hw.spec.formats import IntFormat


def _check(params: PEParams) -> None:
    check_plain_integers(params)
    weight = params.weight_format
    assert isinstance(weight, IntFormat)
    if weight.encoding != "twos" or not 2 <= weight.bits <= 8:
        raise ValueError(f"format must be int2 to int8 with arch reuse, not {weight.name!r}")
    check_lanes(params, 1)
    check_pipeline(params, 0)


def _build(params: PEParams) -> wiring.Component:
    return ReusePE(params)


ARCH = Arch(
    name="reuse",
    summary="for each activation a table keeps the products by the magnitude of the weight, and a "
    "serial multiplier forms those that are missing",
    source="AxLLM: multiplication reuse for quantized weights",
    cycles="one cycle a weight, and one more for each bit of a weight whose product is missing",
    when="To study how often weights repeat; each distinct product is formed once.",
    check=_check,
    build=_build,
    flow=(("a", "w"), ("magnitude, sign",), ("table of products*", "serial multiplier*"),
          ("negate",), ("ring of sums@",)),
    options=("columns",),
    typical={"columns": 16},
    cores=("stream",),
    golden="sim.golden.pe.reuse",
    cases=({"format": "int2", "act": "int2", "max_k": 2},),
)  # fmt: skip

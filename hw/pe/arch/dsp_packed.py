# SPDX-License-Identifier: Apache-2.0
"""Products of several columns in each multiplier of an FPGA."""

from typing import Any

from hw.pe.arch import Arch
from hw.pe.datapath import check_stages, component
from hw.pe.dsp_packed import PackedDatapath
from hw.pe.params import PEParams
from hw.spec.formats import IntFormat


def _check(params: PEParams) -> None:
    for name, fmt in (("format", params.weight_format), ("act", params.act_format)):
        plain = isinstance(fmt, IntFormat) and fmt.encoding in ("twos", "unsigned")
        if not plain or fmt.bits > 8 or fmt.bits < 2:
            raise ValueError(
                f"{name} must be intN or uintN of 2 to 8 bits with arch dsp-packed, such as int8, "
                f"not {fmt.name!r}"
            )
    if params.columns < 2:
        raise ValueError(
            f"columns must be at least 2 with arch dsp-packed, which share activations, "
            f"not {params.columns}"
        )
    if params.target != "xcup":
        raise ValueError(f"target must be xcup with arch dsp-packed, not {params.target!r}")
    check_stages(params)


def _build(params: PEParams) -> Any:
    path = PackedDatapath(params)
    built: Any = component(path)
    shares = " and ".join(map(str, sorted(set(path.shares))))
    built.notes = (
        *params.notes,
        f"{path.multipliers} multipliers of 27 x 18 bits, each for {shares} columns of one lane",
    )
    return built


ARCH = Arch(
    name="dsp-packed",
    summary="two to four products in each DSP slice: weights of several columns side by side times "
    "the activation they share",
    source="AMD WP486 (int8) and WP521 (int4)",
    cycles="one beat a cycle",
    when="On UltraScale+ devices whose DSP slices are to do the work: two int8 products, three of "
    "int4 and int8, or four int4 products a slice.",
    check=_check,
    build=_build,
    flow=(("w of several columns", "a"), ("pack",), ("27 x 18 multiplier",), ("add packed",),
          ("take apart",), ("accumulator@", "accumulator@")),
    options=("columns",),
    typical={"columns": 2, "target": "xcup"},
    cases=({"format": "int4", "act": "int4", "columns": 4, "max_k": 2, "target": "xcup"},
           {"format": "int8", "act": "int8", "columns": 2, "max_k": 2, "pipeline": 1,
            "target": "xcup", "core": "accumulate"}),
)  # fmt: skip

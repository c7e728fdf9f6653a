# SPDX-License-Identifier: Apache-2.0
"""Operands of run-time precision: whole, in halves, in quarters, or smaller."""

from typing import TYPE_CHECKING

from hw.pe.arch import Arch
from hw.pe.fused import build
from hw.pe.fused_shape import MODES, exact_bits, mode_of

if TYPE_CHECKING:
    from hw.pe.params import PEParams

_FORMATS = {"weights": (8,), "both": (8, 16), "separate": (8,), "float": (16,)}


def check(params: "PEParams") -> None:
    """Hold the parameters to what the modes take."""
    mode = mode_of(params)
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)} with arch fused, not {mode!r}")
    names = [f"int{bits}" for bits in _FORMATS[mode]]
    where = f"with arch fused, mode {mode}"
    for role, fmt in (("format", params.weight_format), ("act", params.act_format)):
        if fmt.name not in names:
            raise ValueError(f"{role} must be {' or '.join(names)} {where}, not {fmt.name!r}")
    if params.weight_format != params.act_format:
        raise ValueError(
            f"act must be that of the weights, {params.weight_format.name}, {where}, "
            f"not {params.act_format.name!r}"
        )
    if params.pipeline:
        raise ValueError(f"pipeline must be 0 with arch fused, not {params.pipeline}")
    if mode in ("separate", "float"):
        if params.lanes != 1:
            raise ValueError(f"lanes must be 1 {where}, not {params.lanes}")
    if mode == "float" and params.core == "dot":
        raise ValueError(f"core must be stream or accumulate {where}, not 'dot'")
    if params.acc_bits is not None:
        if mode == "separate":
            raise ValueError(f"acc_bits must not be given {where}, not {params.acc_bits}")
        if params.acc_bits < exact_bits(params):
            raise ValueError(
                f"acc_bits must be at least {exact_bits(params)} for {params.max_k} beats of "
                f"{params.lanes} lanes, not {params.acc_bits}"
            )


ARCH = Arch(
    name="fused",
    summary="operands of run-time precision, whole or cut into several, share one multiplier array",
    source="Bit Fusion (2018); MacSorley (1961) for the digits; Dadda (1965) for the tree",
    cycles="one beat a cycle",
    when="Where one engine runs layers of several precisions: the narrower they are, the more "
    "products a beat.",
    check=check,
    build=build,
    flow=(("a", "w", "width"), ("digits of w", "slices of a"), ("bricks",),
          ("narrow sums",), ("shifts by width",), ("accumulator@",)),
    options=("mode",),
    golden="sim.golden.pe.fused",
    cases=(
        {"format": "int8", "max_k": 16},
        {"format": "int8", "mode": "separate", "max_k": 4},
    ),
)  # fmt: skip

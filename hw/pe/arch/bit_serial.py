# SPDX-License-Identifier: Apache-2.0
"""Weights a term a cycle: BitMoD."""

from typing import TYPE_CHECKING

from hw.pe.arch import Arch
from hw.pe.bit_serial import BitSerial
from hw.pe.bit_serial_terms import FORMATS

if TYPE_CHECKING:
    from hw.pe.params import PEParams

_ACTS = ("fp16", "bf16", "int8")
_MODES = (None, "exact", "hardware")


def check(params: "PEParams") -> None:
    """Raise ``ValueError`` for what the architecture does not take."""
    for name, value, allowed in (
        ("format", params.weight_format.name, FORMATS),
        ("act", params.act_format.name, _ACTS),
        ("mode", params.mode, _MODES),
        ("scale", params.scale, (None, "int8")),
        ("pipeline", params.pipeline, (0,)),
    ):
        if value not in allowed:
            text = ", ".join(str(v) for v in allowed if v is not None)
            raise ValueError(f"{name} must be {text} with arch bit-serial, not {value!r}")
    if params.lanes % 4:
        raise ValueError(f"lanes must be a multiple of 4 with arch bit-serial, not {params.lanes}")
    if params.mode == "hardware":
        for name, value, needed in (
            ("act", params.act_format.name, "fp16"),
            ("lanes", params.lanes, 4),
            ("window", params.window, None),
            ("acc_bits", params.acc_bits, None),
        ):
            if value != needed:
                raise ValueError(f"{name} must be {needed} with mode hardware, not {value!r}")


ARCH = Arch(
    name="bit-serial",
    summary="each weight is a few signed powers of two, of which one a cycle selects a shifted "
    "activation",
    source="BitMoD (2024); MacSorley (1961) for the digits",
    cycles="4, 3, 3, 2 cycles a beat for int8, int6, int5 and floats of 4 or 3 bits",
    when="Against fp16 activations, where fewer weight bits shall mean fewer cycles; mode hardware "
    "is the smaller one, and rounds.",
    check=check,
    build=BitSerial,
    flow=(("a", "w"), ("decode a", "term of w"), ("shift, sign",), ("Dadda tree",),
          ("accumulator@",), ("times s*",)),
    options=("mode", "scale"),
    typical={"lanes": 4},
    cores=("stream",),
    golden="sim.golden.pe.bit_serial",
    cases=(
        {"format": "int5", "act": "int8", "lanes": 4, "max_k": 16, "scale": "int8"},
        {"format": "e2m1", "act": "fp16", "lanes": 4, "mode": "hardware", "max_k": 16},
    ),
)  # fmt: skip

# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit
from hw.encode.quantize import CORES, QuantizeParams, build
from hw.spec.rounding import OVERFLOWS, ROUNDINGS

UNIT = Unit(
    name="quantize",
    summary="integers or floating-point numbers to codes of any format, by named rules",
    params=QuantizeParams,
    build=build,
    golden="sim.golden.quantize",
    help={
        "source": "numbers that come in: int2 to int64, fp16, bf16 or fp32",
        "lam": "exponent of an integer source's unit: numbers are x * 2^lam",
        "format": "target format of up to 16 bits (`python -m gen formats` lists them)",
        "rounding": "; ".join(f"{name} - {text}" for name, text in ROUNDINGS.items()),
        "overflow": "beyond the largest value: "
        + "; ".join(f"{name} - {text}" for name, text in OVERFLOWS.items()),
        "lanes": "numbers per beat",
        "pipeline": "register stages inside, 0 to 2; each adds a cycle of latency",
        "core": "streaming unit or combinational cell",
    },
    choices={"rounding": tuple(ROUNDINGS), "overflow": tuple(OVERFLOWS), "core": CORES},
    cases=({"source": "fp16", "format": "e2m1"}, {"source": "int8", "pipeline": 1}),
)

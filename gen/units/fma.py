# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit
from hw.fp.fma import build
from hw.fp.params import CORES, FMAParams
from hw.spec.rounding import OVERFLOWS, ROUNDINGS

UNIT = Unit(
    name="fma",
    summary="fused multiply-add of minifloats, a * b + c rounded once",
    params=FMAParams,
    build=build,
    golden="sim.golden.fp.fma",
    help={
        "format": "format of a: any minifloat with a sign, up to fp32",
        "format_b": "format of b (default: that of a)",
        "addend": "format of c (default: that of the result)",
        "result": "format of the result (default: that of a)",
        "rounding": "; ".join(f"{name} - {text}" for name, text in ROUNDINGS.items()),
        "overflow": "; ".join(f"{name} - {text}" for name, text in OVERFLOWS.items())
        + " (default: nonsat where the result's format has infinity or NaN, else sat)",
        "pipeline": "register stages before that of the result, 0 to 3; each adds a cycle of "
        "latency",
        "core": "streaming unit, or bare combinational cell",
    },
    choices={"rounding": tuple(ROUNDINGS), "overflow": tuple(OVERFLOWS), "core": CORES},
    cases=(
        {"format": "e2m1", "pipeline": 2},
        {"format": "e3m2_ieee", "core": "cell"},
    ),
)

# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit
from hw.fp.mul import build
from hw.fp.params import CORES, MulParams
from hw.spec.rounding import OVERFLOWS, ROUNDINGS

UNIT = Unit(
    name="mul",
    summary="multiplier of posits or of minifloats, a * b rounded once",
    params=MulParams,
    build=build,
    golden="sim.golden.fp.mul",
    help={
        "format": "format of a: posit3_0 to posit16_3, or any minifloat with a sign",
        "format_b": "format of b (default: that of a)",
        "result": "format of the result (default: that of a)",
        "rounding": "of minifloats: "
        + "; ".join(f"{name} - {text}" for name, text in ROUNDINGS.items()),
        "overflow": "of minifloats: "
        + "; ".join(f"{name} - {text}" for name, text in OVERFLOWS.items())
        + " (default: nonsat where the result's format has infinity or NaN, else sat)",
        "pipeline": "register stages before that of the result, 0 to 3; each adds a cycle of "
        "latency",
        "core": "streaming unit, or bare combinational cell",
    },
    choices={"rounding": tuple(ROUNDINGS), "overflow": tuple(OVERFLOWS), "core": CORES},
    cases=(
        {"format": "posit6_1", "pipeline": 3},
        {"format": "e3m2_ieee", "core": "cell"},
    ),
)

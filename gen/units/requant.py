# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit
from hw.quant.requant import build
from hw.quant.requant_params import CORES, SCHEMES, TARGETS, RequantParams

UNIT = Unit(
    name="requant",
    summary="accumulators to small integers: multiply, shift, round, saturate",
    params=RequantParams,
    build=build,
    golden="sim.golden.requant",
    help={
        "scheme": "; ".join(f"{name} - {text}" for name, text in SCHEMES.items()),
        "in_bits": "width of the accumulators, signed",
        "mult_bits": "width of the multiplier (default: 32, signed; rbe: 16, unsigned)",
        "out": "output format, intN or uintN",
        "zero_point": "add a zero point, one bit wider than the output, before saturation",
        "lanes": "accumulators per beat, which share multiplier and shift",
        "multiplier": "constant multiplier, folded into additions; removes the port m",
        "shift": "constant shift; removes the port s (tflite, gemmlowp: negative shifts left)",
        "core": "streaming unit or combinational cell",
        "pipeline": "register stages, 0 to 3; each adds a cycle of latency",
        "target": "gates get compressor trees, fpga a multiplication that DSP blocks can take",
    },
    choices={"scheme": tuple(SCHEMES), "core": CORES, "target": TARGETS},
    cases=(
        {"in_bits": 6, "mult_bits": 4, "out": "int3", "zero_point": True, "pipeline": 2},
        {"scheme": "tflite", "in_bits": 8, "out": "uint4", "multiplier": 3 << 28, "shift": 0},
    ),
)

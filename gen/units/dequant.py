# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit
from hw.quant.dequant import build
from hw.quant.dequant_params import SUMS, TARGETS, DequantParams
from hw.quant.scales import SCALES

UNIT = Unit(
    name="dequant",
    summary="integer sums of groups times their scales, added exactly or in binary32",
    params=DequantParams,
    build=build,
    golden="sim.golden.dequant",
    help={
        "acc_bits": "width of a group's integer sum, signed",
        "lam": "--lam=N: the unit of that sum is 2^N",
        "scale": "format of the scales",
        "act_scale": "format of a second scale, for the activations (default: there is none)",
        "zero_point": "take z * sa from each sum: its zero point times its sum of activations",
        "sum": "exact - an integer; fp32-seq - rounded after every addition, in order; fp32-tree - "
        "pairwise within a beat, then in order (default: exact for int8, else fp32-seq)",
        "blocks": "groups per beat",
        "max_groups": "groups of the longest dot product; sizes the exact sum",
        "target": "gates get compressor trees, fpga multiplications that DSP blocks can take",
    },
    choices={"scale": SCALES, "act_scale": SCALES, "sum": SUMS, "target": TARGETS},
    cases=(
        {"acc_bits": 4, "scale": "ue4m3", "sum": "exact", "max_groups": 2},
        {"acc_bits": 4, "scale": "e8m0"},
    ),
)

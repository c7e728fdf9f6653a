# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit, menu
from hw.attention.norm import build
from hw.attention.norm_params import KINDS, NormParams
from hw.attention.scalar_params import TARGETS

UNIT = Unit(
    name="norm",
    summary="LayerNorm and RMSNorm of rows, in integers, without rounded mean and divider",
    params=NormParams,
    build=build,
    golden="sim.golden.attention.norm",
    help={
        "kind": "which normalisation, see below",
        "x_bits": "width of an element, signed, 4 to 16",
        "lanes": "elements of a beat, 1 to 64",
        "max_len": "elements of the longest row; rows wait in memory of about that size",
        "frac": "fraction bits of a normalised element, 4 to 14",
        "affine": "scale and shift each element by loaded tables (default: yes)",
        "out_bits": "width of a result with affine, 4 to 16 (default: 8)",
        "shortcut": "with affine: add i_r, say the original input, behind the norm",
        "target": "gates get compressor trees, fpga multiplications that DSP blocks can take",
    },
    choices={"kind": tuple(KINDS), "target": TARGETS},
    epilog=menu("kinds:", KINDS.items())
    + "\n\nA row is the beats up to the one with i_last; elements without their bit of i_keep are\n"
    "absent. y = (x - mean) / sqrt(variance + eps) has frac fraction bits; i_eps, with the first\n"
    "beat, is eps * n**2 in units of x squared (rms: eps * n). With affine a result is\n"
    "(y * g + b) >> sg, rounded, clamped: packets with i_load fill the tables with i_g and i_b,\n"
    "i_sg beside the first beat. A row longer than max_len is answered by one beat with o_err.",
    cases=(
        {"lanes": 1, "x_bits": 4, "max_len": 2, "frac": 4, "affine": False},
        {"kind": "rms", "lanes": 1, "x_bits": 4, "max_len": 2, "frac": 4, "affine": False},
    ),
)

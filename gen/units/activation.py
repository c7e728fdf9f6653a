# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit, menu
from hw.attention.activation import build
from hw.attention.activation_functions import FUNCTIONS
from hw.attention.activation_params import KINDS, LOADED, ActivationParams
from hw.attention.scalar_params import TARGETS

UNIT = Unit(
    name="activation",
    summary="GELU, SiLU and their like, by table, by segments or by polynomial; SwiGLU",
    params=ActivationParams,
    build=build,
    golden="sim.golden.attention.activation",
    help={
        "kind": "how it is computed, see below",
        "function": "of lut and swiglu: what is in the table, or load: it is filled at run time"
        " (default: gelu, of swiglu silu)",
        "scale": "what a unit of x is worth, a fraction (default: 1/16, of ibert 1/4096)",
        "scale_out": "of lut and swiglu: what a unit of an entry is worth, a fraction"
        " (default: 1/16, of swiglu 1/2048)",
        "x_bits": "width of x, signed: 8; of pwl 16; of ibert 8 to 24 (default: 16)",
        "table_bits": "of lut and swiglu: width of an entry, 8 to 16 (default: 8, of swiglu 16)",
        "frac": "of pwl: fraction bits of x, 0 to 13 (default: 12)",
        "index_bits": "of pwl: the sigmoid has 2**index_bits segments, 4 to 8 (default: 5)",
        "lanes": "elements of a beat, 1 to 64",
        "target": "gates get compressor trees, fpga multiplications that DSP blocks can take",
    },
    choices={"kind": tuple(KINDS), "function": (*FUNCTIONS, LOADED), "target": TARGETS},
    epilog=menu("kinds:", KINDS.items())
    + "\n\nElements without their bit of i_keep give 0; i_last goes through. Fields of a row (i_s\n"
    "of swiglu; i_m, i_s, i_z of ita) count with its first beat. With --function load a packet\n"
    "whose first beat has i_load fills the table with i_t, from code 0 to code -1, and has no\n"
    "answer.",
    cases=(
        {"lanes": 1},
        {"kind": "pwl", "lanes": 1, "index_bits": 4},
        {"kind": "swiglu", "function": "load", "lanes": 2, "table_bits": 8},
    ),
)

# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit, menu
from hw.attention.scalar import build
from hw.attention.scalar_params import FUNCTIONS, TARGETS, ScalarParams

UNIT = Unit(
    name="scalar",
    summary="functions by table and line: powers of two, reciprocals, roots, logarithms, sigmoid",
    params=ScalarParams,
    build=build,
    golden="sim.golden.attention.scalar",
    help={
        "function": "what is computed, see below",
        "index_bits": "bits that choose an entry of the table, 4 to 8",
        "in_bits": "width of an argument (default: exp2n 24, recip 32, rsqrt 64, log2 32, "
        "sigmoid 16)",
        "out_bits": "of exp2n: fraction bits of the result, 8 to 16 (default: 16)",
        "newton": "of recip and rsqrt: one step of Newton behind the table (default: yes); "
        "without it y has 16 fraction bits, not 30",
        "lanes": "arguments per beat, each with hardware of its own",
        "target": "gates get compressor trees, fpga multiplications that DSP blocks can take",
    },
    choices={"function": tuple(FUNCTIONS), "target": TARGETS},
    epilog=menu("functions:", FUNCTIONS.items())
    + "\n\nThe manifest holds the largest error of the table, found by trying every argument\n"
    "(contract.error_bound, in units of 2**-16).",
    cases=(
        {"in_bits": 14, "index_bits": 4, "out_bits": 8},
        {"function": "recip", "in_bits": 4, "index_bits": 4, "newton": False},
    ),
)

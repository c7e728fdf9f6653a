# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit, menu
from hw.attention.rope import build
from hw.attention.rope_params import LAYOUTS, RopeParams
from hw.attention.scalar_params import TARGETS

UNIT = Unit(
    name="rope",
    summary="rotary positions: pairs of elements turned by a phase of 32 bits",
    params=RopeParams,
    build=build,
    golden="sim.golden.attention.rope",
    help={
        "dim": "elements of a row, 2 to 1024; the last of an odd number passes through",
        "layout": "which elements are a pair, see below",
        "x_bits": "width of an element, signed, 4 to 16",
        "coef_bits": "width of sines and cosines, 16 or 18",
        "base": "pair i turns by base**(-2*i/dim) for each position, a fraction above 1",
        "lanes": "elements of a beat, 1 to 64",
        "grow": "results have one bit more, so that they never saturate",
        "target": "gates get compressor trees, fpga multiplications that DSP blocks can take",
    },
    choices={"layout": tuple(LAYOUTS), "target": TARGETS},
    epilog=menu("layouts:", LAYOUTS.items())
    + "\n\nA row has ceil(dim / lanes) beats, the last with i_last, and i_keep for exactly dim\n"
    "elements; any other row is answered by one beat with o_err. i_pos, the position, and\n"
    "i_inverse, which turns back, count with the first beat. Position 0 changes nothing.",
    cases=({"dim": 3, "lanes": 2, "x_bits": 4},),
)

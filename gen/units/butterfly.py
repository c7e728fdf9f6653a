# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit, menu
from hw.butterfly.butterfly import build
from hw.butterfly.params import BANKS, ORDERS, SCALINGS, ButterflyParams

UNIT = Unit(
    name="butterfly",
    summary="butterfly matrices and Fourier transforms by one engine",
    params=ButterflyParams,
    build=build,
    golden="sim.golden.butterfly.engine",
    help={
        "max_size": "elements of the longest vector, a power of two from 8 to 4096",
        "lanes": "elements of an engine per beat, a power of two from 2 to 32; half as many "
        "butterflies of four multipliers each",
        "engines": "rows side by side that share weights and twiddles, 1 to 64",
        "scaling": "what holds the range of a Fourier transform, see below",
        "data_bits": "width of a real or imaginary part that comes in, signed",
        "twiddle_bits": "width of a twiddle's part, two bits of it before the point",
        "weight_bits": "width of a weight of butterfly matrices, 2 to data_bits",
        "weight_frac": "fraction bits of a weight (default: weight_bits - 2)",
        "order": "order of a Fourier transform that leaves, see below",
        "banks": "which bank of memory holds an element: cycles only, never values, see below",
    },
    choices={"scaling": tuple(SCALINGS), "order": tuple(ORDERS), "banks": tuple(BANKS)},
    epilog="\n\n".join(
        (
            menu("scaling:", SCALINGS.items()),
            menu("order:", ORDERS.items()),
            menu("banks:", BANKS.items()),
        )
    )
    + "\n\nA packet is the beats of a vector of 2**i_log2n elements, up to the one with i_last.\n"
    "i_op of its first beat: 0 butterfly matrix (real), 1 Fourier transform, 2 its inverse,\n"
    "3 weights and shifts (i_sigma) of the butterfly matrix, stage after stage, for the\n"
    "vectors behind. o * 2**o_exp is the result. More in docs/butterfly.md.",
    cases=({"max_size": 8, "lanes": 8, "data_bits": 4, "twiddle_bits": 4, "weight_bits": 2,
            "scaling": "half"},),
)  # fmt: skip

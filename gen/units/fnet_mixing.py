# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit
from hw.butterfly.mixing import build
from hw.butterfly.mixing_params import MIXING_SCALINGS, MixingParams

UNIT = Unit(
    name="fnet-mixing",
    summary="Fourier mixing: real part of the transform over tokens and channels",
    params=MixingParams,
    build=build,
    golden="sim.golden.butterfly.mixing",
    help={
        "max_tokens": "tokens of the largest tile, a power of two from 8 to 4096",
        "max_channels": "channels of the largest tile, likewise; at most 2**18 elements in all",
        "lanes": "elements per beat, a power of two from 2 to 32",
        "scaling": "what holds the range: every stage halves, or block floating point",
        "data_bits": "width of an element, signed",
        "twiddle_bits": "width of a twiddle's part, two bits of it before the point",
    },
    choices={"scaling": MIXING_SCALINGS},
    epilog="A tile comes token by token, 2**i_log2t tokens of 2**i_log2d channels, i_last on its\n"
    "last beat. It leaves channel by channel; o_y * 2**o_exp is the result. More in\n"
    "docs/butterfly.md.",
    cases=({"max_tokens": 8, "max_channels": 8, "data_bits": 4, "twiddle_bits": 4,
            "scaling": "half"},),
)  # fmt: skip

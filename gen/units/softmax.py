# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit, menu
from hw.attention.scalar_params import TARGETS
from hw.attention.softmax import build
from hw.attention.softmax_params import KINDS, SoftmaxParams

UNIT = Unit(
    name="softmax",
    summary="rows of logits to rows of probabilities, in integers",
    params=SoftmaxParams,
    build=build,
    golden="sim.golden.attention.softmax",
    help={
        "kind": "which softmax, see below",
        "lanes": "elements of a beat, 1 to 64 (default: 4, of ita 16)",
        "in_bits": "width of a logit, signed",
        "max_len": "elements of the longest row; rows wait in memory of about that size",
        "exp_bits": "of safe and online: bits of a power of two, 4 to 16 (default: 12)",
        "out_bits": "bits of a probability, 1 to 16 (default: 8; ita, ibert, ivit: 8 only)",
        "code_bits": "of log2, log-sqrt2 and adalog: bits of a code, 2 to 4 (default: 4)",
        "shift": "of ita: bits of a logit behind the point of its octave, 0 to 7 (default: 0)",
        "scale": "of ibert and ivit: what a unit of a logit is worth, a fraction from 1/1024 to 1/4"
        " (default: 1/16)",
        "base": "of adalog: a step of a code is 2**(-base/37), 10 to 60 (default: 22)",
        "target": "gates get compressor trees, fpga multiplications that DSP blocks can take",
    },
    choices={"kind": tuple(KINDS), "target": TARGETS},
    epilog=menu("kinds:", KINDS.items())
    + "\n\nA row is the beats up to the one with i_last. Elements without their bit of i_keep are\n"
    "absent. With kinds that have a scale, i_m and i_sh of the first beat turn logits into\n"
    "octaves: (x * m) >> sh has 12 fraction bits; for e**(x * s) m / 2**sh is s * log2(e) * 4096.\n"
    "A row longer than max_len is answered by one beat with o_err.",
    cases=(
        {"kind": "log2", "lanes": 1, "in_bits": 2, "max_len": 2, "code_bits": 2},
        {"lanes": 1, "in_bits": 2, "max_len": 2, "exp_bits": 4, "out_bits": 2},
        {"kind": "two-pass", "lanes": 1, "in_bits": 2, "max_len": 2, "out_bits": 2},
        {"kind": "ita", "lanes": 1, "max_len": 2},
    ),
)

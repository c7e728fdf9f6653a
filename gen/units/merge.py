# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit
from hw.attention.attention_params import KINDS
from hw.attention.merge import build
from hw.attention.merge_params import FORMS, MergeParams

UNIT = Unit(
    name="merge",
    summary="partial rows of attention to one: split keys, shared prefixes",
    params=MergeParams,
    build=build,
    golden="sim.golden.attention.merge",
    help={
        "form": "partial: sums of attention --result partial; lse: normalised rows of 16 bits",
        "kind": "that of the attention, of form partial (default: fa-int)",
        "value_dim": "channels of values and of the output",
        "head_dim": "as the attention has it, of form partial (default: 64)",
        "qk_bits": "as the attention has it, of form partial (default: 8)",
        "exp_bits": "as the attention has it, of form partial (default: 12)",
        "max_len": "as the attention has it, of form partial (default: 4096)",
        "tile": "as the attention has it, of form partial (default: 16)",
        "max_parts": "most parts of a row",
    },
    choices={"form": FORMS, "kind": KINDS},
    epilog="""\
A row of attention whose keys are in several places - a prefix that many queries share, or keys
split between engines - is computed in parts, and the parts are merged in the order in which they
come. On chip they stay sums (form partial: m, l, o); through memory go rows of 16 bits with the
logarithm of their sum (form lse). A part that saw no key changes nothing.

  python -m gen attention --result partial -o core           # makes the parts
  python -m gen merge                                        # with the same sizes
""",
    cases=(
        {"value_dim": 1, "head_dim": 1, "qk_bits": 2, "exp_bits": 4, "max_len": 2, "tile": 1,
         "kind": "fa-int-p2", "max_parts": 4},
        {"form": "lse", "value_dim": 1, "max_parts": 4},
    ),
)  # fmt: skip

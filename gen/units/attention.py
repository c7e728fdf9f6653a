# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit
from hw.attention.attention import build
from hw.attention.attention_params import KINDS, RESULTS, AttentionParams

UNIT = Unit(
    name="attention",
    summary="integer attention core: one query over tiles of keys and values, one tile a cycle",
    params=AttentionParams,
    build=build,
    golden="sim.golden.attention.attention",
    help={
        "kind": "fa-int: sums are rescaled by multiplication; fa-int-p2: by shifts",
        "head_dim": "channels of queries and keys",
        "value_dim": "channels of values and of the output (default: as --head-dim)",
        "tile": "keys of a beat",
        "qk_bits": "width of queries and keys, signed; values have 8 bits",
        "exp_bits": "width of exponentials: 8 up to 256 keys, 12 to 4096, 16 beyond",
        "max_len": "keys of the longest row; sizes the sums",
        "result": "row: normalised, with the logarithm of the sum; partial: the sums, for merge",
    },
    choices={"kind": KINDS, "result": RESULTS},
    epilog="""\
A row is one query: beats of --tile keys and values up to the one with last. Keys whose bit of keep
is 0 do not count; the unit attention-tiles makes keep from masks. Scores X = q . k are scaled by
(difference * m) >> sh to octaves with 12 fraction bits: with scales sq and sk of queries and keys,
m / 2**sh = sq * sk * log2(e) / sqrt(head_dim) * 4096. The output is multiplied by mo / 2**so.
With fa-int-p2 each beat has its own m and sh (a scale for each block of keys).

  python -m gen attention --head-dim 64 --tile 16            # 16 keys a cycle
  python -m gen attention --kind fa-int-p2 --qk-bits 4       # no multipliers in the rescale
""",
    cases=(
        {"head_dim": 1, "tile": 1, "qk_bits": 2, "exp_bits": 4, "max_len": 4, "result": "partial"},
        {"kind": "fa-int-p2", "head_dim": 1, "tile": 2, "qk_bits": 2, "exp_bits": 4, "max_len": 4},
    ),
)

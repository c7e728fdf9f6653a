# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit
from hw.attention.attention_tiles import build
from hw.attention.attention_tiles_params import AttentionTilesParams

UNIT = Unit(
    name="attention-tiles",
    summary="tiles of keys that a query sees, with their masks, from one descriptor a row",
    params=AttentionTilesParams,
    build=build,
    golden="sim.golden.attention.attention_tiles",
    help={
        "tile": "keys of a tile, as of the unit attention",
        "max_len": "most keys of a row",
        "page": "keys of a bit of the bitmap, a multiple of tile (default: no bitmap)",
        "head_bits": "width of the number of a head, which is only passed on",
    },
    epilog="""\
A descriptor says: head, query (its position), length (keys that exist), causal, window, sink and,
with --page, bitmap. Key j is visible if
  j < length
  and j <= query                         where causal is 1
  and (j < sink or j + window > query)   where window is not 0
  and bit j // page of bitmap is 1       with --page
Out come the tiles with a visible key, one a cycle and in ascending order: the beats tile and head
address the memories of keys and values, keep and last go to the unit attention. Tiles that nobody
sees take no time. Query heads that share keys (grouped queries) name the same head.

  python -m gen attention-tiles --max-len 8192 --page 64   # LServe: a bit for 64 keys
""",
    cases=(
        {"tile": 2, "max_len": 3, "head_bits": 1},
        {"tile": 3, "max_len": 8, "page": 6, "head_bits": 1},
    ),
)

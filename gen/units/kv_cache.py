# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit, menu
from hw.attention.kv_cache import build
from hw.attention.kv_cache_params import AXES, OPS, SCHEMES, KvCacheParams
from hw.attention.scalar_params import TARGETS

UNIT = Unit(
    name="kv-cache",
    summary="keys and values to codes of 2 or 4 bits",
    params=KvCacheParams,
    build=build,
    golden="sim.golden.attention.kv_cache",
    help={
        "op": "which part, see below",
        "scheme": "how it is quantised, see below",
        "axis": "what a group lies along, see below",
        "bits": "width of a code, 2 or 4",
        "group": "elements of a group, a multiple of 32 / bits up to 128",
        "lanes": "channels of a beat, 1 to 64; with axis channel a divisor of 32 / bits",
        "x_bits": "width of an element, signed, 4 to 16",
        "target": "gates or fpga; both have the same logic",
    },
    choices={"op": tuple(OPS), "scheme": tuple(SCHEMES), "axis": tuple(AXES), "target": TARGETS},
    epilog="\n\n".join(
        (menu("ops:", OPS.items()), menu("schemes:", SCHEMES.items()), menu("axes:", AXES.items()))
    )
    + "\n\nA packet is one group, or with axis token a group of each lane; i_last ends it. Code\n"
    "c is worth mn + c * r / (2**bits - 1). A packet of another number of beats is answered by\n"
    "one beat with o_err.",
    cases=({"axis": "channel", "bits": 4, "group": 8, "lanes": 8, "x_bits": 4},),
)

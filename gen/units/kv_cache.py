# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit, menu
from hw.attention.kv_cache import build
from hw.attention.kv_cache_params import AXES, OPS, SCHEMES, KvCacheParams

UNIT = Unit(
    name="kv-cache",
    summary="keys and values of a transformer in 2 or 4 bits: quantize, pack and back",
    params=KvCacheParams,
    build=build,
    golden="sim.golden.attention.kv_cache",
    help={
        "op": "what it does, see below",
        "scheme": "how elements become codes, see below",
        "axis": "along what a group lies, see below",
        "bits": "width of a code, 2 or 4",
        "group": "elements that share a least element and a range: a multiple of 32 / bits, to 128",
        "lanes": "elements of a beat, 1 to 64; with axis channel a divisor of 32 / bits",
        "x_bits": "width of an element, signed, 4 to 16",
    },
    choices={"op": tuple(OPS), "scheme": tuple(SCHEMES), "axis": tuple(AXES)},
    epilog="\n\n".join(
        (
            menu("operations:", OPS.items()),
            menu("schemes:", SCHEMES.items()),
            menu("axes:", AXES.items()),
            "A packet, up to its i_last, is a group: of axis token --group beats, of axis channel\n"
            "--group / --lanes. Code c stands for mn + c * r / (2**bits - 1); codes fill words of\n"
            "32 bits from the low end. A packet of another length is answered by one beat with\n"
            "o_err.",
        )
    ),
    cases=(
        {"axis": "channel", "group": 16, "lanes": 16, "x_bits": 4},
        {"bits": 4, "group": 8, "lanes": 1, "x_bits": 4},
        {"op": "dequantize", "axis": "channel", "group": 16, "lanes": 8, "x_bits": 4},
        {"op": "dequantize", "bits": 4, "group": 8, "lanes": 1, "x_bits": 4},
    ),
)

# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit
from hw.encode.block import BLOCKS, BlockQuantizeParams, build
from hw.spec.rounding import ROUNDINGS

UNIT = Unit(
    name="block-quantize",
    summary="blocks of numbers to element codes that share a scale",
    params=BlockQuantizeParams,
    build=build,
    golden="sim.golden.block_quantize",
    help={
        "block": "block format",
        "source": "numbers that come in: fp16 (the default), bf16 or fp32; for bitmod, razer and "
        "olive int2 to int64 (default: int16)",
        "size": "elements of a block (default: 32 for mx, 128 for bitmod, 2 for olive, else 16)",
        "scale_rule": "how the scale is chosen; of mx and bfp: floor (the default; the largest "
        "elements may saturate), ceil (none does) or rne (nearest power of two); of nvfp4: amax "
        "(the default; over 6) or 4over6 (over 6 or 4, which leaves the lesser squared error)",
        "rounding": "of the elements of mx, bfp and nvfp4: "
        + "; ".join(f"{name} - {text}" for name, text in ROUNDINGS.items())
        + " (default: rne)",
        "tensor_scale": "of nvfp4: divide by a tensor's scale as well, which comes with each block",
    },
    choices={"block": BLOCKS, "rounding": tuple(ROUNDINGS)},
    cases=({"size": 4}, {"block": "olive4"}),
)

# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit
from hw.pe.pe import PE, PEParams

UNIT = Unit(
    name="pe",
    summary="exact dot-product processing element for any pair of number formats",
    params=PEParams,
    build=PE,
    golden="sim.golden.pe.pe",
    help={
        "format": "weight format, or a family such as int with --bits (default: int4)",
        "bits": "width of the weight; alone it picks that width's default format",
        "act": "activation format",
        "arch": "datapath: a real multiplier, shifts and adds, or the smaller of the two",
        "lanes": "products per beat",
        "max_k": "longest dot product, in products; sizes the accumulator",
        "acc_bits": "accumulator width, if wider than needed",
        "pipeline": "register stages before the accumulator",
        "core": "streaming unit, bare accumulating cell, or combinational dot product",
        "target": "technology that decides the structure, never the function",
    },
    choices={
        "arch": ("multiply", "shift-add", "auto"),
        "core": ("stream", "accumulate", "dot"),
        "target": ("gates", "xcup", "ecp5", "ice40"),
    },
    cases=({"format": "int4"}, {"format": "int2", "act": "int2", "lanes": 2}),
)

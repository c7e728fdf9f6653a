# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit
from hw.pe.params import ARCHS, CORES, TARGETS, PEParams
from hw.pe.pe import build

UNIT = Unit(
    name="pe",
    summary="exact dot-product processing element for any pair of number formats",
    params=PEParams,
    build=build,
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
        "window": "LOW:HIGH: fixed-point window of a float activation; bf16 has -24:16",
        "target": "technology that decides the structure, never the function",
    },
    choices={
        "arch": ARCHS,
        "core": CORES,
        "target": TARGETS,
    },
    cases=({"format": "int4"}, {"format": "int2", "act": "int2", "lanes": 2}),
)

# SPDX-License-Identifier: Apache-2.0
from gen.unit import Unit, menu
from hw.pe.arch import NAMES, architecture
from hw.pe.params import ARCHS, CORES, TARGETS, PEParams
from hw.pe.pe import build


def _takers(option: str) -> str:
    return ", ".join(name for name in NAMES if option in architecture(name).options) or "none"


def _menu() -> str:
    """Return a paragraph for each architecture."""
    archs = [architecture(name) for name in NAMES]
    rows = ((each.name, f"{each.summary} ({each.source}); {each.cycles}") for each in archs)
    return menu("architectures (--arch):", rows)


UNIT = Unit(
    name="pe",
    epilog=_menu(),
    summary="exact dot-product processing element for any pair of number formats",
    params=PEParams,
    build=build,
    golden="sim.golden.pe.pe",
    help={
        "format": "weight format (`python -m gen formats` lists them), or a family such as int "
        "with --bits (default: int4)",
        "bits": "width of the weight; alone it picks that width's default format",
        "act": "activation format",
        "arch": "datapath, see below; auto: the smallest on record for the target",
        "lanes": "products per beat",
        "max_k": "longest dot product, in products; sizes the accumulator",
        "acc_bits": "accumulator width (default: the least that never overflows)",
        "pipeline": "register stages before the accumulator, 0 to 3; each adds a cycle of latency",
        "core": "streaming unit, bare accumulating cell, or combinational sum of one beat",
        "window": "--window=LOW:HIGH: truncate a float activation to multiples of 2^LOW below "
        "2^HIGH (default: -24:16 for bf16, none for others)",
        "columns": "dot products that share the activations of a beat, for " + _takers("columns"),
        "mode": "way of computing, for " + _takers("mode"),
        "sparsity": "N:M, the weights kept of each M, for " + _takers("sparsity"),
        "zero_columns": "bit columns pruned from the weights, for " + _takers("zero_columns"),
        "group": "products that share a scale, for " + _takers("group"),
        "scale": "format of the weights' scales (e8m0, ue4m3, ue5m3, fp16, bf16, int8), for "
        + _takers("scale"),
        "act_scale": "format of the activations' scales, for " + _takers("act_scale"),
        "zero_point": "each group's weights have a zero point, for " + _takers("zero_point"),
        "sum": "how scaled groups are added: exact, fp32-seq or fp32-tree, for " + _takers("sum"),
        "target": "what the logic is made for: gates get compressor trees, FPGAs adders on their "
        "carry chains; auto picks the arch by areas on this target; the function is the same",
    },
    choices={
        "arch": ARCHS,
        "core": CORES,
        "target": TARGETS,
    },
    cases=(
        {"format": "int4"},
        {"format": "int2", "act": "int2", "lanes": 2},
        {"format": "int2", "act": "int2", "group": 2, "scale": "int8", "max_k": 4},
        {"format": "int2", "act": "int2", "lanes": 2, "group": 2, "scale": "e8m0", "max_k": 4},
        *({"arch": name, **case} for name in NAMES for case in architecture(name).cases),
    ),
)

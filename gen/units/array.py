# SPDX-License-Identifier: Apache-2.0
from gen.epilogue import FINISH_HELP
from gen.unit import Unit, menu
from hw.mpgemm.array import build
from hw.mpgemm.array_params import LOADS, SKEWS, ArrayParams
from hw.mpgemm.dataflow import NAMES, dataflow
from hw.mpgemm.finish import REQUANTS
from hw.mpgemm.groups import GROUP_SUMS
from hw.pe.params import ARCHS, TARGETS


def _menu() -> str:
    """Return a paragraph for each dataflow."""
    flows = [dataflow(name) for name in NAMES]
    rows = ((each.name, f"{each.summary} ({each.source}); {each.cycles}") for each in flows)
    return menu("dataflows (--dataflow):", rows)


UNIT = Unit(
    name="array",
    epilog=_menu(),
    summary="array of processing elements: exact matrix products of any size over AXI4-Streams",
    params=ArrayParams,
    build=build,
    golden="sim.golden.mpgemm.array",
    help={
        "dataflow": "what stays and what moves, see below",
        "format": "weight format (`python -m gen formats` lists them), or a family such as int "
        "with --bits (default: int4)",
        "bits": "width of the weight; alone it picks that width's default format",
        "act": "activation format",
        "arch": "datapath of the cells, see `python -m gen pe --help`; csa keeps sums in two words "
        "and resolves them at the edge",
        "rows": "rows of the array",
        "columns": "columns of the array",
        "lanes": "products per cell and cycle",
        "max_k": "longest dot product, in products; sizes the accumulators",
        "acc_bits": "accumulator width (default: the least that never overflows)",
        "pipeline": "register stages of a cell before its accumulator, 0 to 3",
        "target": "what the logic is made for; the function is the same",
        "window": "--window=LOW:HIGH: truncate a float activation to multiples of 2^LOW below "
        "2^HIGH (default: -24:16 for bf16, none for others)",
        "depth": "rows of results whose sums is, os-ws and ws keep (default: 64)",
        "load": "row: ws takes a row of a tile a cycle; tile: all of it, so that one row of "
        "activations keeps the array busy (matrix times vector)",
        "group": "products that share a scale, a multiple of lanes; for broadcast, cube, os, tree",
        "scale": "format of the scales of a column's groups (e8m0, ue4m3, ue5m3, fp16, bf16, int8)",
        "act_scale": "format of the scales of a row's groups",
        "zero_point": "each column's group has a zero point, an int8 taken from its weights",
        "skew": "what delays the operands of is, os, os-ws and ws at the edges: regs, triangles of "
        "registers; addr, small memories read at delayed addresses",
        "sparsity": "N:M with arch nm: N of every M weights are stored, each with an index",
        "sum": "how groups are added: int leaves them as they are, exact, fp32-seq (default: int "
        "without scale, exact for int8, else fp32-seq)",
        **FINISH_HELP,
    },
    choices={
        "dataflow": NAMES,
        "arch": ARCHS,
        "target": TARGETS,
        "sum": GROUP_SUMS,
        "load": LOADS,
        "skew": SKEWS,
        "requant": REQUANTS,
    },
    cases=tuple({"dataflow": name, **case} for name in NAMES for case in dataflow(name).cases),
)

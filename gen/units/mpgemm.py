# SPDX-License-Identifier: Apache-2.0
from gen.epilogue import FINISH_HELP
from gen.unit import Unit, menu
from hw.mpgemm.engines import NAMES, engine_kind
from hw.mpgemm.finish import REQUANTS
from hw.mpgemm.mpgemm import build
from hw.mpgemm.params import OPTIONS, MpGemmParams
from hw.pe.params import TARGETS


def _takers(option: str) -> str:
    """Return the engines that take an option, each with its default."""
    defaults = {name: engine_kind(name).options for name in NAMES}
    given = {name: options[option] for name, options in defaults.items() if option in options}
    known = [name if value is None else f"{name} ({value})" for name, value in given.items()]
    return ", ".join(known) or "none"


def _menu() -> str:
    """Return a paragraph for each engine."""
    kinds = [engine_kind(name) for name in NAMES]
    rows = ((each.name, f"{each.summary} ({each.source}); {each.cycles}") for each in kinds)
    text = menu("engines (--engine):", rows)
    return f"""{text}

elongated tile M2 N64 K4 of LUT Tensor Core:
  --engine lut --rows 2 --columns 64 --group 4 --bits 2 [--act fp16]"""


_HELP = {
    "bits": "most bits of a weight, 1 to 8; a job may have fewer",
    "scheme": "weights: twos complement, or offset, which is code minus zero point; "
    "bipolar: bits are digits -1 and +1",
    "zero_point": "code of the weight zero with scheme offset (default: half of the codes)",
    "group": "activations that share a table, 2 to 8",
    "tables": "tables for each row, all looked up in every cycle; a step has group x tables "
    "products",
    "planes": "bit planes of the weights that are looked up at once",
    "table_kind": "half: sums over plus or minus each activation, of which one sign is stored; "
    "full: sums of every subset; split: one half table for at most two activations each",
    "format": "weight format",
    "book": "table format of the weights, such as nf4, sf4 or codebook:-3,0,1,5; rows: "
    "each column has a book of its own, which comes with the job",
    "products": "each: one for each weight; shared: one for each activation and value of the book; "
    "buckets: one for each sum of the activations with the same weight, at a tile's end",
    "lanes": "products of a step for each sum",
    "group_size": "products that share a scale, a multiple of those of a step",
    "scale": "format of the scales of a column's groups",
    "act_scale": "format of the scales of a row's groups",
    "zero_points": "each column's group has a zero point, an int8 taken from its weights",
    "sum": "how groups are added: int (not), exact, fp32-seq",
    **FINISH_HELP,
    "subvector": "activations that are coded together",
    "centroids": "vectors of which the nearest stands for them",
    "distance": "sum of magnitudes (l1) or of squares (l2) of differences",
    "entry_bits": "bits of a table's entries, which come with the job",
    "window": "--window=LOW:HIGH: truncate a float activation to multiples of 2^LOW below 2^HIGH; "
    "more is not finite",
    "table_bits": "bits of an entry of tables on the port that are rounded, such as T-MAC's 8",
    "aggregate": "of rounded tables' lookups in a step: sum; average: tables times their average "
    "by pairs, rounded up (T-MAC's fast aggregation)",
    "table_source": "builder: inside, from activations; port: s_axis_act brings the tables",
}

UNIT = Unit(
    name="mpgemm",
    epilog=_menu(),
    summary="matrix engines without multipliers: exact products of any size over AXI4-Streams",
    params=MpGemmParams,
    build=build,
    golden="sim.golden.mpgemm.lut",
    help={
        "engine": "how products are made, see below",
        "act": "activation format",
        "rows": "rows of a tile",
        "columns": "columns of a tile",
        "max_k": "longest dot product, in products; sizes the accumulators",
        "acc_bits": "accumulator width (default: the least that never overflows)",
        "pipeline": "register stages before the accumulators",
        "target": "what the logic is made for; the function is the same",
        **{name: f"{_HELP[name]}; for {_takers(name)}" for name in OPTIONS},
    },
    choices={
        "engine": NAMES,
        "target": TARGETS,
        "scheme": ("twos", "offset", "bipolar"),
        "products": ("each", "buckets", "shared"),
        "distance": ("l1", "l2"),
        "table_kind": ("half", "full", "split"),
        "table_source": ("builder", "port"),
        "requant": REQUANTS,
        "aggregate": ("sum", "average"),
    },
    cases=tuple({"engine": name, **case} for name in NAMES for case in engine_kind(name).cases),
)

# SPDX-License-Identifier: Apache-2.0
"""Manifests of co-processors, without emitting any."""

from typing import Any

from hw.coprocessor.params import CoprocessorParams
from hw.spec.coprocessor import format_number
from hw.spec.formats import parse

__all__ = ["ENGINES", "manifest_of"]

#: An engine of each kind, small.
ENGINES = {
    "cube": "array --dataflow cube --rows 4 --columns 4 --lanes 4 --format int4",
    "tree": "array --dataflow tree --rows 1 --columns 2 --lanes 4 --format int4 --max-k 1024",
    "os": "array --dataflow os --rows 3 --columns 5 --format int8",
    "narrow": "array --dataflow cube --rows 2 --columns 3 --lanes 2 --format int3 --act int5",
    "float": "array --dataflow broadcast --rows 2 --columns 3 --format e2m1 --act e4m3",
    "mx": "array --dataflow cube --rows 2 --columns 4 --lanes 4 --format int4 --group 16 "
    "--scale fp16 --act-scale fp16 --zero-point",
    "shift-add": "mpgemm --engine shift-add --rows 2 --columns 4 --format int4 --lanes 4 "
    "--group-size 16 --scale bf16",
    "requant": "array --dataflow os --rows 2 --columns 4 --format int8 --requant rhu --bias",
    "uint8": "array --dataflow cube --rows 2 --columns 4 --lanes 2 --format int4 --requant rne "
    "--requant-out uint8 --out-zero-point --bias",
    "lut": "mpgemm --engine lut --bits 4 --rows 2 --columns 8 --group 4",
    "trits": "mpgemm --engine lut-ternary --group 4 --rows 2 --columns 5 --tables 2",
    "ternary": "mpgemm --engine ternary-add --rows 2 --columns 4 --lanes 4",
    "planes": "mpgemm --engine bit-plane --act int6 --bits 6 --planes 1 --lanes 8 --rows 2 "
    "--columns 4",
    "nf4": "mpgemm --engine codebook --book nf4 --rows 2 --columns 4 --lanes 2",
    "nm": "array --dataflow cube --arch nm --sparsity 2:4 --format int4 --lanes 4 --columns 4 "
    "--rows 2",
    "pq": "mpgemm --engine pq --rows 2 --columns 5 --subvector 4 --centroids 8",
}


def manifest_of(engine: str, **others: Any) -> dict[str, Any]:
    """Return the manifest of a co-processor around an engine, without its Verilog."""
    p = CoprocessorParams(engine=ENGINES.get(engine, engine), **others)
    registers = p.registers
    build = registers["BUILD"].reset
    parameters = dict(p.engine_params.resolved)
    unit = p.resolved["engine_parameters"]["unit"]
    act = parse(p.engine_params.act)
    return {
        "unit": "coprocessor",
        "module": "coprocessor",
        "parameters": p.resolved,
        "contract": {
            "engine": {"unit": unit, "parameters": parameters},
            "registers": registers.describe(),
            "build": build,
            "rows": p.rows,
            "columns": p.columns,
            "depth": p.depth,
            "beats": p.beats,
            "act_slot": p.act_slot,
            "w_slot": p.w_slot,
            "s_slot": p.s_slot,
            "c_bytes": p.c_bytes,
            "c_signed": p.signed,
            "c_format": "fp32" if p.result_float else "int",
            "group_steps": p.group_steps,
            "act_scale": p.act_scale,
            "addr_bits": p.addr_bits,
            "size_bits": p.size_bits,
            "features": p.features,
            "data_width": p.data_width,
            "a_depth": p.act_depth,
            "a_word": p.act_word,
            "w_depth": p.wgt_depth,
            "s_depth": p.scale_depth,
            "max_burst": p.max_burst,
            "outstanding": p.outstanding,
            "formats": {"a_fmt": format_number(act), "w_fmt": p.w_format},
            "layout": p.layout,
        },
    }

# SPDX-License-Identifier: Apache-2.0
"""Parameters of the co-processor: presets, sizes from the engine, what is refused."""

from typing import Any

import pytest

from hw.coprocessor.engine_text import engine_params_of
from hw.coprocessor.params import DEFAULTS, PRESETS, CoprocessorParams
from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.params import MpGemmParams

ARRAY = "array --dataflow cube --rows 4 --columns 4 --lanes 4 --format int4"


def test_an_engine_is_what_its_command_line_says() -> None:
    text = "array --dataflow=os --rows 3 --columns '5' --format int8 --requant rhu --bias"
    assert engine_params_of(text) == ArrayParams(
        dataflow="os", rows=3, columns=5, format="int8", requant="rhu", bias=True
    )
    text = "mpgemm --engine shift-add --format int4 --group-size 8 --scale fp16 --zero-points"
    assert engine_params_of(text) == MpGemmParams(
        engine="shift-add", format="int4", group_size=8, scale="fp16", zero_points=True
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (3, "text, not 3"),
        ("", "array or mpgemm, not ''"),
        ("pe --rows 2", "not 'pe --rows 2'"),
        ("array 'x", "No closing quotation"),
        ("array rows", "not 'rows'"),
        ("array --engine lut", "options of array, not '--engine'"),
        ("array --rows", "--rows of the engine must have a value"),
        ("array --rows --columns 3", "--rows of the engine must have a value"),
        ("array --rows x", "integer, not 'x'"),
        ("array --rows 2 --rows 3", "once, not again with"),
        ("array --bias=1 --requant rhu", "no value, not '1'"),
        ("array --rows 0", "engine: rows must be an integer from 1 to 256, not 0"),
    ],
)
def test_a_text_that_names_no_engine_is_refused(text: Any, told: str) -> None:
    with pytest.raises(ValueError, match="(?s)" + told.replace("--", "[-]-")) as caught:
        CoprocessorParams(engine=text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"preset": "big"}, "preset must be one of tiny, small, ultra96, kv260, not 'big'"),
        ({"data_width": 48}, "data_width must be 32, 64, 128 or 256, not 48"),
        ({"data_width": 512}, "not 512"),
        ({"addr_bits": 12}, "addr_bits must be an integer from 16 to 64, not 12"),
        ({"engine": f"{ARRAY};"}, "engine must have an engine before and after each ;, not 'array"),
        (
            {"engine": f"{ARRAY}; array --dataflow os --rows 4 --columns 2"},
            "tiles of the same size, 4 x 4 as the first, not 4 x 2 of 'array --dataflow os",
        ),
        ({"engine": "; ".join([ARRAY] * 17)}, "engine must name at most 16 engines, not 17"),
        ({"act_kib": 0}, "act_kib must be an integer from 1 to 4096, not 0"),
        ({"outstanding": True}, "outstanding must be an integer from 1 to 64, not True"),
        ({"max_burst": 24}, "max_burst must be a power of two, not 24"),
        ({"max_burst": 256, "data_width": 256}, "at most 128 with data_width 256"),
        ({"perf": 1}, "perf must be True or False, not 1"),
        ({"protect": "parity"}, "protect must be none or secded, not 'parity'"),
        ({"accumulate": 1}, "accumulate must be True or False, not 1"),
        (
            {"accumulate": True, "engine": f"{ARRAY} --group 8 --scale fp16"},
            "accumulate must not be given where no engine gives sums of integers",
        ),
        (
            {"accumulate": True, "data_width": 32, "engine": f"{ARRAY} --acc-bits 40"},
            "data_width must be at least 64, the bits of a result, with accumulate, not 32",
        ),
        ({"engine": "array --dataflow ws"}, "depth must be 1 with dataflow ws .*, not 64"),
        ({"engine": "array --dataflow is"}, "os-ws, tree or ws, not 'is', which gives columns"),
        ({"engine": "mpgemm --engine lut --table-source port"}, "builder .* not 'port'"),
        ({"engine": "mpgemm --engine codebook --book rows --bits 3"}, "not 'rows'.* 8 beats"),
        ({"engine": "array --group 8"}, "scale .* but 8 products"),
        ({"engine": "array --dataflow cube --lanes 6"}, "power of two .* 8 bits a code, not 6"),
        ({"engine": "array --rows 256"}, "rows must be at most 255 .* not 256"),
        ({"engine": "array --act e5m2 --format e5m2"}, "at most 64 bits .* not 128"),
        (
            {"engine": "array --dataflow cube --rows 64 --lanes 32", "act_kib": 1},
            "act_kib must be at least 4 .* not 1",
        ),
        (
            {"engine": "array --dataflow cube --columns 64 --lanes 32", "wgt_kib": 1},
            "wgt_kib must be at least 2 .* not 1",
        ),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        CoprocessorParams(**options)


def test_options_win_over_a_preset() -> None:
    assert CoprocessorParams() == CoprocessorParams(**DEFAULTS)
    for name, preset in PRESETS.items():
        params = CoprocessorParams(preset=name)
        assert {key: getattr(params, key) for key in preset} == preset
        assert CoprocessorParams(preset=name, data_width=64, perf=True).data_width == 64
        assert CoprocessorParams(preset=name, perf=True).perf


def test_buffers_of_ultra96_hold_a_of_256_by_256() -> None:
    params = CoprocessorParams(preset="ultra96")
    words = 256 * 8 // params.act_word
    assert 256 // params.rows * words <= params.act_depth
    assert 256 * params.w_slot * 2 <= params.wgt_kib << 10  # two panels of W


def test_sizes_follow_from_the_engine() -> None:
    params = CoprocessorParams(engine=ARRAY + " --act e2m3", data_width=32, act_kib=3)
    assert (params.act_slot, params.w_slot, params.s_slot, params.c_bytes) == (8, 8, 0, 4)
    assert (params.act_word, params.act_depth, params.wgt_word) == (32, 128, 64)
    assert (params.rows, params.columns, params.depth, params.beats) == (4, 4, 4, 1)
    assert (params.a_format, params.w_format, params.layout, params.engines) == (15, 2, 2, 1)
    text = "mpgemm --engine lut --bits 4 --planes 2 --columns 3 --group 2 --tables 2"
    params = CoprocessorParams(engine=text)
    assert (params.beats, params.plane_counts, params.layout) == (2, (1, 2, 3, 4), 1)
    assert (params.w_align, params.w_slot, params.engines, params.table_group) == (4, 4, 2, 2)
    assert (params.lookups_per_beat, params.macs_per_step) == (2 * 3 * 2 * 2, 2 * 3 * 4)
    text = ARRAY + " --group 12 --scale fp16 --act-scale fp16 --zero-point"
    params = CoprocessorParams(engine=text)
    assert (params.group, params.group_steps, params.s_slot, params.s_align) == (12, 3, 32, 16)
    assert params.has_scale and params.act_scale and params.has_zero_point and params.result_float
    text = ARRAY + " --requant rhu --requant-out uint8 --bias"
    params = CoprocessorParams(engine=text)
    assert (params.c_bytes, params.signed, params.has_bias, params.group) == (1, False, True, 0)
    sparse = CoprocessorParams(engine=ARRAY + " --arch nm --sparsity 2:4")
    assert (sparse.engines, sparse.layout, sparse.depth) == (0b100001, 5, 8)


def test_registers_tell_what_is_built() -> None:
    params = CoprocessorParams()
    registers, cap = params.registers, {}
    for name in ("CAP0", "CAP1", "CAP2", "CAP3"):
        register = registers[name]
        cap |= {f.name: register.get(register.reset, f.name) for f in register.fields}
    assert cap == {
        "ENGINES": 1, "MAX_BITS": 4, "ACT_BITS": 8, "ACC_BITS": params.shape.acc_bits,
        "ROWS": 4, "COLUMNS": 4, "DEPTH": 4, "GROUP": 0, "BUFFER_KIB": 16, "ACC_KIB": 1,
        "LOG2_BYTES": 3, "MAX_BURST": 15, "OUTSTANDING": 8, "ADDR_BITS": 32,
    }  # fmt: skip


def test_build_is_of_what_is_computed() -> None:
    def build(**options: Any) -> int:
        return CoprocessorParams(**options).registers["BUILD"].reset

    same = build()
    assert build(engine=ARRAY + " --pipeline 1") == same
    assert build(act_kib=16, max_burst=32, perf=False, protect="secded") == same
    assert build(data_width=128) != same
    assert build(engine=ARRAY + " --max-k 77") != same
    assert build(engine=ARRAY.replace("int4", "e2m1")) != same


def test_the_manifest_has_every_choice() -> None:
    resolved = CoprocessorParams(preset="tiny", act_kib=2).resolved
    assert resolved["preset"] == "tiny" and resolved["data_width"] == 32
    assert resolved["act_kib"] == 2
    assert resolved["engine_parameters"]["unit"] == "array"
    assert resolved["engine_parameters"]["max_k"] == 1024

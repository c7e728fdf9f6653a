# SPDX-License-Identifier: Apache-2.0
"""Requantisation at an engine's end: sizes of its parameters, and messages."""

import pytest

from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.finish import REQUANTS
from hw.mpgemm.params import MpGemmParams

CUBE = {"dataflow": "cube", "format": "int4", "rows": 2, "columns": 3, "lanes": 2}

#: What a column takes for each tile: multiplier, shift, bias or lambda, zero point.
FIELDS = {
    "rhu": (32 + 6, 32 + 6 + 32 + 9),
    "tflite": (32 + 7, 32 + 7 + 32 + 9),
    "gemmlowp": (32 + 7, None),
    "rbe": (16 + 6 + 32, None),
}


@pytest.mark.parametrize("scheme", FIELDS)
def test_bits_of_a_beat(scheme):
    plain, full = FIELDS[scheme]
    shape = ArrayParams(**CUBE, requant=scheme, max_k=64).shape
    assert (shape.scale_bits, shape.finish_bits, shape.group_bits) == (3 * plain, 3 * plain, 0)
    assert not shape.scaled
    if full is not None:
        chosen = ArrayParams(**CUBE, requant=scheme, bias=True, out_zero_point=True)
        assert chosen.shape.scale_bits == 3 * full


def test_it_lies_above_the_scales_of_a_group():
    groups = {"group": 4, "scale": "int8", "act_scale": "int8", "zero_point": True}
    shape = ArrayParams(**CUBE, **groups, requant="floor", mult_bits=8).shape
    assert shape.group_bits == 3 * 8 + 3 * 8 + 2 * 8
    assert shape.finish_bits == 3 * (8 + 6)
    assert shape.scale_bits == shape.group_bits + shape.finish_bits


@pytest.mark.parametrize(
    ("out", "bits", "unsigned"),
    [(None, 8, False), ("uint8", 8, True), ("int9", 16, False), ("uint16", 16, True),
     ("uint3", 8, True), ("int16", 16, False)],
)  # fmt: skip
def test_results(out, bits, unsigned):
    params = ArrayParams(**CUBE, requant="rne", requant_out=out)
    result = params.epilogue.result(params.shape)
    assert (result.out_bits, result.unsigned) == (bits, unsigned)
    assert params.resolved["requant_out"] == (out or "int8")
    assert params.resolved["mult_bits"] == 32


def test_the_input_is_wide_enough():
    params = ArrayParams(**CUBE, requant="rhu", bias=True)
    assert params.epilogue.finish.in_bits == 33
    params = ArrayParams(**CUBE, requant="rhu", bias=True, acc_bits=40)
    assert params.epilogue.finish.in_bits == 41


@pytest.mark.parametrize(
    "engine", ("lut", "lut-ternary", "shift-add", "ternary-add", "codebook", "bit-plane", "pq")
)
def test_every_engine_whose_sums_stay(engine):
    shape = MpGemmParams(engine=engine, columns=3, requant="rbe", max_k=64).shape
    assert shape.finish_bits == 3 * (16 + 6 + 32)


def test_it_lies_above_centroids():
    shape = MpGemmParams(engine="pq", subvector=2, centroids=3, requant="rbe").shape
    assert shape.group_bits == 3 * 2 * 8 and not shape.scaled


@pytest.mark.parametrize(("flow", "columns"), [("ws", 3), ("is", 1), ("os-ws", 3)])
def test_an_operand_that_stays(flow, columns):
    """Where activations stay a beat of results, and so of numbers, is of one column."""
    params = ArrayParams(dataflow=flow, format="int4", columns=3, requant="rhu", max_k=64)
    for shape in (params.shape, params.row_shape):
        assert shape.scale_bits == shape.finish_bits == columns * (32 + 6)
    assert params.epilogue.result(params.shape).out_bits == 8


REFUSED = {
    "requant must be one of rhu, rha, rne, floor, gemmlowp, tflite, rbe, not 'ibert'": {
        "requant": "ibert"
    },
    "requant_out must be intN or uintN, not 'fp16'": {"requant": "rhu", "requant_out": "fp16"},
    "mult_bits must be an integer from 2 to 32, not 40": {"requant": "rhu", "mult_bits": 40},
    "mult_bits must be an integer from 32 to 32, not 16": {"requant": "tflite", "mult_bits": 16},
    "requant_out must not be given without requant, but is 'int8'": {"requant_out": "int8"},
    "bias must not be given without requant, but is True": {"bias": True},
    "out_zero_point must not be given without requant, but is True": {"out_zero_point": True},
    "mult_bits must not be given without requant, but is 8": {"mult_bits": 8},
    "bias must not be given with requant rbe, which adds its lambda, but is True": {
        "requant": "rbe", "bias": True
    },
    "bias must not be given with requant gemmlowp, which takes 32 bits at most, but is True": {
        "requant": "gemmlowp", "bias": True
    },
    "max_k must be so small with requant gemmlowp that sums have at most 32 bits, not 33": {
        "requant": "gemmlowp", "acc_bits": 33
    },
    "max_k must be so small with requant rhu that sums with their bias have at most 64 bits, "
    "not 65": {"requant": "rhu", "acc_bits": 64, "bias": True},
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_refused(message):
    for make, given in ((ArrayParams, CUBE), (MpGemmParams, {"engine": "lut"})):
        with pytest.raises(ValueError) as error:
            make(**given, **REFUSED[message])
        assert str(error.value) == message


def test_refused_where_sums_are_no_integers():
    groups = {"group": 4, "scale": "fp16"}
    text = "requant must not be given with sum fp32-seq, but is 'rhu'; exact takes it"
    with pytest.raises(ValueError, match=text):
        ArrayParams(**CUBE, **groups, requant="rhu")
    with pytest.raises(ValueError, match=text.replace("fp32-seq", "int")):
        ArrayParams(**CUBE, group=4, requant="rhu")
    for flow in ("is", "os-ws", "ws"):
        text = (
            f"group must not be given with dataflow {flow}, but is 4; broadcast, cube, os and tree "
            "take it"
        )
        with pytest.raises(ValueError, match=text):
            ArrayParams(dataflow=flow, group=4, scale="int8", requant="rhu")
        with pytest.raises(ValueError, match="bias must not be given without requant, but is True"):
            ArrayParams(dataflow=flow, bias=True)
    with pytest.raises(ValueError, match="requant must not be given with book rows, whose books"):
        MpGemmParams(engine="codebook", book="rows", requant="rhu")
    with pytest.raises(ValueError, match="requant must be one of rhu"):
        MpGemmParams(engine="pq", requant="ibert")
    with pytest.raises(ValueError, match="bias must not be given without requant, but is True"):
        MpGemmParams(engine="pq", bias=True)


def test_every_scheme_is_one_of_the_unit():
    from hw.quant.requant_params import SCHEMES

    assert set(SCHEMES) - set(REQUANTS) == {"ibert"}

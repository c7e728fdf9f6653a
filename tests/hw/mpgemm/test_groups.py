# SPDX-License-Identifier: Apache-2.0
"""Groups of products of any engine: sizes that follow from them, and messages."""

import pytest

from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.params import MpGemmParams

#: Every engine whose groups can have scales, with steps of four products.
GROUPED = {
    "lut": {"group": 2, "tables": 2},
    "lut-ternary": {"group": 2, "tables": 2},
    "shift-add": {"lanes": 4},
    "ternary-add": {"lanes": 4},
    "codebook": {"lanes": 4},
    "bit-plane": {"lanes": 4},
}


@pytest.mark.parametrize("engine", GROUPED)
def test_sizes(engine):
    given = {"engine": engine, "rows": 3, "columns": 5, "max_k": 100, **GROUPED[engine]}
    alone = MpGemmParams(**given)
    scaled = MpGemmParams(**given, group_size=8, scale="fp16", act_scale="ue4m3")
    assert scaled.shape.group_steps == 2
    assert scaled.shape.scale_bits == 5 * 16 + 3 * 8
    assert scaled.shape.acc_bits < alone.shape.acc_bits  # of a group, not of all products
    assert scaled.resolved["sum"] == "fp32-seq"
    assert alone.shape.scale_bits == 0


def test_the_array_and_the_engine_agree():
    groups = {"scale": "int8", "max_k": 100, "rows": 2, "columns": 2, "lanes": 4}
    one = MpGemmParams(engine="shift-add", group_size=8, zero_points=True, **groups)
    other = ArrayParams(
        dataflow="cube", arch="shift-add", format="int4", group=8, zero_point=True, **groups
    )
    assert one.shape == other.shape
    assert one.groups.result(one.shape) == other.groups.result(other.shape)


def _refused(message, **given):
    with pytest.raises(ValueError) as error:
        MpGemmParams(**given)
    assert str(error.value) == message


@pytest.mark.parametrize("engine", GROUPED)
def test_refused(engine):
    given = {"engine": engine, **GROUPED[engine]}
    _refused("scale must not be given without group_size, but is 'fp16'", **given, scale="fp16")
    _refused("sum must not be given without group_size, but is 'int'", **given, sum="int")
    given["group_size"] = 8
    _refused("scale must be given with sum exact, such as fp16", **given, sum="exact")
    _refused("sum must be one of int, exact, fp32-seq, not 'fp16'", **given, sum="fp16")
    _refused("act_scale must not be given with sum int, but is 'fp16'", **given, act_scale="fp16")
    if engine != "codebook":
        text = "zero_points must not be given with sum int, but is True"
        _refused(text, **given, zero_points=True)


@pytest.mark.parametrize("engine", ("lut", "lut-ternary", "bit-plane"))
@pytest.mark.parametrize("size", (0, 6, True, "8"))
def test_a_group_is_a_number_of_steps(engine, size):
    text = f"group_size must be a multiple of 4, the products of a step, not {size!r}"
    _refused(text, engine=engine, **GROUPED[engine], group_size=size)


def test_what_has_no_zero_points():
    given = {"group_size": 8, "scale": "fp16", "zero_points": True}
    _refused(
        "zero_points must not be given with table_source port, whose beats have no activations to "
        "add up, but is True", engine="lut", table_source="port", **given,
    )  # fmt: skip
    _refused(
        "zero_points must not be given with scheme bipolar, but is True",
        engine="bit-plane", lanes=4, scheme="bipolar", act="bipolar2", **given,
    )  # fmt: skip
    _refused(
        "zero_points must not be given with engine codebook, whose codes are no integers to take "
        "one from, but is True", engine="codebook", **given,
    )  # fmt: skip
    _refused(
        "group_size must not be given with book rows, whose books come where scales would, but "
        "is 8", engine="codebook", book="rows", group_size=8,
    )  # fmt: skip


def test_who_takes_groups():
    _refused(
        "group_size must not be given with engine pq, but is 8; these take it: bit-plane, "
        "codebook, lut, lut-ternary, shift-add, ternary-add", engine="pq", group_size=8,
    )  # fmt: skip

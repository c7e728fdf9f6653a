# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``sim/study/engine.py``: the text of an engine with the numbers of a layer."""

import pytest

from sim.study.engine import engine_for

NUMBERS = {"weights": "e2m1", "act": "int8", "group": 32, "scale": "fp16"}
TAIL = "--act int8 --{} 32 --scale fp16"


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("array --rows 2", "array --rows 2 --format e2m1 " + TAIL.format("group")),
        (
            "array --format int8 --rows 2 --group=8 --scale e8m0 --lanes 4",
            "array --rows 2 --lanes 4 --format e2m1 " + TAIL.format("group"),
        ),
        (
            "mpgemm --engine shift-add --group-size 4 --rows 2",
            "mpgemm --engine shift-add --rows 2 --format e2m1 " + TAIL.format("group-size"),
        ),
        (
            "mpgemm --engine=codebook --book nf4",
            "mpgemm --engine=codebook --book e2m1 " + TAIL.format("group-size"),
        ),
    ],
)
def test_numbers_take_the_place_of_those_in_the_text(text, due):
    assert engine_for(text, NUMBERS) == due


def test_what_is_not_given_stays():
    assert engine_for("array --format int3", {"weights": None, "group": 4}) == (
        "array --format int3 --group 4"
    )


@pytest.mark.parametrize("text", ["mpgemm --engine lut --bits 4", "mpgemm", "pe --format int4", ""])
def test_engines_without_a_format_of_weights(text):
    with pytest.raises(ValueError, match=r"^engine must be array, or mpgemm with"):
        engine_for(text, NUMBERS)


def test_a_text_that_is_no_command_line():
    with pytest.raises(ValueError, match="engine must be a command line"):
        engine_for('array "', NUMBERS)

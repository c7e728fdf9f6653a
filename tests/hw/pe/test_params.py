# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/pe/params.py``: what parameters mean, and what is said to wrong ones."""

import pytest

from hw.pe.params import PEParams
from hw.spec.formats import ENUMERABLE, exact_width, parse


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lanes": 0}, "lanes must be an integer from 1 to 1024, not 0"),
        ({"lanes": True}, "lanes must be an integer from 1 to 1024, not True"),
        ({"max_k": 1.5}, "max_k must be an integer from 1 to 16777216, not 1.5"),
        ({"pipeline": 4}, "pipeline must be an integer from 0 to 3, not 4"),
        ({"arch": "systolic"}, "arch must be one of .*multiply.*shift-add.*auto, not .systolic."),
        ({"core": "mac"}, "core must be one of stream, accumulate, dot, not 'mac'"),
        ({"target": "asic"}, "target must be one of gates, xcup, ecp5, ice40, not 'asic'"),
        ({"format": "int4", "bits": 8}, "format 'int4' has 4 bits, which conflicts with bits 8"),
        ({"format": 4}, "format must be a text, not 4"),
        ({"act": None}, "act must be a text, not None"),
        ({"bits": True}, "bits must be an integer from 1 to 16, not True"),
        ({"format": "bf16"}, "format must not be 'bf16'"),
        ({"format": "fp32"}, "format must not be 'fp32', whose exact products are too wide"),
        ({"act": "fp32"}, "act must not be 'fp32'"),
        ({"act": "fp32", "window": "-24:16"}, "act must not be 'fp32'"),
        ({"acc_bits": 19}, "acc_bits must be an integer from 20 to 4096, not 19"),
        ({"act": "bf16", "window": "4:4"}, "window must be LOW:HIGH"),
        ({"act": "bf16", "window": "-300:16"}, "window must be LOW:HIGH"),
        ({"act": "posit8_0", "window": "-4:4"}, "it is no float"),
    ],
)
def test_wrong_parameters(wrong, message):
    with pytest.raises(ValueError, match=message):
        PEParams(**wrong)


@pytest.mark.parametrize("weight", [n for n in ENUMERABLE if n != "bf16"])
@pytest.mark.parametrize("act", ["int8", "e4m3", "posit8_0"])
def test_the_accumulator_has_the_width_of_the_sheet(weight, act):
    params = PEParams(format=weight, act=act, max_k=100)
    assert params.acc_width == exact_width(parse(weight), parse(act), 100)
    assert params.lam == parse(weight).lam + parse(act).lam


def test_a_window_narrows_the_accumulator():
    """255 * 2**32 is the largest windowed magnitude: bf16 has 8 significant bits below 2**16."""
    params = PEParams(format="int4", act="bf16", max_k=1)
    assert params.acc_width == 1 + (8 * (255 << 32)).bit_length()
    assert (params.lam, params.has_nan) == (-24, True)


def test_codebook_files_are_replaced_by_their_values(tmp_path):
    book = tmp_path / "levels"
    book.write_text("0 1\n3, -4\n")
    params = PEParams(format=f"codebook:{book}", act=f"codebook:{book}")
    assert params.format == params.act == "codebook:0,1,3,-4"


def test_notes_tell_what_was_chosen():
    assert PEParams(format="int4", arch="multiply").notes == ()
    assert PEParams(bits=4).notes[0] == "--bits 4 alone: the weights are int4"
    assert PEParams().notes[0] == "no --format: the weights are int4"
    assert "auto: " in PEParams(format="int4").notes[0]
    assert "2**-24" in PEParams(format="int4", act="bf16").notes[-1]

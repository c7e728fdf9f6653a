# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/spec/formats.py``: names, and code books of the user's own."""

from fractions import Fraction

import pytest

from hw.spec.formats import CATALOGUE, parse


def test_names_of_the_catalogue_are_names():
    assert len(set(CATALOGUE)) == len(CATALOGUE)
    assert all(parse(name).name == name for name in CATALOGUE)


@pytest.mark.parametrize(
    "name", ["int04", "int\u0664", "posit08_1", "razer+05", "e\uff12m1", "codebook:"]
)
def test_each_format_has_one_spelling(name):
    with pytest.raises(ValueError, match="unknown format"):
        parse(name)


SMALLEST = "0.000000000000000000000000000000000003944304526105059027058642826413931"


@pytest.mark.parametrize(
    "values",
    [
        ["0", "0.0000152587890625"],  # what Python writes as 1.5e-05
        ["-.5", "1.0000000004656612873077392578125"],  # 32 significant bits
        ["0", "0.00000000000000000005421010862427522170037264004349708557128906250"],
        ["4294967295", "-4294967295"],
    ],
)
def test_the_name_of_a_code_book_holds_its_exact_values(values):
    fmt = parse(f"codebook:{','.join(values)}")
    assert [Fraction(2) ** fmt.lam * v for v in fmt.table] == [Fraction(v) for v in values]
    assert parse(fmt.name) == fmt


@pytest.mark.parametrize("value", [SMALLEST, "0.1", "4294967296.5", "1e5", "1/2"])
def test_values_that_are_no_binary_fractions(value):
    with pytest.raises(ValueError, match="is not a"):
        parse(f"codebook:0,{value}")


@pytest.mark.parametrize("path", ["levels", "./levels", "../here/levels", "./4levels", ".levels"])
def test_a_code_book_file_may_lie_anywhere(path, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / path).write_text("0, 1\n-2.5 4\n")
    assert parse(f"codebook:{path}") == parse("codebook:0,1,-2.5,4")
    (tmp_path / "here" / path).write_text("0 3")
    assert parse(f"codebook:{path}").name == "codebook:0,3", "an old file was remembered"


def test_a_file_that_looks_like_a_number_is_told_how_to_be_written():
    with pytest.raises(ValueError, match=r"written \./FILE"):
        parse("codebook:4levels")

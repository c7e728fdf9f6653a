# SPDX-License-Identifier: Apache-2.0
"""``fpga compare``: rows, their meaning, the picture, and what is said to wrong input."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from fpga.activity import sample_weights, toggles
from fpga.compare import Point, compare, measure, plot, table
from gen.cli import main
from gen.emit import emit
from gen.unit import discover

UNIT = discover()["pe"]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    try:
        status = main("fpga", "", ["compare", "pe", *words])
    except SystemExit as stop:
        status = int(str(stop.code))
    out, err = capsys.readouterr()
    return status, out, err


def test_rows_and_picture(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["--formats", "int4", "--archs", "multiply,shift-add", "--json"]
    status, out, _ = run(capsys, *words, "--plot", str(tmp_path / "a.svg"))
    assert status == 0
    rows = json.loads(out)
    assert [row["arch"] for row in rows] == ["multiply", "shift-add"]
    for row in rows:
        assert row["area_per_mac"] == row["area"] / row["products_per_cycle"]
        assert 0.3 < row["relative"] < 1 < row["toggles_per_mac"]
    plot(rows, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_serial_and_parallel_compare_by_their_rate() -> None:
    base = Point("int8", "int8", "multiply", "gates", area=100, products=1)
    slow = Point("int4", "int8", "serial", "gates", area=100, products=0.25, serial=True)
    wide = Point("int4", "int8", "wide", "gates", area=100, products=8)
    refused = Point("e2m1", "int8", "csa", "gates", refused="no integers")
    rows = compare([slow, wide, refused], base)
    assert [row["relative"] for row in rows] == [4, 0.125, None]
    assert [row["serial"] for row in rows] == [True, False, False]
    assert "refused: no integers" in table(rows)


def test_what_is_off_the_scale_is_drawn_at_its_top(tmp_path: Path) -> None:
    base = Point("int8", "int8", "multiply", "gates", area=100, products=1)
    pictures = []
    for area in (1500, 20_000, 30_000):
        point = Point("int8", "int8", "reuse", "gates", area=area, products=1, serial=True)
        plot(compare([base, point], base), tmp_path / "a.svg")
        pictures.append((tmp_path / "a.svg").read_text())
    inside, high, higher = pictures
    assert "<!-- 200 -->" in high and "<!-- 300 -->" in higher and "<!-- 15 -->" not in inside
    limits = [re.findall(r'<g id="ytick_\d+">', text) for text in (high, higher)]
    assert limits[0] == limits[1]


def test_a_refused_pair_is_a_row() -> None:
    point = measure(("e2m1", "int8", "csa", "gates"), {}, None)
    assert point.refused and "e2m1" in point.refused and point.area is None


def test_toggles() -> None:
    """Nothing toggles for zeros; more bits toggle more; the sample is the same each time."""
    weights = sample_weights()
    assert weights.shape == (64, 64) and 0.01 < weights.std() < 1

    def of(reals: np.ndarray, **parameters: object) -> float | None:
        return toggles(*emit(UNIT, UNIT.params(**parameters)), reals)

    few, many = of(weights, format="int2"), of(weights, format="int8")
    assert few and many and few < many
    assert many == of(weights, format="int8")
    zeros = of(np.zeros((4, 64)), format="int4")
    assert zeros is not None and zeros < 0.5 * few
    assert toggles(*emit(UNIT, UNIT.params(core="dot")), weights) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--formats", "int99"], "int99"),
        (["--archs", "systolic"], "archs must be of .*shift-add.* or all, not 'systolic'"),
        (["--targets", "asic"], "target must be one of .*, not 'asic'"),
        (["--formats", ","], "must not be empty"),
        (["--plot", "figure.txt"], r"plot must end in .svg, .pdf or .png, not 'figure.txt'"),
        (["--weights", "nothing.npy"], "cannot read weights 'nothing.npy': No such file"),
        (["--weights", __file__], "cannot read weights .*: it is no .npy file of numbers"),
    ],
)
def test_wrong_input(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, *words)
    assert status == 2 and out == "" and err.count("\n") == 1
    assert re.search(message, err), err


def test_weights_of_the_wrong_shape(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.zeros(5))
    status, _, err = run(capsys, "--weights", str(tmp_path / "w.npy"))
    assert status == 2 and "2 dimensions" in err


def test_nothing_to_draw(tmp_path: Path) -> None:
    rows = compare([Point("a", "b", "c", "gates", refused="no")], Point("", "", "", "gates"))
    with pytest.raises(ValueError, match="nothing to draw"):
        plot(rows, tmp_path / "x.svg")

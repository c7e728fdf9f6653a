# SPDX-License-Identifier: Apache-2.0
"""``python -m sim study attention`` as a person meets it."""

import csv

import pytest

from gen.cli import main

SMALL = ["study", "attention", "--keys", "8,32", "--queries", "2"]


def sim(*argv):
    return main("sim", "", list(argv))


def test_table_and_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert sim(*SMALL, "--plot", "a.svg") == 0
    out, err = capsys.readouterr()
    rows = list(csv.reader(out.splitlines()))
    assert rows[0] == ["data", "keys", "unit", "bits", "error", "error_of_unit"] and not err
    assert {tuple(row[:2]) for row in rows[1:]} == {
        (data, keys) for data in ("gaussian", "wide") for keys in ("8", "32")
    }
    assert sim(*SMALL, "-o", "t.csv", "--plot", "b.svg") == 0
    assert (tmp_path / "t.csv").read_text() == out and capsys.readouterr() == ("", "")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()


def test_chosen_units(capsys):
    assert sim(*SMALL, "--units", "ita,fa-int", "--data", "wide") == 0
    rows = list(csv.reader(capsys.readouterr().out.splitlines()))[1:]
    assert [row[2] + row[3] for row in rows[:4]] == ["fa-int8", "fa-int12", "fa-int16", "ita8"]
    assert len(rows) == 8


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--data", "real"], "data must be of gaussian, wide, model, not 'real'"),
        (["--units", "soft"], "units must be of exact, fa-int, fa-int-p2, safe, online, two-pass"),
        (["--keys", "0"], "keys must be an integer from 1 to 65536, not '0'"),
        (["--queries", "x"], "queries must be an integer from 1"),
        (["--plot", "no/where.svg"], "cannot write 'no/where.svg'"),
        (["-o", "no/where.csv"], "cannot write 'no/where.csv': No such file"),
        (["--data", "model", "--model", "nowhere"], "cannot read model 'nowhere'"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, monkeypatch, capsys, words, text):
    monkeypatch.chdir(tmp_path)
    argv = ["study", "attention", "--keys", "4", "--queries", "1", "--units", "exact", *words]
    assert sim(*argv) == 2
    out, err = capsys.readouterr()
    assert text in err and err.count("\n") == 1
    assert not out


@pytest.mark.deep
def test_real_model(capsys):
    assert sim("study", "attention", "--data", "model", "--keys", "512", "--queries", "4") == 0
    rows = list(csv.reader(capsys.readouterr().out.splitlines()))[1:]
    assert {row[0] for row in rows} == {f"minilm layer {k}" for k in range(6)}
    error = {(row[0], row[2], row[3]): float(row[4]) for row in rows}
    for layer in (row[0] for row in rows):
        assert error[layer, "fa-int", "12"] < 1.1 * error[layer, "exact", ""] < 0.03
        assert error[layer, "ita", "8"] > 5 * error[layer, "fa-int", "12"]

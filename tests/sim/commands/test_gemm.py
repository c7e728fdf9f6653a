# SPDX-License-Identifier: Apache-2.0
"""``python -m sim pack`` and ``python -m sim gemm`` as a person meets them."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gen.cli import main
from gen.emit import emit
from hw.spec.formats import parse
from sim.golden.encode import encode
from sim.golden.formats import decode_float, legal_codes

CUBE = ["array", "--dataflow", "cube", "--rows", "2", "--columns", "3"]
LUT = ["mpgemm", "--engine", "lut", "--bits", "4", "--columns", "3"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    np.save("A.npy", rng.integers(-128, 128, (5, 13)))
    np.save("W.npy", rng.integers(-8, 8, (13, 7)))
    return tmp_path


def sim(*argv):
    return main("sim", "", list(argv))


def product():
    return np.load("A.npy") @ np.load("W.npy")


def test_model(folder, capsys):
    assert sim("gemm", *CUBE, "A.npy", "W.npy") == 0
    out, err = capsys.readouterr()
    assert out.startswith("C.npy: 5 x 7 int64; ") and out.endswith(" cycles by the model\n")
    assert err == ""
    assert np.load("C.npy").dtype == np.int64
    assert_array_equal(np.load("C.npy"), product())


def test_multiplications_of_codes(folder, capsys):
    np.save("W.npy", np.random.default_rng(1).choice([0, 1, -1, 5], (13, 7)))
    unit = ["mpgemm", "--engine", "codebook", "--book", "codebook:0,1,-1,5"]
    assert sim("gemm", *unit, "A.npy", "W.npy") == 0
    assert capsys.readouterr().out.endswith("; 455 multiplications, 455 one by one\n")
    assert_array_equal(np.load("C.npy"), product())


@pytest.mark.parametrize("command", ["gemm", "pack"])
def test_weights_that_are_not_sparse(folder, command, capsys):
    nm = [command, *CUBE, "--lanes", "2", "--arch", "nm", "--sparsity", "2:4"]
    files = ["A.npy", "W.npy"] if command == "gemm" else ["W.npy", "-o", "C.npy"]
    assert sim(*nm, *files) == 2
    out, err = capsys.readouterr()
    assert not out and "2 weights other than 0 in every 4 rows of a column, but " in err
    assert not (folder / "C.npy").exists()
    assert sim(*nm, *files, "--prune") == 0
    assert sim(*nm, *files, "--job-bits", "4") == 0
    if command == "gemm":
        assert_array_equal(np.load("C.npy"), product())


@pytest.mark.parametrize("flow", ["ws", "is"])
def test_packed_weights(folder, flow, capsys):
    unit = ["array", "--dataflow", flow, "--rows", "2", "--columns", "3", "--depth", "2"]
    assert sim("pack", *unit, "W.npy", "-o", "w.bin") == 0
    told = capsys.readouterr().out
    assert told.startswith(f"w.bin: {(folder / 'w.bin').stat().st_size} bytes, 13 x 7 weights for")
    assert sim("gemm", *unit, "A.npy", "w.bin", "-o", "x.npy") == 0
    assert_array_equal(np.load("x.npy"), product())


def test_fewer_planes(folder):
    np.save("W.npy", np.load("W.npy") % 4 - 2)
    assert sim("gemm", *LUT, "--job-bits", "2", "A.npy", "W.npy") == 0
    assert_array_equal(np.load("C.npy"), product())
    assert sim("pack", *LUT, "--job-bits", "2", "W.npy", "-o", "w.bin") == 0
    assert sim("gemm", *LUT, "A.npy", "w.bin", "-o", "x.npy") == 0
    assert_array_equal(np.load("x.npy"), product())


def test_verilog(folder, capsys):
    assert sim("gemm", *CUBE, "--rtl", "A.npy", "W.npy") == 0
    assert "every beat as the model has it" in capsys.readouterr().out
    assert_array_equal(np.load("C.npy"), product())


def test_verilog_that_is_none(folder, capsys, monkeypatch):
    def other(unit, params):
        return "module other; endmodule\n", emit(unit, params)[1]

    monkeypatch.setattr("gen.emit.emit", other)
    assert sim("gemm", *CUBE, "--rtl", "A.npy", "W.npy") == 1
    assert capsys.readouterr().out.startswith("FAIL  array: ")
    assert not (folder / "C.npy").exists()


def test_values_of_floats_and_their_codes(folder):
    """1.5 times e2m1, and the same as codes: real numbers come out."""
    fmt = parse("e2m1")
    w = decode_float(fmt, legal_codes(fmt)).reshape(8, 2)
    a = np.full((1, 8), 1.5)
    np.save("A.npy", a)
    np.save("W.npy", w)
    unit = ["array", "--dataflow", "broadcast", "--format", "e2m1", "--act", "e4m3"]
    assert sim("gemm", *unit, "A.npy", "W.npy") == 0
    assert np.load("C.npy").dtype == np.float64
    assert_array_equal(np.load("C.npy"), a @ w)
    np.save("A.npy", encode(parse("e4m3"), a))
    np.save("W.npy", encode(fmt, w))
    assert sim("gemm", *unit, "--codes", "A.npy", "W.npy") == 0
    assert_array_equal(np.load("C.npy"), a @ w)


def test_groups(folder):
    """Raw sums of each group, then scaled ones with zero points."""
    unit = [*CUBE, "--group", "4"]
    a, w = np.load("A.npy"), np.load("W.npy")
    assert sim("gemm", *unit, "A.npy", "W.npy") == 0
    parts = [slice(at, at + 4) for at in range(0, 13, 4)]
    raw = np.stack([a[:, part] @ w[part] for part in parts])
    assert_array_equal(np.load("C.npy"), raw)
    rng = np.random.default_rng(2)
    s, t = rng.integers(-128, 128, (4, 7)), rng.integers(-128, 128, (4, 5))
    z = rng.integers(-128, 128, (4, 7))
    for name, values in (("S", s), ("T", t), ("Z", z)):
        np.save(f"{name}.npy", values)
    scaled = [*unit, "--scale", "int8", "--act-scale", "int8", "--zero-point"]
    files = ["--scales", "S.npy", "--act-scales", "T.npy", "--zeros", "Z.npy"]
    assert sim("gemm", *scaled, *files, "A.npy", "W.npy") == 0
    due = sum(
        s[g] * t[g][:, None] * (raw[g] - z[g] * a[:, part].sum(axis=1)[:, None])
        for g, part in enumerate(parts)
    )
    assert_array_equal(np.load("C.npy"), due)
    np.save("S.npy", np.full((4, 7), 0.5))
    assert sim("gemm", *unit, "--scale", "fp16", *files[:2], "A.npy", "W.npy") == 0
    assert np.load("C.npy").dtype == np.float32
    assert_array_equal(np.load("C.npy"), a @ w / 2)


def test_requantisation(folder):
    """Half of each sum and a bias, up to the nearest; NaN of the sums is none here."""
    np.save("R.npy", [[1] * 7, [1] * 7, range(7)])
    options = ["--requant", "rhu", "--requant-out", "int16", "--bias", "--numbers", "R.npy"]
    assert sim("gemm", *CUBE, *options, "A.npy", "W.npy") == 0
    found = np.load("C.npy")
    assert found.dtype == np.int64
    assert_array_equal(found, product() + np.arange(7) + 1 >> 1)


@pytest.mark.parametrize("flow", ["is", "os-ws", "ws"])
def test_requantisation_where_an_operand_stays(folder, flow):
    np.save("R.npy", [[1, 2, 3, 1, 2, 3, 1], [1] * 7, range(7)])
    options = ["--requant", "rhu", "--requant-out", "int16", "--bias", "--numbers", "R.npy"]
    sizes = ["--rows", "2", "--columns", "3", "--depth", "2"]
    assert sim("gemm", "array", "--dataflow", flow, *sizes, *options, "A.npy", "W.npy") == 0
    due = (product() + np.arange(7)) * [1, 2, 3, 1, 2, 3, 1] + 1 >> 1
    assert_array_equal(np.load("C.npy"), np.clip(due, -(1 << 15), (1 << 15) - 1))


def test_requantised_product_quantisation(folder, capsys):
    """Activations are centroids, so that sums are those of the entries which stand for them."""
    rng = np.random.default_rng(4)
    centroids, picked = rng.permutation(24).reshape(3, 4, 2), rng.integers(0, 4, (5, 3))
    tables = rng.integers(-128, 128, (3, 4, 7))
    np.save("A.npy", centroids[np.arange(3), picked].reshape(5, 6))
    np.save("W.npy", tables)
    np.save("S.npy", centroids)
    np.save("R.npy", [range(1, 8), [2] * 7])
    unit = ["mpgemm", "--engine", "pq", "--subvector", "2", "--centroids", "4", "--columns", "3"]
    options = ["--requant", "floor", "--scales", "S.npy"]
    assert sim("gemm", *unit, *options, "--numbers", "R.npy", "A.npy", "W.npy") == 0
    sums = tables[np.arange(3), picked].sum(axis=1)
    assert_array_equal(np.load("C.npy"), np.clip(sums * np.arange(1, 8) >> 2, -128, 127))
    assert sim("gemm", *unit, *options, "A.npy", "W.npy") == 2
    assert "pq with these parameters needs --numbers" in capsys.readouterr().err


def test_requantised_groups(folder):
    rng = np.random.default_rng(3)
    s = rng.integers(-128, 128, (4, 7))
    np.save("S.npy", s)
    np.save("R.npy", [[3] * 7, [9] * 7])
    groups = ["--engine", "ternary-add", "--lanes", "2", "--group-size", "4", "--scale", "int8"]
    options = ["--requant", "floor", "--scales", "S.npy", "--numbers", "R.npy"]
    a, w = np.load("A.npy"), rng.integers(-1, 2, (13, 7))
    np.save("W.npy", w)
    assert sim("gemm", "mpgemm", *groups, *options, "A.npy", "W.npy") == 0
    parts = [slice(at, at + 4) for at in range(0, 13, 4)]
    sums = sum((a[:, p] @ w[p]) * s[g] for g, p in enumerate(parts))
    assert_array_equal(np.load("C.npy"), np.clip(3 * sums >> 9, -128, 127))


def test_numbers_of_requantisation(folder, capsys):
    options = ["gemm", *CUBE, "--requant", "rhu"]
    np.save("R.npy", [[0.5] * 7, [1] * 7])
    np.save("X.npy", [[1] * 7, [64] * 7])
    for more, message in (
        ([], "array with these parameters needs --numbers"),
        (["--numbers", "A.npy"], "'A.npy' must have shape (2, 7), not (5, 13)"),
        (["--numbers", "R.npy"], "'R.npy' must hold integers"),
        (["--numbers", "X.npy"], "s must be 0 to 63, not 64 to 64"),
        (["--numbers", "R.npy", "--scales", "A.npy"], "must hold integers"),
    ):
        assert sim(*options, *more, "A.npy", "W.npy") == 2
        assert message in capsys.readouterr().err
    assert sim("gemm", *CUBE, "--numbers", "R.npy", "A.npy", "W.npy") == 2
    assert "takes no numbers with these parameters, not 'R.npy'" in capsys.readouterr().err


def bad_files(folder):
    np.save("wide.npy", np.full((13, 7), 8))
    np.save("nan.npy", np.full((13, 7), np.nan))
    np.save("line.npy", np.ones(13))
    np.save("tall.npy", np.ones((14, 7)))
    np.save("words.npy", np.array([["a"]]))
    np.save("objects.npy", np.array([[None]]), allow_pickle=True)
    (folder / "cut.npy").write_bytes((folder / "W.npy").read_bytes()[:200])
    (folder / "empty").touch()
    assert sim("pack", *CUBE, "W.npy", "-o", "w.bin") == 0
    (folder / "cut.bin").write_bytes((folder / "w.bin").read_bytes()[:-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([*CUBE, "wide.npy"], "W[0, 0] is 8, which int4 does not have"),
        ([*CUBE, "nan.npy"], "W[0, 0] is nan, which int4 does not have"),
        ([*LUT, "nan.npy"], "W[0, 0] must be an integer, not nan"),
        ([*LUT, "wide.npy"], "weights must be -8 to 7, not 8 to 8"),
        ([*CUBE, "line.npy"], "'line.npy' must have 2 axes, none of size 0, not (13,)"),
        ([*CUBE, "tall.npy"], "A has 13 columns, but W 14 rows"),
        ([*CUBE, "words.npy"], "'words.npy' must hold numbers"),
        ([*CUBE, "objects.npy"], "'objects.npy' is no array of numpy"),
        ([*CUBE, "cut.npy"], "'cut.npy' is no array of numpy"),
        ([*CUBE, "empty"], "'empty' is no array of numpy"),
        ([*CUBE, "nowhere.npy"], "cannot read 'nowhere.npy': No such file"),
        ([*CUBE, "cut.bin"], "bytes, not"),
        ([*CUBE, "--format", "int3", "w.bin"], "packed for format int4, not int3"),
        ([*CUBE, "--codes", "W.npy"], "is not a code of int8"),
        ([*CUBE, "--job-bits", "1", "W.npy"], "unsupported mode"),
        ([*CUBE, "--job-bits", "x", "W.npy"], "job-bits must be an integer from 0 to 15"),
        ([*CUBE, "--max-k", "12", "W.npy"], "K must be 1 to 12, which is max_k, not 13"),
        ([*CUBE, "--scales", "W.npy", "W.npy"], "takes no scales with these parameters"),
        ([*CUBE, "--group", "4", "--scale", "int8", "W.npy"], "needs --scales"),
        (
            [*CUBE, "--group", "4", "--scale", "int8", "--scales", "W.npy", "W.npy"],
            "'W.npy' must have shape (4, 7), not (13, 7)",
        ),
        ([*CUBE, "-o", "nowhere/C.npy", "W.npy"], "cannot write 'nowhere/C.npy': No such file"),
        ([*CUBE, "-o", ".", "W.npy"], "cannot write '.': it is a directory"),
    ],
)
def test_bad_input(folder, options, message, capsys):
    bad_files(folder)
    capsys.readouterr()
    before = sorted(folder.iterdir())
    assert sim("gemm", *options[:-1], "A.npy", options[-1]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([*CUBE, "wide.npy"], "W[0, 0] is 8, which int4 does not have"),
        ([*LUT, "wide.npy"], "weights must be -8 to 7, not 8 to 8"),
        ([*LUT, "nowhere.npy"], "cannot read 'nowhere.npy'"),
        ([*LUT, "--job-bits", "5", "W.npy"], "lut refuses jobs of 5 bit planes"),
    ],
)
def test_what_cannot_be_packed(folder, options, message, capsys):
    bad_files(folder)
    capsys.readouterr()
    before = sorted(folder.iterdir())
    assert sim("pack", *options, "-o", "x.bin") == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1
    assert sorted(folder.iterdir()) == before

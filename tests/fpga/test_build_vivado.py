# SPDX-License-Identifier: Apache-2.0
"""The Ultra96 project, executed by a stand-in for Vivado: structure, files and part, no more."""

import json
import os
import shutil
from pathlib import Path

import pytest

from fpga import tools
from gen.cli import main

STAND_IN = Path(__file__).with_name("vivado_stand_in.tcl")
BUILD = ["build", "--board", "ultra96", "--format", "int4", "--lanes", "1", "--out"]


def _without_vivado(monkeypatch) -> None:
    keep = [f for f in os.environ["PATH"].split(os.pathsep) if not Path(f, "vivado").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(keep))


@pytest.fixture
def vivado(tmp_path: Path, monkeypatch) -> None:
    """Put the stand-in on the path."""
    tclsh = shutil.which("tclsh")
    assert tclsh, "tclsh is not installed; to get it: apt-get install tcl"
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "vivado"
    script.write_text(f'#!/bin/sh\nexec "{tclsh}" "{STAND_IN}" "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join((str(folder), os.environ["PATH"])))


def test_without_vivado_the_project_is_there_and_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    _without_vivado(monkeypatch)
    assert main("fpga", "", [*BUILD, str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1
    assert "Vivado is not installed" in err and "xczu3eg-sbva484-1-i" in err
    assert str(tmp_path) in err and tools.TOOLS["vivado"].install in err
    written = {path.name for path in tmp_path.iterdir()}
    assert written >= {"Makefile", "ultra96.tcl", "ultra96.xdc", "system.tcl", "top.v", "pe_axi.v"}
    assert not any("/" in line for line in (tmp_path / "ultra96.tcl").read_text().splitlines())


@pytest.mark.parametrize(
    ("part", "device", "board_part"),
    [
        ("V2", "xczu3eg-sbva484-1-i", "avnet.com:ultra96v2:part0:1.2"),
        ("V1", "xczu3eg-sbva484-1-e", "avnet.com:ultra96v1:part0:1.2"),
    ],
)
def test_the_scripts_run_to_a_bitstream(
    part: str, device: str, board_part: str, vivado, tmp_path: Path, capsys
) -> None:
    assert main("fpga", "", [*BUILD, str(tmp_path / "p"), "--part", part]) == 0
    assert f"ultra96.bit: {device}, aclk 125 MHz (needs 100)" in capsys.readouterr().out
    log = (tmp_path / "p" / "vivado_stand_in.log").read_text(encoding="utf-8")
    for asked in (
        f"set_property part {device}",
        f"set_property board_part {board_part}",
        "read_verilog pe_axi.v",
        "read_verilog top.v",
        "read_xdc ultra96.xdc",
        "set_property top top",
        "create_bd_cell -type ip -vlnv xilinx.com:ip:zynq_ultra_ps_e ps",
        "CONFIG.PSU__USE__M_AXI_GP1 0",
        "CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ 100",
        "connect_bd_intf_net ps/M_AXI_HPM0_FPD interconnect/S00_AXI",
        "connect_bd_net ps/pl_resetn0 reset/ext_reset_in",
        "assign_bd_address -offset 0xa0000000 -range 4K",
        "launch_runs impl_1 -to_step write_bitstream",
    ):
        assert asked in log, asked
    report = json.loads((tmp_path / "p" / "report.json").read_text(encoding="utf-8"))
    assert report["clocks"]["aclk"]["achieved_mhz"] == 125  # 10 ns less 2 ns of slack
    assert report["utilisation"]["DSP"] == {"used": 2, "available": 360}


def test_negative_slack_fails(vivado, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("SLACK", "-0.1")
    assert main("fpga", "", [*BUILD, str(tmp_path / "p")]) == 1
    assert "timing is not met: aclk reaches 99.01 MHz of 100.0 MHz" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("create_bd_cel x", 'invalid command name "create_bd_cel"'),
        ("read_xdc {other.xdc}", "no other.xdc"),
        ("set a $b", 'can\'t read "b"'),
        ("if {1} {", "missing close-brace"),
    ],
)
def test_the_stand_in_refuses_what_is_wrong(
    wrong: str, message: str, vivado, tmp_path: Path, monkeypatch, capsys
) -> None:
    from fpga.flows import vivado as flow

    settings = flow._settings
    monkeypatch.setattr(flow, "_settings", lambda job: f"{settings(job)}{wrong}\n")
    assert main("fpga", "", [*BUILD, str(tmp_path / "p")]) == 1
    err = capsys.readouterr().err
    assert "Vivado stopped: " in err and message in err

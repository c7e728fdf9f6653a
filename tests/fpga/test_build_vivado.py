# SPDX-License-Identifier: Apache-2.0
"""Vivado's projects, executed by a stand-in for it: structure, files and part, no more."""

import json
import os
import shutil
from pathlib import Path

import pytest

from fpga import board as boards
from fpga import tools
from fpga.flows import zynqmp
from fpga.flows.job import Job
from gen.cli import main
from tests.memory_unit import memory_unit

STAND_IN = Path(__file__).with_name("vivado_stand_in.tcl")
SMALL = ["--format", "int4", "--lanes", "1", "--out"]
BUILD = ["build", "--board", "ultra96", "--unit", "pe-axi", *SMALL]


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
    manifest = json.loads((tmp_path / "pe_axi.json").read_text(encoding="utf-8"))
    assert manifest["parameters"]["format"] == "int4"
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
    assert report["base"] == 0xA000_0000


@pytest.mark.parametrize("board", ["ultra96", "kv260"])
def test_a_unit_with_a_bus_master_reaches_memory(board: str, vivado, tmp_path: Path) -> None:
    chosen = boards.find(board)
    text, manifest = memory_unit()
    sources = {"unit.v": text, "top.v": zynqmp.top(chosen, manifest), chosen.constraints: ""}
    for name, content in sources.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    constraints = chosen.constraints
    job = Job(chosen, chosen.part(), tmp_path, ("unit.v", "top.v"), constraints, "top", manifest)
    handoff = tmp_path / f"{board}.gen/sources_1/bd/system/hw_handoff/system.hwh"
    handoff.parent.mkdir(parents=True)
    handoff.write_text("what Vivado would write", encoding="utf-8")
    assert zynqmp.run(job)["bitstream"] == f"{board}.bit"
    assert (tmp_path / f"{board}.hwh").read_text(encoding="utf-8") == "what Vivado would write"
    log = (tmp_path / "vivado_stand_in.log").read_text(encoding="utf-8")
    for asked in (
        f"set_property part {chosen.part().device}",
        f"set_property board_part {chosen.part().board_part}",
        "CONFIG.PSU__USE__S_AXI_GP2 1 CONFIG.PSU__SAXIGP2__DATA_WIDTH 128",
        "create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect memory",
        "connect_bd_net ps/pl_clk0 ps/saxihp0_fpd_aclk",
        "make_bd_intf_pins_external -name s_axi_mem memory/S00_AXI",
        "CONFIG.PROTOCOL AXI4 CONFIG.DATA_WIDTH 64 CONFIG.ADDR_WIDTH 40 CONFIG.ID_WIDTH 0",
        "connect_bd_intf_net memory/M00_AXI ps/S_AXI_HP0_FPD",
        "-target_address_space s_axi_mem ps/SAXIGP2/HP0_DDR_LOW",
        "set_property CONFIG.ASSOCIATED_BUSIF m_axi_ctrl:s_axi_mem aclk",
        "connect_bd_net interrupt ps/pl_ps_irq0",
    ):
        assert asked in log, asked


def test_a_unit_without_one_asks_for_no_memory(vivado, tmp_path: Path) -> None:
    assert main("fpga", "", [*BUILD, str(tmp_path / "p")]) == 0
    log = (tmp_path / "p" / "vivado_stand_in.log").read_text(encoding="utf-8")
    assert "set_property CONFIG.ASSOCIATED_BUSIF m_axi_ctrl aclk" in log
    assert "smartconnect" not in log and "HP0" not in log and "irq" not in log


@pytest.mark.parametrize(
    ("part", "device"), [("35T", "xc7a35ticsg324-1L"), ("100T", "xc7a100tcsg324-1")]
)
def test_a_board_without_processors(part: str, device: str, vivado, tmp_path: Path) -> None:
    options = ["build", "--board", "arty_a7", "--unit", "pe-uart", "--part", part, *SMALL]
    assert main("fpga", "", [*options, str(tmp_path / "p")]) == 0
    log = (tmp_path / "p" / "vivado_stand_in.log").read_text(encoding="utf-8")
    assert f"set_property part {device}" in log and "read_xdc arty_a7.xdc" in log
    assert "board_part" not in log and "create_bd_design" not in log
    report = json.loads((tmp_path / "p" / "report.json").read_text(encoding="utf-8"))
    assert report["clocks"]["clk"] == {"achieved_mhz": 125, "constraint_mhz": 100, "met": True}
    assert report["unit"] == "pe-uart" and report["device"] == device


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
    settings = zynqmp._settings
    monkeypatch.setattr(zynqmp, "_settings", lambda job: f"{settings(job)}{wrong}\n")
    assert main("fpga", "", [*BUILD, str(tmp_path / "p")]) == 1
    err = capsys.readouterr().err
    assert "Vivado stopped: " in err and message in err

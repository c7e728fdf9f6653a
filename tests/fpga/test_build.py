# SPDX-License-Identifier: Apache-2.0
"""Bitstreams through the whole flow: they are made, they say which part they are for, and the same
inputs give the same bytes. What can go wrong is said in one line."""

import hashlib
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fpga import board as boards
from fpga import build as building
from fpga.build import BuildError, build, parameters, summary
from fpga.flows import nextpnr
from fpga.launcher import translate
from gen.cli import main

#: The smallest unit that is one: builds of it take seconds.
SMALL = {"format": "int2", "act": "int2", "lanes": 1, "max_k": 4}


def _small(
    board: str, folder: Path, part: str | None = None, unit: str = "pe-uart"
) -> dict[str, Any]:
    chosen = boards.find(board)
    params = parameters(chosen, SMALL, unit)
    return build(chosen, chosen.part(part), params, folder, unit)


def test_icebreaker_bitstream_is_the_same_in_any_folder(tmp_path: Path) -> None:
    first = _small("icebreaker", tmp_path / "a")
    second = _small("icebreaker", tmp_path / "elsewhere" / "b")
    assert first == second
    bitstream = (tmp_path / "a" / "icebreaker.bin").read_bytes()
    assert (tmp_path / "elsewhere" / "b" / "icebreaker.bin").read_bytes() == bitstream
    assert bitstream.find(bytes.fromhex("7eaa997e")) >= 0  # iCE40 programming guide: preamble
    assert first["bitstream"]["sha256"] == hashlib.sha256(bitstream).hexdigest()
    assert first == json.loads((tmp_path / "a" / "report.json").read_text(encoding="utf-8"))
    assert first["device"] == "iCE40UP5K-SG48" and first["unit"] == "pe-uart"
    assert first["clocks"]["clk"]["constraint_mhz"] == 12 and first["clocks"]["clk"]["met"]
    assert first["utilisation"]["ICESTORM_LC"]["available"] == 5280
    assert first["utilisation"]["SB_IO"]["used"] == 6
    assert summary(first, tmp_path).count("\n") == 0


@pytest.mark.deep
def test_icebreaker_has_room_for_the_coprocessor(tmp_path: Path) -> None:
    board = boards.find("icebreaker")
    report = build(board, board.part(), parameters(board, {}), tmp_path)
    assert report["unit"] == "coprocessor-uart" and report["clocks"]["clk"]["met"]
    used = {name: count["used"] for name, count in report["utilisation"].items()}
    assert used["ICESTORM_SPRAM"] == 2 and used["ICESTORM_LC"] < 5280


#: IEEE 1149.1 identification codes. Source: Lattice TN-02039, table of ECP5 codes.
IDENTITIES = {"12F": 0x21111043, "25F": 0x41111043, "45F": 0x41112043, "85F": 0x41113043}


@pytest.mark.parametrize(
    "part", ["12F", *(pytest.param(p, marks=pytest.mark.deep) for p in ("25F", "45F", "85F"))]
)
def test_ulx3s_bitstream_is_for_the_part_asked_for(part: str, tmp_path: Path) -> None:
    report = _small("ulx3s", tmp_path, part)
    bitstream = (tmp_path / "ulx3s.bit").read_bytes()
    found = [p for p, code in IDENTITIES.items() if code.to_bytes(4, "big") in bitstream]
    assert found == [part]
    assert report["part"] == part and report["clocks"]["clk"]["constraint_mhz"] == 25
    assert report["clocks"]["clk"]["met"]
    assert report["tools"].keys() == {"edalize", "yosys", "nextpnr-ecp5", "ecppack"}


@pytest.mark.deep
def test_tangnano20k_bitstream_is_for_its_part(tmp_path: Path) -> None:
    report = _small("tangnano20k", tmp_path)
    lines = (tmp_path / "tangnano20k.fs").read_text(encoding="ascii").splitlines()
    assert lines[2] == f"{0xA5C3:016b}"  # Gowin UG290: the preamble, then the identification code
    assert lines[3].endswith(f"{0x0000081B:032b}")
    assert report["clocks"]["clk"]["constraint_mhz"] == 27 and report["clocks"]["clk"]["met"]
    assert report["utilisation"]["LUT4"]["available"] == 20_736
    assert not report["utilisation"].keys() & nextpnr.NO_RESOURCES
    assert report["tools"].keys() == {"edalize", "yosys", "nextpnr-himbaechel", "gowin_pack"}


def test_too_big_a_design_says_what_there_is_too_little_of(tmp_path: Path, capsys) -> None:
    options = "--unit pe-uart --part 12F --format int8 --lanes 48 --arch multiply --out".split()
    status = main("fpga", "", ["build", "--board", "ulx3s", *options, str(tmp_path)])
    out, err = capsys.readouterr()
    assert status == 1 and not out
    last = err.splitlines()[-1]
    assert re.search(r"does not fit LFE5U-12F-6BG381C: it needs MULT18X18D 48 of 28$", last), last
    assert not (tmp_path / "report.json").exists()


def _flow(result: dict[str, Any]) -> SimpleNamespace:
    """A flow that "builds" at once."""

    def run(job: Any) -> dict[str, Any]:
        (job.folder / "x.bit").write_bytes(b"")
        return {"bitstream": "x.bit", "utilisation": {}, **result}

    return SimpleNamespace(TOOLS=(), top=lambda *_: "", run=run)


def test_a_design_that_is_too_slow_fails(tmp_path: Path, monkeypatch) -> None:
    clock = {"achieved_mhz": 24.9, "constraint_mhz": 25, "met": False}
    monkeypatch.setattr(building, "flow_of", lambda _: _flow({"clocks": {"clk": clock}}))
    board = boards.find("ulx3s")
    with pytest.raises(BuildError, match=r"not met: clk reaches 24\.9 MHz of 25 MHz; see .*json"):
        params = parameters(board, SMALL, "pe-uart")
        build(board, board.part(), params, tmp_path, "pe-uart")
    assert json.loads((tmp_path / "report.json").read_text())["clocks"]["clk"] == clock


def test_unwritable_folder_is_named(tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "below"
    assert main("fpga", "", ["build", "--board", "icebreaker", "-o", str(folder)]) == 2
    assert f"cannot write '{folder}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--board arty", "must be one of arty_a7, icebreaker, "),
        ("--board ulx3s --unit pe", "board ulx3s has unit "),
        ("--board ulx3s --part 5F", "has part 85F, 45F, 25F, 12F, not '5F'"),
        ("--board ultra96 --unit pe-axi --baud 9600", "unit pe-axi of board ultra96 has no baud"),
        ("--board icebreaker --unit pe-uart --lanes 0", "lanes must be"),
    ],
)
def test_bad_options_end_in_one_line(options: str, message: str, capsys, tmp_path: Path) -> None:
    assert main("fpga", "", ["build", *options.split(), "--out", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1 and message in err
    assert not list(tmp_path.iterdir())


def test_launcher_gives_yosys_a_script_instead_of_tcl() -> None:
    edalize = ["yosys", "-l", "yosys.log", "-p", "tcl synth.ys"]
    assert translate(edalize) == ["yosys", "-l", "yosys.log", "-q", "-s", "synth.ys"]
    other = ["nextpnr-ice40", "-p", "tcl synth.ys"]
    assert translate(other) == other


LOG = """\
Info: Device utilisation:
Info: \t         ICESTORM_LC:    6025/   5280   114%
Info: \t        ICESTORM_RAM:       0/     30     0%
Info: \t        ICESTORM_DSP:       8/      8   100%
ERROR: Unable to place cell
"""


def test_overfull() -> None:
    assert nextpnr.overfull(LOG) == ["ICESTORM_LC 6025 of 5280"]
    assert nextpnr.overfull(LOG.replace("6025", "5280")) == []


def test_clock_names_are_those_of_the_ports() -> None:
    fmax = {
        "$glbnet$clk$TRELLIS_IO_IN": {"achieved": 24.996, "constraint": 25.0},
        "aux$SB_IO_IN_$glb_clk": {"achieved": 50.0, "constraint": 12.0},
        "por.slow": {"achieved": 9.0, "constraint": 8.0},
    }
    assert nextpnr.clocks_of({"fmax": fmax}) == {
        "clk": {"achieved_mhz": 25.0, "constraint_mhz": 25.0, "met": False},
        "aux": {"achieved_mhz": 50.0, "constraint_mhz": 12.0, "met": True},
        "slow": {"achieved_mhz": 9.0, "constraint_mhz": 8.0, "met": True},
    }

# SPDX-License-Identifier: Apache-2.0
"""Boards as data: pins and parts against the makers' tables, tops against what they promise."""

import re
from pathlib import Path
from typing import Any

import pytest
from amaranth.sim import Simulator

from fpga import board as boards
from fpga import tools
from fpga.board import CONSTRAINTS, Board
from fpga.build import parameters
from fpga.top import POWER_ON_CYCLES, PowerOnReset, block_design_top, serial_top
from gen.emit import emit
from gen.unit import discover
from tests.memory_unit import memory_unit

#: Ports and their pins as the boards' schematics have them.
PINS = {
    "ulx3s": {"clk": "G2", "uart_tx": "L4", "uart_rx": "M1", "button": "R1"}
    | {f"led[{k}]": pin for k, pin in enumerate("B2 C2 C1 D2 D1 E2 E1 H3".split())},
    "icebreaker": {"clk": "35", "uart_tx": "9", "uart_rx": "6", "button": "10"}
    | {"led[0]": "37", "led[1]": "11"},
    "tangnano20k": {"clk": "4", "uart_tx": "69", "uart_rx": "70", "button": "88"}
    | {f"led[{k}]": str(15 + k) for k in range(6)},
    "arty_a7": {"clk": "E3", "uart_tx": "D10", "uart_rx": "A9", "button": "C2"}
    | {f"led[{k}]": pin for k, pin in enumerate("H5 J5 T9 T10".split())},
    "ultra96": {"led[0]": "A9", "led[1]": "B9"},
    "kv260": {"led[0]": "H12", "led[1]": "E10"},
}
PATTERNS = {
    "lpf": r'^LOCATE COMP "([^"]+)" SITE "(\w+)";$',
    "cst": r'^IO_LOC "([^"]+)" (\w+);$',
    "pcf": r"^set_io (?:-pullup yes )?(\S+) (\w+)$",
    "xdc": r"^set_property -dict \{PACKAGE_PIN (\w+) IOSTANDARD \w+\} \[get_ports \{(.+)\}\]$",
}
DEVICES = {
    "ulx3s": {s: f"LFE5U-{s}-6BG381C" for s in ("12F", "25F", "45F", "85F")},
    "icebreaker": {"UP5K": "iCE40UP5K-SG48"},
    "tangnano20k": {"18C": "GW2AR-LV18QN88C8/I7"},
    "arty_a7": {"35T": "xc7a35ticsg324-1L", "100T": "xc7a100tcsg324-1"},
    "kv260": {"K26": "xck26-sfvc784-2LV-c"},
    "ultra96": {"V2": "xczu3eg-sbva484-1-i", "V1": "xczu3eg-sbva484-1-e"},
}
CLOCKS = {
    "ulx3s": 25_000_000,
    "icebreaker": 12_000_000,
    "tangnano20k": 27_000_000,
    "arty_a7": 100_000_000,
    "ultra96": 100_000_000,
    "kv260": 100_000_000,
}
SERIAL = [name for name, pins in PINS.items() if "uart_tx" in pins]


def _constraints(board: Board) -> str:
    return (CONSTRAINTS / board.constraints).read_text(encoding="utf-8")


@pytest.mark.parametrize("board", boards.discover().values(), ids=lambda b: b.name)
def test_every_board_is_known_to_this_test(board: Board) -> None:
    assert Path(board.constraints).stem == board.name
    assert {p.name: p.device for p in board.parts} == DEVICES[board.name]
    assert board.clock_hz == CLOCKS[board.name]
    assert board.units.keys() <= discover().keys()
    for unit in board.units:
        parameters(board, {}, unit)


def test_the_coprocessor_is_the_default() -> None:
    for name, board in boards.discover().items():
        assert board.unit() == ("coprocessor-uart" if name in SERIAL else "coprocessor")


@pytest.mark.parametrize("name", PINS)
def test_pins(name: str) -> None:
    board = boards.find(name)
    kind = board.constraints.rpartition(".")[2]
    found = re.findall(PATTERNS[kind], _constraints(board), re.M)
    pairs = [(b, a) if kind == "xdc" else (a, b) for a, b in found]
    assert len(pairs) == len(PINS[name]) and dict(pairs) == PINS[name]


def test_clock_constraints_are_the_boards_clocks() -> None:
    assert 'FREQUENCY PORT "clk" 25 MHZ;' in _constraints(boards.find("ulx3s"))
    assert re.search(r"^set_frequency clk 12$", _constraints(boards.find("icebreaker")), re.M)
    assert "create_clock -name clk -period 10 [" in _constraints(boards.find("arty_a7"))


def test_part_of_any_case() -> None:
    assert boards.find("ulx3s").part("12f").options[0] == "--12k"
    assert boards.find("ulx3s").part().name == "85F"
    assert boards.find("ultra96").part("v1").board_part == "avnet.com:ultra96v1:part0:1.2"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: boards.find("arty"), r"arty_a7, icebreaker, .*, ulx3s, not 'arty'"),
        (lambda: boards.find("ulx3s").unit("pe"), r"board ulx3s has unit .*pe-uart, not 'pe'"),
        (lambda: parameters(boards.find("kv260"), {}, "pe-uart"), "kv260 has unit .*, not 'pe-ua"),
        (lambda: boards.find("ulx3s").part("13F"), r"85F, 45F, 25F, 12F, not '13F'"),
        (lambda: parameters(boards.find("ultra96"), {"baud": 1}, "pe-axi"), "ultra96 has no baud"),
        (lambda: parameters(boards.find("ulx3s"), {"act": "e9"}, "pe-uart"), "e9"),
    ],
)
def test_bad_choices_are_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_parameters_of_the_user_come_first() -> None:
    board = boards.find("icebreaker")
    chosen = parameters(board, {"lanes": 2, "bits": 2}, "pe-uart")
    assert (chosen.lanes, chosen.bits, chosen.target) == (2, 2, "ice40")
    assert chosen.clock_hz == 12_000_000


@pytest.mark.parametrize("active_low", [False, True])
def test_power_on_reset(active_low: bool) -> None:
    """Held from the first cycle; held again while the button is; never let go too early."""
    dut = PowerOnReset(button_active_low=active_low)

    async def length(ctx) -> int:
        for cycles in range(3 * POWER_ON_CYCLES):
            if not ctx.get(dut.reset):
                return cycles
            await ctx.tick()
        raise AssertionError("reset is never over")

    async def testbench(ctx) -> None:
        assert await length(ctx) == POWER_ON_CYCLES
        ctx.set(dut.button, not active_low)
        await ctx.tick().repeat(3)
        assert ctx.get(dut.reset)
        await ctx.tick().repeat(POWER_ON_CYCLES)
        assert ctx.get(dut.reset)
        ctx.set(dut.button, active_low)
        assert await length(ctx) == POWER_ON_CYCLES + 2

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize("name", SERIAL)
def test_serial_top_has_the_ports_that_have_pins(name: str, tmp_path: Path) -> None:
    board = boards.find(name)
    text, manifest = emit(discover()["pe-uart"], parameters(board, {"lanes": 1}, "pe-uart"))
    top = serial_top(board, manifest)
    ports = re.search(r"^module top\((.*)\);", top, re.M)
    assert ports and {p.partition("[")[0] for p in PINS[name]} == set(ports[1].split(", "))
    assert f"output [{board.leds - 1}:0] led;" in top
    _elaborate(tmp_path, text, top)


#: What LEDs are driven with when the unit lights its second and fourth: low is lit on two boards.
SHOWN = {"ulx3s": "00001010", "icebreaker": "01", "tangnano20k": "110101", "arty_a7": "1010"}


@pytest.mark.parametrize("name", SERIAL)
def test_leds_show_what_the_unit_says_and_nothing_else(name: str, tmp_path: Path) -> None:
    ports = "input clk, input rst, input uart_rx, output uart_tx, output [3:0] led"
    unit = f"module stub({ports}); assign led = 4'b1010; assign uart_tx = uart_rx; endmodule"
    manifest = {"module": "stub", "unit": "stub", "ports": [{"name": "led", "width": 4}]}
    _elaborate(
        tmp_path,
        unit,
        serial_top(boards.find(name), manifest),
        then="flatten; opt_clean; tee -o leds eval -show led",
    )
    shown = re.search(r"led = \d+'([01]+)", (tmp_path / "leds").read_text(encoding="utf-8"))
    assert shown and shown[1] == SHOWN[name]


@pytest.mark.parametrize("name", ["ultra96", "kv260"])
def test_block_design_top_connects_every_bus_signal(name: str, tmp_path: Path) -> None:
    board = boards.find(name)
    text, manifest = emit(discover()["pe-axi"], parameters(board, {"lanes": 1}, "pe-axi"))
    top = block_design_top(board, manifest)
    bus = [p for p in manifest["ports"] if p["name"].startswith("s_axi_ctrl_")]
    assert len(bus) == 19
    wired = {port["name"]: port["name"].replace("s_axi", "m_axi") for port in bus}
    _with_system(tmp_path, text, top, manifest, wired)


@pytest.mark.parametrize("name", ["ultra96", "kv260"])
def test_block_design_top_connects_memory_and_interrupt(name: str, tmp_path: Path) -> None:
    text, manifest = memory_unit()
    ports = [port["name"] for port in manifest["ports"][2:]]
    wired = {port: port.replace("s_axi_ctrl", "m_axi_ctrl") for port in ports}
    wired |= {p: p.replace("m_axi_", "s_axi_mem_") for p in ports if p.startswith("m_axi_")}
    assert wired["interrupt"] == "interrupt" and wired["m_axi_wlast"] == "s_axi_mem_wlast"
    _with_system(tmp_path, text, block_design_top(boards.find(name), manifest), manifest, wired)


def _with_system(
    folder: Path, text: str, top: str, manifest: dict[str, Any], wired: dict[str, str]
) -> None:
    """Elaborate with a stand-in for the block design; ``wired`` maps the unit's ports to its."""
    stub = ["module system(output aclk, output aresetn"]
    for port in manifest["ports"]:
        if name := wired.get(port["name"]):
            direction = {"in": "output", "out": "input"}[port["dir"]]
            stub.append(f", {direction} [{port['width'] - 1}:0] {name}")
            assert f".{name}(" in top and f".{port['name']}(" in top
    _elaborate(folder, text, top, "\n".join([*stub, "); endmodule"]))


def _elaborate(folder: Path, *texts: str, then: str = "") -> None:
    """Let Yosys find undriven, unknown or wrongly sized connections."""
    names = [f"{k}.v" for k in range(len(texts))]
    for name, text in zip(names, texts, strict=True):
        (folder / name).write_text(text, encoding="utf-8")
    script = f"read_verilog {' '.join(names)}; hierarchy -check -top top; proc; check -assert"
    script += f"; {then}" if then else ""
    tools.run("yosys", ["-q", "-e", "Resizing", "-p", script], folder, timeout=300)

# SPDX-License-Identifier: Apache-2.0
"""Board tops: pins on one side, a generated unit on the other.

Ports have the names that the constraint files give pins to.
"""

from collections.abc import Mapping
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import (
    Cat,
    ClockDomain,
    ClockSignal,
    Instance,
    Module,
    Signal,
)
from amaranth.hdl._ir import PortDirection

from fpga.board import Board
from gen import yosys

__all__ = ["BUS", "SYSTEM", "TOP", "block_design_top", "serial_top"]

TOP = "top"  #: Name of the Verilog module.
SYSTEM = "system"  #: Name of the block design.
BUS = "s_axi_ctrl_"  #: Prefix of the unit's bus ports.

#: Cycles that reset is held after configuration: block RAM of the iCE40 cannot be read in the first
#: microseconds.
POWER_ON_CYCLES = 64

Ports = dict[str, tuple[Any, PortDirection]]


def _verilog(m: Module, ports: Ports) -> str:
    return yosys.to_verilog(rtlil.convert(m, name=TOP, ports=ports, emit_src=False))


def _leds(board: Board, manifest: Mapping[str, Any], m: Module) -> tuple[Signal, dict[str, Any]]:
    """Return the LED pins, and what to connect to the unit's port ``led`` if it has one."""
    pins, lit = Signal(board.leds, name="led"), Signal(board.leds, name="lit")
    m.d.comb += pins.eq(~lit if board.leds_active_low else lit)
    widths = {port["name"]: port["width"] for port in manifest["ports"]}
    if "led" not in widths:
        return pins, {}
    wire = Signal(widths["led"], name="unit_led")
    m.d.comb += lit.eq(wire)
    return pins, {"o_led": wire}


def serial_top(board: Board, manifest: Mapping[str, Any]) -> str:
    """Return the Verilog of a top with clock, serial port, LEDs and a button that resets.

    ``manifest`` is that of a unit with ports ``clk``, ``rst``, ``uart_rx``, ``uart_tx`` and perhaps
    ``led``.
    """
    m = Module()
    m.domains.sync = domain = ClockDomain(reset_less=True)
    rx, tx = Signal(name="uart_rx"), Signal(name="uart_tx")
    button, reset = Signal(name="button"), Signal(init=1, name="reset")
    led, led_port = _leds(board, manifest, m)

    pressed = Signal(2)
    wait = Signal(range(POWER_ON_CYCLES + 1))
    m.d.sync += pressed.eq(Cat(button ^ board.button_active_low, pressed[0]))
    with m.If(pressed[1]):
        m.d.sync += wait.eq(0)
    with m.Elif(wait != POWER_ON_CYCLES):
        m.d.sync += wait.eq(wait + 1)
    m.d.sync += reset.eq(wait != POWER_ON_CYCLES)

    m.submodules.unit = Instance(
        manifest["module"],
        i_clk=ClockSignal(),
        i_rst=reset,
        i_uart_rx=rx,
        o_uart_tx=tx,
        **led_port,
    )
    inputs, outputs = (rx, button), (tx, led)
    ports: Ports = {"clk": (domain.clk, PortDirection.Input)}
    ports |= {s.name: (s, PortDirection.Input) for s in inputs}
    ports |= {s.name: (s, PortDirection.Output) for s in outputs}
    return _verilog(m, ports)


def block_design_top(board: Board, manifest: Mapping[str, Any]) -> str:
    """Return the Verilog of a top that wires a unit to the block design ``system``.

    ``manifest`` is that of a unit with ports ``aclk``, ``aresetn``, ``s_axi_ctrl_*`` and perhaps
    ``led``; the block design is the master of the bus and makes clock and reset.
    """
    m = Module()
    led, unit = _leds(board, manifest, m)
    clock, reset_n = Signal(name="aclk"), Signal(name="aresetn")
    system: dict[str, Any] = {"o_aclk": clock, "o_aresetn": reset_n}
    unit |= {"i_aclk": clock, "i_aresetn": reset_n}
    for port in manifest["ports"]:
        prefix, member = port["name"][: len(BUS)], port["name"][len(BUS) :]
        if prefix == BUS:
            wire = Signal(port["width"], name=f"ctrl_{member}")
            into_unit = port["dir"] == "in"
            unit[f"{'i' if into_unit else 'o'}_{port['name']}"] = wire
            system[f"{'o' if into_unit else 'i'}_m_axi_ctrl_{member}"] = wire
    m.submodules.system = Instance(SYSTEM, **system)
    m.submodules.unit = Instance(manifest["module"], **unit)
    return _verilog(m, {"led": (led, PortDirection.Output)})

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
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from fpga.board import Board
from gen import yosys
from hw.coprocessor import pe_node

__all__ = [
    "BUS",
    "BUS_ADDRESS_WIDTH",
    "MEMORY",
    "SYSTEM",
    "TOP",
    "PowerOnReset",
    "block_design_top",
    "serial_top",
]

TOP = "top"  #: Name of the Verilog module.
SYSTEM = "system"  #: Name of the block design.
BUS = pe_node.PREFIX  #: Of the unit's bus ports.
MEMORY = "m_axi_"  #: Of the unit's ports to memory, if it has any.
BUS_ADDRESS_WIDTH = pe_node.ADDRESS_WIDTH  #: Bits of the byte address on that bus.

#: Block RAM of the iCE40 cannot be read in the first microseconds after configuration.
POWER_ON_CYCLES = 64

Ports = dict[str, tuple[Any, PortDirection]]


def _verilog(m: Module, ports: Ports, board: Board, unit: str) -> str:
    header = (
        f"// {TOP}: {unit} on {board.summary}\n"
        "// SPDX-License-Identifier: Apache-2.0\n"
        "// This generated text belongs to whoever generated it; use it under any terms you like.\n"
    )
    return header + yosys.to_verilog(rtlil.convert(m, name=TOP, ports=ports, emit_src=False))


class PowerOnReset(wiring.Component):
    """Reset after configuration, and while a button is held.

    Parameters
    ----------
    button_active_low : bool
        Sense of the button.

    Members
    -------
    button : ``In(1)``
        Asynchronous.
    reset : ``Out(1)``
        Active high.

    Timing
    ------
    ``reset`` is high for :data:`POWER_ON_CYCLES` cycles from the first and again after the button
    is let go, which is seen two cycles late. Uses a domain ``sync`` without a reset of its own.
    """

    def __init__(self, *, button_active_low: bool):
        self.button_active_low = button_active_low
        super().__init__({"button": In(1, init=button_active_low), "reset": Out(1, init=1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        pressed = Signal(2)
        count = Signal(range(POWER_ON_CYCLES))
        m.d.sync += pressed.eq(Cat(self.button ^ self.button_active_low, pressed[0]))
        with m.If(pressed[1]):
            m.d.sync += [count.eq(0), self.reset.eq(1)]
        with m.Elif(count != POWER_ON_CYCLES - 1):
            m.d.sync += count.eq(count + 1)
        with m.Else():
            m.d.sync += self.reset.eq(0)
        return m


def serial_top(board: Board, manifest: Mapping[str, Any]) -> str:
    """Return the Verilog of a top with clock, serial port, LEDs and a button that resets.

    ``manifest`` is that of a unit with ports ``clk``, ``rst``, ``uart_rx``, ``uart_tx`` and
    ``led``, of which as many are shown as the board has.
    """
    m = Module()
    m.domains.sync = domain = ClockDomain(reset_less=True)
    m.submodules.por = por = PowerOnReset(button_active_low=board.button_active_low)
    rx, tx, button = Signal(name="uart_rx"), Signal(name="uart_tx"), Signal(name="button")
    widths = {port["name"]: port["width"] for port in manifest["ports"]}
    shown = Signal(widths["led"], name="shown")
    lit, led = Signal(board.leds, name="lit"), Signal(board.leds, name="led")
    m.d.comb += [
        por.button.eq(button),
        lit.eq(shown),  # Others stay dark.
        led.eq(~lit if board.leds_active_low else lit),
    ]
    m.submodules.unit = Instance(
        manifest["module"],
        i_clk=ClockSignal(),
        i_rst=por.reset,
        i_uart_rx=rx,
        o_uart_tx=tx,
        o_led=shown,
    )
    ports: Ports = {"clk": (domain.clk, PortDirection.Input)}
    ports |= {s.name: (s, PortDirection.Input) for s in (rx, button)}
    ports |= {s.name: (s, PortDirection.Output) for s in (tx, led)}
    return _verilog(m, ports, board, manifest["unit"])


def _system_port(name: str) -> str | None:
    """Return the port of the block design that the unit's port ``name`` is wired to, if any."""
    for prefix, other in ((BUS, "m_axi_ctrl_"), (MEMORY, "s_axi_mem_")):
        if name.startswith(prefix):
            return other + name.removeprefix(prefix)
    return name if name == "interrupt" else None


def block_design_top(board: Board, manifest: Mapping[str, Any]) -> str:
    """Return the Verilog of a top that wires a unit to the block design ``system``.

    ``manifest`` is that of a unit with ports ``aclk``, ``aresetn`` and ``s_axi_ctrl_*``; the block
    design is the master of the bus and makes clock and reset. If the unit has ports ``m_axi_*`` or
    ``interrupt``, the block design has the slave ``s_axi_mem_*`` or takes the interrupt. The first
    LED blinks about once a second, so that one sees the clock; the second is lit when reset is
    over.
    """
    m = Module()
    m.domains.sync = domain = ClockDomain(reset_less=True)
    reset_n = Signal(name="aresetn")
    led = Signal(board.leds, name="led")
    beat = Signal(range(board.clock_hz))
    m.d.sync += [beat.eq(beat + 1), led.eq(Cat(beat[-1], reset_n))]

    system: dict[str, Any] = {"o_aclk": domain.clk, "o_aresetn": reset_n}
    unit: dict[str, Any] = {"i_aclk": domain.clk, "i_aresetn": reset_n}
    for port in manifest["ports"]:
        if outer := _system_port(port["name"]):
            wire = Signal(port["width"], name=outer.removeprefix("m_axi_").removeprefix("s_axi_"))
            to_unit, to_system = ("i", "o") if port["dir"] == "in" else ("o", "i")
            unit[f"{to_unit}_{port['name']}"] = wire
            system[f"{to_system}_{outer}"] = wire
    m.submodules.system = Instance(SYSTEM, **system)
    m.submodules.unit = Instance(manifest["module"], **unit)
    ports: Ports = {"led": (led, PortDirection.Output)}
    return _verilog(m, ports, board, manifest["unit"])

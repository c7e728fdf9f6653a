# SPDX-License-Identifier: Apache-2.0
"""A processing element that a host reaches over a UART or over AXI4-Lite."""

from dataclasses import dataclass, fields
from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.axi.axi_lite import AxiLiteSlave, axi_lite_ports
from hw.axi.uart import Receiver, Transmitter, divisor
from hw.axi.uartbone import Uartbone
from hw.coprocessor.pe_registers import PERegisters, registers_of
from hw.pe.params import PEParams
from hw.spec.pe_registers import function_of
from hw.spec.registers import WINDOW

__all__ = ["ADDRESS_WIDTH", "PREFIX", "PEAxiParams", "PENode", "PENodeAxiLite", "PEUartParams"]

ADDRESS_WIDTH = WINDOW.bit_length() - 1  #: Of the AXI4-Lite slave.
PREFIX = "s_axi_ctrl_"


@dataclass(frozen=True)
class PEAxiParams(PEParams):
    """Parameters of the processing element behind AXI4-Lite."""

    def __post_init__(self) -> None:
        super().__post_init__()
        registers_of(self)


@dataclass(frozen=True)
class PEUartParams(PEParams):
    """Parameters of the processing element behind a UART."""

    clock_hz: int = 25_000_000
    baud: int = 115_200

    def __post_init__(self) -> None:
        super().__post_init__()
        registers_of(self)
        divisor(self.clock_hz, self.baud)
        if self.baud < 2000:  # one word must pass within half of the bridge's 100 ms
            raise ValueError(f"baud must be at least 2000, not {self.baud}")


def _element(params: PEParams) -> PEParams:
    """Return the parameters of the element alone, with the architecture that was chosen here."""
    given = {f.name: getattr(params, f.name) for f in fields(PEParams)}
    return PEParams(**{**given, "arch": params.chosen_arch[0]})


def _contract(params: PEParams) -> dict[str, Any]:
    """Return what a host has to know, for the manifest."""
    registers = registers_of(params)
    return {
        "lam": params.lam,
        "acc_bits": params.acc_width,
        "max_k": params.max_k,
        "build": registers["BUILD"].reset,
        "function": function_of(params.resolved),
        "registers": registers.describe(),
    }


class PENode(wiring.Component):
    """Processing element behind registers behind a UART that speaks LiteX's ``uartbone`` protocol.

    Parameters
    ----------
    params : :class:`hw.pe.params.PEParams`
        Of the processing element; its core must be ``stream``.
    clock_hz, baud : int
        Frequency of the clock and bits per second of the UART.

    Members
    -------
    uart_rx, uart_tx : ``In(1)``, ``Out(1)``
        8N1, idle high. ``uart_rx`` may be asynchronous.
    led : ``Out(4)``
        Blinks about once a second; the host talks or listens; a result waits; an error is set.

    Timing
    ------
    As :class:`hw.axi.uartbone.Uartbone` and :class:`hw.coprocessor.pe_registers.PERegisters`.
    """

    def __init__(self, params: PEParams, clock_hz: int, baud: int):
        self.params = _element(params)
        self.clock_hz = clock_hz
        self.baud = baud
        self.cycles = divisor(clock_hz, baud)
        self.notes = params.notes
        self.contract = {
            **_contract(self.params),
            "uart": {"cycles_per_bit": self.cycles, "frame": "8N1", "protocol": "uartbone"},
        }
        super().__init__({"uart_rx": In(1, init=1), "uart_tx": Out(1, init=1), "led": Out(4)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.receiver = receiver = Receiver(self.cycles)
        m.submodules.transmitter = transmitter = Transmitter(self.cycles)
        m.submodules.bridge = bridge = Uartbone(self.clock_hz)
        m.submodules.registers = registers = PERegisters(
            self.params, bridge.bus.signature.address_width
        )
        wiring.connect(m, receiver.o, bridge.i)
        wiring.connect(m, bridge.o, transmitter.i)
        wiring.connect(m, bridge.bus, registers.bus)

        beat = Signal(range(max(2, self.clock_hz)))
        m.d.sync += beat.eq(beat + 1)
        m.d.comb += [
            receiver.pin.eq(self.uart_rx),
            self.uart_tx.eq(transmitter.pin),
            registers.errors.eq(
                Cat(bridge.timeout, bridge.command, receiver.framing, receiver.overrun)
            ),
            self.led.eq(
                Cat(
                    beat[-1],
                    ~self.uart_rx | ~transmitter.pin,
                    registers.result,
                    registers.error,
                )
            ),
        ]
        return m


class PENodeAxiLite(wiring.Component):
    """Processing element behind registers behind an AXI4-Lite slave.

    Parameters
    ----------
    params : :class:`hw.pe.params.PEParams`
        Of the processing element; its core must be ``stream``.

    Members
    -------
    s_axi_ctrl_awaddr ... s_axi_ctrl_rready
        See :func:`hw.axi.axi_lite.axi_lite_ports`; 12 address bits.

    Timing
    ------
    As :class:`hw.axi.axi_lite.AxiLiteSlave`. The emitted module has the clock ``aclk`` and the
    synchronous reset ``aresetn``, active low.
    """

    #: Names of clock and reset in the emitted module.
    clock_names = ("aclk", "aresetn")

    def __init__(self, params: PEParams):
        self.params = _element(params)
        self.notes = params.notes
        self.contract = _contract(self.params)
        super().__init__(axi_lite_ports(PREFIX, ADDRESS_WIDTH))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.slave = slave = AxiLiteSlave(ADDRESS_WIDTH)
        m.submodules.registers = registers = PERegisters(self.params, ADDRESS_WIDTH)
        wiring.connect(m, slave.bus, registers.bus)
        for name, member in axi_lite_ports("", ADDRESS_WIDTH).items():
            outer, inner = getattr(self, PREFIX + name), getattr(slave, name)
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        return m

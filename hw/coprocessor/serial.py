# SPDX-License-Identifier: Apache-2.0
"""The co-processor with memory of its own behind a UART, for boards without a processor."""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.axi.axi4 import axi4_read_ports, axi4_write_ports
from hw.axi.axi_ram import AxiRam
from hw.axi.decoder import Decoder
from hw.axi.register_file import RegisterFile
from hw.axi.uart import Receiver, Transmitter, divisor
from hw.axi.uartbone import Uartbone
from hw.coprocessor.coprocessor import CoprocessorCore, contract_of, notes_of
from hw.coprocessor.params import CoprocessorParams
from hw.spec.bridge import BRIDGE_BASE, BRIDGE_FLAGS, DEVICE_BASE, bridge_map, ram_base
from hw.spec.registers import WINDOW

__all__ = ["RAM_STYLES", "SerialCoprocessor", "SerialParams"]

RAM_STYLES = ("auto", "huge")


@dataclass(frozen=True)
class SerialParams(CoprocessorParams):
    """Parameters of the co-processor with memory of its own behind a UART."""

    ram_kib: int = 32  #: Memory, a power of two.
    ram_style: str = "auto"  #: ``huge``: of large blocks, whose contents are unknown at first.
    clock_hz: int = 25_000_000
    baud: int = 115_200

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ram_kib not in (1 << n for n in range(14)):
            raise ValueError(f"ram_kib must be a power of two from 1 to 8192, not {self.ram_kib!r}")
        least = self.ram_bytes.bit_length()
        if self.addr_bits < least:
            raise ValueError(
                f"addr_bits must be at least {least} for {self.ram_kib} KiB of memory in the upper "
                f"half of the addresses, not {self.addr_bits}"
            )
        if self.ram_style not in RAM_STYLES:
            raise ValueError(f"ram_style must be auto or huge, not {self.ram_style!r}")
        divisor(self.clock_hz, self.baud)
        if self.baud < 2000:  # one word must pass within half of the bridge's 100 ms
            raise ValueError(f"baud must be at least 2000, not {self.baud}")

    @property
    def ram_bytes(self) -> int:
        """Bytes of memory."""
        return self.ram_kib << 10

    @property
    def ram_base(self) -> int:
        """Where memory begins."""
        return ram_base(self.addr_bits)

    @cached_property
    def core(self) -> CoprocessorParams:
        """Parameters of the co-processor alone."""
        return CoprocessorParams(
            **{f.name: getattr(self, f.name) for f in fields(CoprocessorParams)}
        )


class SerialCoprocessor(wiring.Component):
    """Co-processor and on-chip memory behind a UART that speaks LiteX's ``uartbone`` protocol.

    Parameters
    ----------
    params : :class:`hw.coprocessor.params.SerialParams`

    Members
    -------
    uart_rx, uart_tx : ``In(1)``, ``Out(1)``
        8N1, idle high. ``uart_rx`` may be asynchronous.
    led : ``Out(4)``
        Blinks about once a second; the host talks or listens; a job runs; an error is set.

    Timing
    ------
    Addresses are those of :mod:`hw.spec.bridge`. An access of memory waits for the co-processor's
    burst that is under way.
    """

    def __init__(self, params: SerialParams):
        self.params = params
        self.cycles = divisor(params.clock_hz, params.baud)
        self.notes = notes_of(params.core)
        ram = bridge_map(params.ram_bytes, params.ram_base)
        self.contract = {
            **contract_of(params.core),
            "uart": {"cycles_per_bit": self.cycles, "frame": "8N1", "protocol": "uartbone"},
            "bridge": {"base": BRIDGE_BASE, "registers": ram.describe()},
            "ram": {"base": params.ram_base, "bytes": params.ram_bytes},
        }
        super().__init__({"uart_rx": In(1, init=1), "uart_tx": Out(1, init=1), "led": Out(4)})

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        names = bridge_map(params.ram_bytes, params.ram_base)
        m.submodules.receiver = receiver = Receiver(self.cycles)
        m.submodules.transmitter = transmitter = Transmitter(self.cycles)
        m.submodules.bridge = bridge = Uartbone(params.clock_hz)
        windows = {
            "device": (DEVICE_BASE, WINDOW, WINDOW.bit_length() - 1),
            "own": (BRIDGE_BASE, WINDOW, WINDOW.bit_length() - 1),
            "ram": (params.ram_base, params.ram_bytes, 34),
        }
        m.submodules.decoder = decoder = Decoder(windows)
        m.submodules.core = core = CoprocessorCore(params.core)
        m.submodules.registers = registers = RegisterFile(names, WINDOW.bit_length() - 1)
        bus_shape = (params.core.addr_bits, params.core.data_width)
        m.submodules.ram = ram = AxiRam(
            *bus_shape,
            base=params.ram_base,
            size=params.ram_bytes,
            huge=params.ram_style == "huge",
        )
        wiring.connect(m, receiver.o, bridge.i)
        wiring.connect(m, bridge.o, transmitter.i)
        wiring.connect(m, bridge.bus, decoder.bus)
        wiring.connect(m, decoder.device, core.bus)
        wiring.connect(m, decoder.own, registers.bus)
        wiring.connect(m, decoder.ram, ram.bus)
        for name, member in (
            axi4_read_ports("", *bus_shape) | axi4_write_ports("", *bus_shape)
        ).items():
            master, slave = getattr(core, f"m_axi_{name}"), getattr(ram, name)
            m.d.comb += slave.eq(master) if member.flow == Out else master.eq(slave)

        flags = {
            "REFUSED": bridge.bus.ack & bridge.bus.error,
            "TIMEOUT": bridge.timeout,
            "COMMAND": bridge.command,
            "FRAMING": receiver.framing,
            "OVERRUN": receiver.overrun,
        }
        m.d.comb += registers.flags_set.eq(Cat(*(flags[name] for name in BRIDGE_FLAGS)))
        beat = Signal(range(max(2, params.clock_hz)))
        m.d.sync += beat.eq(beat + 1)
        m.d.comb += [
            receiver.pin.eq(self.uart_rx),
            self.uart_tx.eq(transmitter.pin),
            self.led.eq(Cat(beat[-1], ~self.uart_rx | ~transmitter.pin, core.busy, core.error)),
        ]
        return m

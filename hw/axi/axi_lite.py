# SPDX-License-Identifier: Apache-2.0
"""AXI4-Lite slave in front of the register bus."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from hw.axi.bus import Bus

__all__ = ["AxiLiteSlave", "axi_lite_ports"]

OKAY, SLVERR = 0b00, 0b10


def axi_lite_ports(prefix: str, address_width: int) -> dict[str, Member]:
    """Return the ports of an AXI4-Lite slave of 32 bits, named ``<prefix>awaddr`` and so on."""
    ports = {
        "awaddr": In(address_width),
        "awprot": In(3),
        "awvalid": In(1),
        "awready": Out(1),
        "wdata": In(32),
        "wstrb": In(4),
        "wvalid": In(1),
        "wready": Out(1),
        "bresp": Out(2),
        "bvalid": Out(1),
        "bready": In(1),
        "araddr": In(address_width),
        "arprot": In(3),
        "arvalid": In(1),
        "arready": Out(1),
        "rdata": Out(32),
        "rresp": Out(2),
        "rvalid": Out(1),
        "rready": In(1),
    }
    return {prefix + name: member for name, member in ports.items()}


class AxiLiteSlave(wiring.Component):
    """Turn AXI4-Lite accesses into accesses of a register bus, one at a time.

    Address and data of a write may come in either order. A refused access is answered with SLVERR,
    any other with OKAY. When reads and writes both wait they take turns.

    Parameters
    ----------
    address_width : int
        Bits of the byte address.
    prefix : str
        Of the names of the AXI4-Lite ports.

    Members
    -------
    <prefix>awaddr ... <prefix>rready
        The bus, see :func:`axi_lite_ports`. ``awprot`` and ``arprot`` are ignored.
    bus : ``Out(Bus(address_width))``
        To the registers.

    Timing
    ------
    No output depends combinationally on an input, and every ``valid`` is low during reset. With
    registers that answer in one cycle and a master that never waits, a read takes 4 cycles from
    address to data, a write the same from the later of address and data to its response.
    """

    def __init__(self, address_width: int, prefix: str = ""):
        self.address_width = address_width
        self.prefix = prefix
        super().__init__({**axi_lite_ports(prefix, address_width), "bus": Out(Bus(address_width))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        bus = self.bus

        def axi(name: str) -> Any:
            return getattr(self, self.prefix + name)

        aw_held, w_held, ar_held = Signal(), Signal(), Signal()
        write_address, read_address = Signal(self.address_width), Signal(self.address_width)

        def hold(channel: str, held: Signal, **kept: Signal) -> None:
            m.d.comb += axi(f"{channel}ready").eq(~held)
            with m.If(axi(f"{channel}valid") & ~held):
                m.d.sync += held.eq(1)
                m.d.sync += [to.eq(axi(f"{channel}{name}")) for name, to in kept.items()]

        hold("aw", aw_held, addr=write_address)
        hold("w", w_held, data=bus.data, strb=bus.strobe)
        hold("ar", ar_held, addr=read_address)
        for channel in "br":
            with m.If(axi(f"{channel}ready")):
                m.d.sync += axi(f"{channel}valid").eq(0)

        write_waits, read_waits = Signal(), Signal()
        m.d.comb += [
            write_waits.eq(aw_held & w_held & ~axi("bvalid")),
            read_waits.eq(ar_held & ~axi("rvalid")),
            bus.address.eq(Mux(bus.write, write_address, read_address)),
        ]
        with m.FSM():
            with m.State("IDLE"), m.If(write_waits | read_waits):
                # The side that was just answered has nothing to offer yet, so they take turns.
                m.d.sync += bus.write.eq(write_waits)
                m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += bus.request.eq(1)
                m.next = "WAIT"
            with m.State("WAIT"), m.If(bus.ack):
                response = Mux(bus.error, SLVERR, OKAY)
                with m.If(bus.write):
                    m.d.sync += [aw_held.eq(0), w_held.eq(0)]
                    m.d.sync += [axi("bvalid").eq(1), axi("bresp").eq(response)]
                with m.Else():
                    m.d.sync += ar_held.eq(0)
                    m.d.sync += [axi("rvalid").eq(1), axi("rresp").eq(response)]
                    m.d.sync += axi("rdata").eq(bus.value)
                m.next = "IDLE"
        return m

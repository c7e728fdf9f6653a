# SPDX-License-Identifier: Apache-2.0
"""On-chip memory behind AXI4, which a bridge can reach word by word too."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Member, Out

from hw.arith.wires import wire
from hw.axi.axi4 import axi4_read_ports, axi4_write_ports
from hw.axi.bus import Bus

__all__ = ["AxiRam"]

OKAY, DECERR = 0b00, 0b11


class AxiRam(wiring.Component):
    """A memory with one port, for bursts of whole words and single words of a bridge.

    Parameters
    ----------
    addr_bits, data_width : int
        Of the AXI4 bus.
    base, size : int
        First byte address and number of bytes, a power of two of which ``base`` is a multiple.
        A burst must lie wholly inside or is answered with DECERR.
    huge : bool
        Whether to ask for the largest blocks that there are, as ``ram_style`` of the memory. They
        cannot be filled at configuration: what was not written is unknown.

    Members
    -------
    araddr ... bready
        AXI4 slave, INCR bursts of full width, no IDs; see :mod:`hw.axi.axi4`.
    bus : ``In(Bus(34))``
        Words of 32 bits, for a bridge, which keeps address and data until ``ack``. Addresses are
        those of the AXI4 bus; who asks for one outside gets a word all the same.

    Timing
    ------
    One burst at a time, reads and writes in turn, one beat per cycle; one cycle between bursts, two
    after a write. A word of the bridge waits for the burst that is under way.
    """

    def __init__(
        self, addr_bits: int, data_width: int, *, base: int, size: int, huge: bool = False
    ):
        self.addr_bits, self.data_width, self.huge = addr_bits, data_width, huge
        self.base, self.size = base, size
        ports = axi4_read_ports("", addr_bits, data_width)
        ports |= axi4_write_ports("", addr_bits, data_width)
        super().__init__({**{n: _flipped(p) for n, p in ports.items()}, "bus": In(Bus(34))})

    def elaborate(self, platform: Any) -> Module:
        m, bus = Module(), self.bus
        lane_bits = (self.data_width // 8).bit_length() - 1
        depth = self.size * 8 // self.data_width
        attrs = {"ram_style": "huge"} if self.huge else None
        m.submodules.memory = memory = Memory(
            shape=self.data_width, depth=depth, init=[], attrs=attrs
        )
        write = memory.write_port(granularity=8)
        read = memory.read_port()

        index = Signal(range(depth))
        left = Signal(8)
        outside, writes_next = Signal(), Signal()
        word = bus.address[lane_bits : lane_bits + len(index)]
        single = Signal()  # a word of the bridge waits
        with m.If(bus.request):
            m.d.sync += single.eq(1)

        moves = wire(m, ~self.rvalid | self.rready, "moves")
        m.d.comb += [
            self.rdata.eq(read.data),
            self.rresp.eq(Mux(outside, DECERR, OKAY)),
            self.bresp.eq(Mux(outside, DECERR, OKAY)),
            write.data.eq(self.wdata),
            read.en.eq(0),
        ]
        m.d.sync += bus.ack.eq(0)
        with m.If(self.rready):
            m.d.sync += self.rvalid.eq(0)
        with m.If(self.bready):
            m.d.sync += self.bvalid.eq(0)

        address = Signal(range(depth))  # one for reading and writing: one port of the memory
        m.d.comb += [address.eq(index), read.addr.eq(address), write.addr.eq(address)]
        with m.FSM():
            with m.State("IDLE"):
                quiet = ~self.rvalid & ~self.bvalid
                with m.If(single & quiet):
                    m.d.comb += address.eq(word)
                    m.d.comb += [read.en.eq(~bus.write), self._single(write)]
                    m.d.sync += [single.eq(0), bus.ack.eq(bus.write)]
                    with m.If(~bus.write):
                        m.next = "ANSWER"
                with m.Elif(quiet & self.awvalid & (writes_next | ~self.arvalid)):
                    m.d.comb += self.awready.eq(1)
                    m.d.sync += [index.eq(self.awaddr >> lane_bits), writes_next.eq(0)]
                    m.d.sync += outside.eq(self._outside(self.awaddr))
                    m.next = "WRITE"
                with m.Elif(quiet & self.arvalid):
                    m.d.comb += self.arready.eq(1)
                    m.d.sync += [index.eq(self.araddr >> lane_bits), left.eq(self.arlen)]
                    m.d.sync += [outside.eq(self._outside(self.araddr)), writes_next.eq(1)]
                    m.next = "READ"
            with m.State("ANSWER"):
                m.d.sync += bus.ack.eq(1)
                m.next = "IDLE"
            with m.State("WRITE"):
                m.d.comb += self.wready.eq(1)
                with m.If(self.wvalid):
                    m.d.comb += write.en.eq(self.wstrb & (~outside).replicate(len(self.wstrb)))
                    m.d.sync += index.eq(index + 1)
                    with m.If(self.wlast):
                        m.d.sync += self.bvalid.eq(1)
                        m.next = "IDLE"
            with m.State("READ"), m.If(moves):
                m.d.comb += read.en.eq(1)
                m.d.sync += [self.rvalid.eq(1), self.rlast.eq(~left.any())]
                m.d.sync += [index.eq(index + 1), left.eq(left - 1)]
                with m.If(~left.any()):
                    m.next = "IDLE"
        lane = bus.address[2:lane_bits]
        with m.If(bus.ack & ~bus.write):
            m.d.comb += bus.value.eq(read.data.word_select(lane, 32))
        return m

    def _outside(self, address: Value) -> Value:
        """Return whether an address is not of this memory."""
        bits = self.size.bit_length() - 1
        return address[bits:] != self.base >> bits

    def _single(self, write: Any) -> list[Any]:
        """Return what writes a word of the bridge, where it is a write."""
        bus, lanes = self.bus, self.data_width // 32
        lane = bus.address[2 : 2 + lanes.bit_length() - 1]
        strobes = [bus.strobe & (bus.write & (lane == k)).replicate(4) for k in range(lanes)]
        return [write.data.eq(Cat(*[bus.data] * lanes)), write.en.eq(Cat(*strobes))]


def _flipped(member: Member) -> Member:
    """Return a port of the master as one of the slave."""
    return In(member.shape) if member.flow == Out else Out(member.shape)

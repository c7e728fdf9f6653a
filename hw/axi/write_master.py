# SPDX-License-Identifier: Apache-2.0
"""Master of the write channels of AXI4."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.axi.admission import admit
from hw.axi.axi4 import ATTRIBUTES, axi4_write_ports, check_bus, drive_attributes
from hw.axi.dma import command, write_beats
from hw.axi.queue import ShiftQueue
from hw.axi.splitter import MAX_BYTES, BurstSplitter, burst

__all__ = ["WriteMaster"]

SLVERR, DECERR = 3, 4  #: Codes of ``hw.spec.coprocessor``.


class WriteMaster(wiring.Component):
    """Store what clients send, command by command in turns, several commands in flight.

    Only bytes of the command have their strobe set. Address and data of a burst are offered
    independently of each other.

    Parameters
    ----------
    addr_bits, data_width : int
        Of the bus.
    clients : int
    align : int
        Bytes of which all addresses are multiples, a power of two. From a bus word on there is no
        shifter.
    max_burst : int
        Words of the longest burst, a power of two.
    outstanding : int
        Bursts that may be in flight.
    prefix : str
        Of the names of the AXI4 ports.
    max_bytes : int
        Bytes of the longest command; the fewer, the smaller.

    Members
    -------
    <prefix>awaddr ... <prefix>bready
        The bus, see :func:`hw.axi.axi4.axi4_write_ports`.
    commands[k] : ``In(command(addr_bits))``
    beats[k] : ``In(write_beats(data_width))``
        What client ``k`` wants stored, see :mod:`hw.axi.dma`. ``last`` is not looked at: the
        command says how many beats there are.
    done : ``Out(clients)``
        Bit ``k`` is high for one cycle when a command of client ``k`` is stored.
    attr : ``In(ATTRIBUTES)``
        For all bursts; looked at while nothing is in flight.
    stop : ``In(1)``
        While high no burst begins, no beat is taken, and bursts that have begun are completed with
        all strobes 0, without ``done``. Writing goes on only after ``clear``.
    idle : ``Out(1)``
        No burst is in flight and no VALID is up.
    clear : ``In(1)``
        Forget all commands and beats; only while ``stop`` and ``idle``.
    fault, code, addr : ``Out(1)``, ``Out(3)``, ``Out(addr_bits)``
        High for one cycle for each bad response: 3 for SLVERR and EXOKAY, 4 for DECERR. The
        address is that of the burst's first word.
    burst, beat : ``Out(1)``
        High for one cycle for each burst and each word that was transferred.

    Timing
    ------
    A burst and a word per cycle, also from command to command; every second one if ``outstanding``
    is 1. AW is up two cycles after a command
    was accepted, W three at the earliest, ``done`` a cycle after the response. No bus output
    depends combinationally on an input, and VALID is low during reset.
    """

    def __init__(
        self,
        addr_bits: int,
        data_width: int,
        clients: int,
        align: int = 1,
        max_burst: int = 16,
        outstanding: int = 8,
        prefix: str = "m_axi_",
        max_bytes: int = MAX_BYTES,
    ):
        check_bus(addr_bits, data_width, max_burst, outstanding)
        if clients < 1:
            raise ValueError(f"clients must be positive, not {clients!r}")
        if align < 1 or align & (align - 1):
            raise ValueError(f"align must be a power of two, not {align!r}")
        self.addr_bits, self.data_width, self.clients = addr_bits, data_width, clients
        self.align, self.max_burst, self.outstanding = align, max_burst, outstanding
        self.prefix, self.max_bytes = prefix, max_bytes
        super().__init__(
            {
                **axi4_write_ports(prefix, addr_bits, data_width),
                "commands": In(command(addr_bits)).array(clients),
                "beats": In(write_beats(data_width)).array(clients),
                "done": Out(clients),
                "attr": In(ATTRIBUTES),
                "stop": In(1),
                "idle": Out(1),
                "clear": In(1),
                "fault": Out(1),
                "code": Out(3),
                "addr": Out(addr_bits),
                "burst": Out(1),
                "beat": Out(1),
            }
        )

    def _axi(self, name: str) -> Any:
        return getattr(self, self.prefix + name)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        place = exact_log2(self.data_width // 8)
        layout = burst(self.addr_bits, self.data_width)
        # What a burst's data and what its response have to know of it.
        kept = [name for name, _ in layout if name != "word"]
        who = {"client": range(self.clients)}
        filling = data.StructLayout({**{name: layout[name].shape for name in kept}, **who})
        answer = data.StructLayout({"word": layout["word"].shape, "last": 1, **who})
        m.submodules.fill = fill = SyncFIFO(width=filling.size, depth=self.outstanding)
        m.submodules.flight = flight = SyncFIFO(width=answer.size, depth=self.outstanding)
        m.submodules.address = address = ShiftQueue(
            layout["word"].width + 8, min(2, self.outstanding)
        )
        splitter = BurstSplitter(self.addr_bits, self.data_width, self.max_burst, self.max_bytes)
        m.submodules.split = splitter

        owner = admit(m, self.commands, splitter)
        offer, begin = splitter.o, Signal()
        fresh, due = Signal(filling), Signal(answer)
        m.d.comb += [fresh[name].eq(offer.payload[name]) for name in kept]
        m.d.comb += [
            fresh.client.eq(owner),
            Cat(due.word, due.last).eq(Cat(offer.payload.word, offer.payload.last)),
            due.client.eq(owner),
            splitter.clear.eq(self.clear),
            offer.ready.eq(flight.w_rdy & fill.w_rdy & address.i.ready & ~self.stop),
            begin.eq(offer.valid & offer.ready),
            fill.w_en.eq(begin),
            fill.w_data.eq(fresh),
            flight.w_en.eq(begin),
            flight.w_data.eq(due),
            address.i.valid.eq(begin),
            address.i.payload.eq(Cat(offer.payload.word, offer.payload.len)),
            self._axi("awvalid").eq(address.o.valid),
            address.o.ready.eq(self._axi("awready")),
            self._axi("awaddr").eq(address.o.payload[:-8] << place),
            self._axi("awlen").eq(address.o.payload[-8:]),
            self.idle.eq(~(flight.r_rdy | fill.r_rdy | self._axi("awvalid") | self._axi("wvalid"))),
        ]
        drive_attributes(m, self, "aw", self.idle)
        self._fill(m, fill, data.View(filling, fill.r_data))
        self._answer(m, flight, data.View(answer, flight.r_data))
        m.d.sync += [
            self.burst.eq(self._axi("awvalid") & self._axi("awready")),
            self.beat.eq(self._axi("wvalid") & self._axi("wready")),
        ]
        return m

    def _fill(self, m: Module, fill: SyncFIFO, head: Any) -> None:
        """Add the way of a beat from its client to the bus."""
        size, grain = self.data_width // 8, exact_log2(self.align)
        m.submodules.words = words = ShiftQueue(
            self.data_width + size + 1, min(2, self.outstanding)
        )
        number = Signal(8)  # of the word in its burst
        ends, opens, closes, alone, comes = (Signal() for _ in range(5))
        m.d.comb += [
            ends.eq(number == head.len),
            opens.eq(head.first & (number == 0)),
            closes.eq(head.last & ends),
            alone.eq(closes & head.spill),  # a word of which the beat before had all bytes
        ]
        beat = Signal(self.data_width)
        for k, beats in enumerate(self.beats):
            with m.If(head.client == k):
                m.d.comb += [
                    beat.eq(beats.payload.data),
                    comes.eq(beats.valid),
                    beats.ready.eq(fill.r_rdy & words.i.ready & ~alone & ~self.stop),
                ]
        before = Signal(self.data_width)
        moves = Signal()
        m.d.comb += [
            words.i.valid.eq(fill.r_rdy & (comes | alone | self.stop)),
            moves.eq(words.i.valid & words.i.ready),
            fill.r_en.eq(moves & ends),
        ]
        with m.If(moves):
            m.d.sync += [number.eq(Mux(ends, 0, number + 1)), before.eq(beat)]

        shifted = beat
        if self.align < size:
            # Byte 0 of the word is byte (size - offset) of the two beats together.
            steps = Cat(Const(0, 3 + grain), ~head.offset[grain:])
            both = Cat(before, beat)[8 * self.align :]
            shifted = (both >> steps)[: self.data_width]
        strobes = Cat(
            ((k >= head.offset) | ~opens) & ((k <= head.end) | ~closes) & ~self.stop
            for k in range(size)
        )
        out = words.o.payload
        m.d.comb += [
            words.i.payload.eq(Cat(shifted, strobes, ends)),
            self._axi("wvalid").eq(words.o.valid),
            words.o.ready.eq(self._axi("wready")),
            Cat(self._axi("wdata"), self._axi("wstrb"), self._axi("wlast")).eq(out),
        ]

    def _answer(self, m: Module, flight: SyncFIFO, head: Any) -> None:
        """Add what becomes of a response."""
        response, came = self._axi("bresp"), Signal()
        place = exact_log2(self.data_width // 8)
        m.d.comb += [
            self._axi("bready").eq(1),
            came.eq(self._axi("bvalid") & flight.r_rdy),
            flight.r_en.eq(came),
        ]
        m.d.sync += [
            self.done.eq(Mux(came & head.last & ~self.stop, 1 << head.client, 0)),
            self.fault.eq(came & response.any()),
            self.code.eq(Mux(response == 0b11, DECERR, SLVERR)),
            self.addr.eq(head.word << place),
        ]

# SPDX-License-Identifier: Apache-2.0
"""Master of the read channels of AXI4."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.axi.admission import admit
from hw.axi.axi4 import ATTRIBUTES, axi4_read_ports, check_bus, drive_attributes
from hw.axi.dma import command, read_beats
from hw.axi.queue import ShiftQueue
from hw.axi.realigner import Realigner
from hw.axi.splitter import MAX_BYTES, BurstSplitter, burst

__all__ = ["ReadMaster"]

SLVERR, DECERR = 1, 2  #: Codes of ``hw.spec.coprocessor``.


class ReadMaster(wiring.Component):
    """Fetch what clients ask for, command by command in turns, several bursts in flight.

    Only whole aligned bus words are read, each of them holding a byte that was asked for. The
    master is always ready for data: clients ask for no more than they have room for.

    Parameters
    ----------
    addr_bits, data_width : int
        Of the bus.
    aligns : sequence of int
        For each client the bytes of which all its addresses are multiples, a power of two. From a
        bus word on it needs no shifter.
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
    <prefix>araddr ... <prefix>rready
        The bus, see :func:`hw.axi.axi4.axi4_read_ports`.
    commands[k] : ``In(command(addr_bits))``
    beats[k] : ``Out(read_beats(data_width))``
        What client ``k`` asks for and gets, see :mod:`hw.axi.dma`.
    attr : ``In(ATTRIBUTES)``
        For all bursts; looked at while nothing is in flight.
    stop : ``In(1)``
        While high no burst begins; those that have begun go on, and so do their beats.
    idle : ``Out(1)``
        No burst is in flight and no VALID is up.
    clear : ``In(1)``
        Forget all commands and beats; only while ``stop`` and ``idle``.
    fault, code, addr : ``Out(1)``, ``Out(3)``, ``Out(addr_bits)``
        High for one cycle for each bad word: 1 for SLVERR, EXOKAY, or RLAST at another place than
        the last word of the burst; 2 for DECERR. The address is that of its burst.
    burst, beat : ``Out(1)``
        High for one cycle for each burst and each word that was transferred.

    Timing
    ------
    A burst and a word per cycle, whoever they are for; if ``outstanding`` is 1 a burst only when
    the one before has ended. A command is on the bus two cycles after it was accepted; a word
    reaches its client one cycle after it came, behind a shifter two or
    three. No bus output depends combinationally on an input, and VALID is low during reset.
    """

    def __init__(
        self,
        addr_bits: int,
        data_width: int,
        aligns: Sequence[int],
        max_burst: int = 16,
        outstanding: int = 8,
        prefix: str = "m_axi_",
        max_bytes: int = MAX_BYTES,
    ):
        check_bus(addr_bits, data_width, max_burst, outstanding)
        if not aligns or any(a < 1 or a & (a - 1) for a in aligns):
            raise ValueError(f"aligns must be powers of two, one per client, not {aligns!r}")
        self.addr_bits, self.data_width, self.aligns = addr_bits, data_width, tuple(aligns)
        self.max_burst, self.outstanding, self.prefix = max_burst, outstanding, prefix
        self.max_bytes = max_bytes
        super().__init__(
            {
                **axi4_read_ports(prefix, addr_bits, data_width),
                "commands": In(command(addr_bits)).array(len(aligns)),
                "beats": Out(read_beats(data_width)).array(len(aligns)),
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
        clients, place = len(self.aligns), exact_log2(self.data_width // 8)
        layout = burst(self.addr_bits, self.data_width)
        ticket = data.StructLayout({"burst": layout, "client": range(clients)})
        m.submodules.flight = flight = SyncFIFO(width=ticket.size, depth=self.outstanding)
        m.submodules.address = address = ShiftQueue(
            layout["word"].width + 8, min(2, self.outstanding)
        )
        splitter = BurstSplitter(self.addr_bits, self.data_width, self.max_burst, self.max_bytes)
        m.submodules.split = splitter

        owner = admit(m, self.commands, splitter)
        offer, begin, chosen = splitter.o, Signal(), Signal(ticket)
        m.d.comb += [
            splitter.clear.eq(self.clear),
            offer.ready.eq(flight.w_rdy & address.i.ready & ~self.stop),
            begin.eq(offer.valid & offer.ready),
            chosen.burst.eq(offer.payload),
            chosen.client.eq(owner),
        ]
        m.d.comb += [
            flight.w_en.eq(begin),
            flight.w_data.eq(chosen),
            address.i.valid.eq(begin),
            address.i.payload.eq(Cat(chosen.burst.word, chosen.burst.len)),
            self._axi("arvalid").eq(address.o.valid),
            address.o.ready.eq(self._axi("arready")),
            self._axi("araddr").eq(address.o.payload[:-8] << place),
            self._axi("arlen").eq(address.o.payload[-8:]),
            self._axi("rready").eq(1),
            self.idle.eq(~flight.r_rdy & ~address.o.valid),
        ]
        drive_attributes(m, self, "ar", self.idle)
        self._words(m, flight, data.View(ticket, flight.r_data))
        m.d.sync += self.burst.eq(self._axi("arvalid") & self._axi("arready"))
        return m

    def _words(self, m: Module, flight: SyncFIFO, head: Any) -> None:
        """Add the way of a word from the bus to its client."""
        place = exact_log2(self.data_width // 8)
        came, ends, bad = Signal(), Signal(), Signal()
        number = Signal(8)  # of the word in its burst
        response, rlast = self._axi("rresp"), self._axi("rlast")
        m.d.comb += [
            came.eq(self._axi("rvalid") & flight.r_rdy),
            ends.eq(number == head.burst.len),
            bad.eq(response.any() | (rlast != ends)),
            # Whatever a slave does to RLAST, the bus comes to rest.
            flight.r_en.eq(came & (ends | rlast)),
        ]
        with m.If(came):
            m.d.sync += number.eq(Mux(ends | rlast, 0, number + 1))
        m.d.sync += [
            self.beat.eq(came),
            self.fault.eq(came & bad),
            self.code.eq(Mux(response == 0b11, DECERR, SLVERR)),
            self.addr.eq(head.burst.word << place),
        ]

        word, final, spill = Signal(self.data_width), Signal(), Signal()
        offset = Signal(place)
        m.d.sync += [
            word.eq(self._axi("rdata")),
            final.eq(head.burst.last & ends),
            spill.eq(head.burst.spill),
            offset.eq(head.burst.offset),
        ]
        for k, (align, beats) in enumerate(zip(self.aligns, self.beats, strict=True)):
            here = Signal(name=f"here{k}")
            m.d.sync += here.eq(came & (head.client == k) & ~self.clear)
            if align >= self.data_width // 8:
                m.d.comb += [
                    beats.valid.eq(here),
                    beats.payload.data.eq(word),
                    beats.payload.last.eq(final),
                ]
                continue
            m.submodules[f"align{k}"] = realigner = Realigner(self.data_width, align)
            into = realigner.i.payload
            m.d.comb += [
                realigner.i.valid.eq(here),
                into.data.eq(word),
                into.final.eq(final),
                into.spill.eq(spill),
                into.offset.eq(offset),
                realigner.clear.eq(self.clear),
            ]
            wiring.connect(m, realigner.o, wiring.flipped(beats))

# SPDX-License-Identifier: Apache-2.0
"""Packed weights, or scales, from memory to the beats of a matrix engine."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.arith.wires import wire
from hw.axi.axis import axis
from hw.axi.dma import command, read_beats
from hw.coprocessor.params import CoprocessorParams
from hw.coprocessor.ring import Ring

__all__ = ["PanelBuffer"]


class PanelBuffer(wiring.Component):
    """Read the panel of a column tile, keep it if it fits, and send a slot a cycle.

    A panel that fits is read once and sent again for each row tile; else it is read for each.
    While it is sent, the next one is read.

    Parameters
    ----------
    params : :class:`~hw.coprocessor.params.CoprocessorParams`
    kind : str
        ``wgt`` or ``scale``.

    Members
    -------
    start : ``In(1)``
        A job begins. What follows stays until all of it has left.
    m, n : ``In(params.size_bits)``
    last_slot : ``In(params.count_bits)``
        Slots of a panel, less one. Where scales have those of rows, a panel is that of one tile.
    address : ``In(addr_bits)``, ``stride`` : ``In(20)``
        Of the first panel, and bytes from one to the next; 0: without gap.
    yields : ``In(1)``
        Ask for nothing that later column tiles need.
    command : ``Out(command(addr_bits))``, ``beat`` : ``In(read_beats(data_width))``
        To the reader of memory.
    beats : ``Out(axis(...))``
        For the engine's ``s_axis_wgt`` or ``s_axis_scale``.
    active : ``Out(1)``
        There are slots left that have not been read from the buffer.
    corrected, detected : ``Out(1)``
        For one cycle: a word that was read had an error, that was corrected or was not.

    Timing
    ------
    One beat and one slot per cycle. ``command`` comes from registers; ``beats`` from memories
    through a choice of the slot.
    """

    def __init__(self, params: CoprocessorParams, kind: str):
        self.params, self.kind = params, kind
        wgt = kind == "wgt"
        self.slot = params.w_slot if wgt else params.s_slot
        self.bits = params.shape.wgt_bits if wgt else params.shape.scale_bits
        self.word = params.wgt_word if wgt else params.scale_word
        self.depth = params.wgt_depth if wgt else params.scale_depth
        self.chunk = params.chunk(self.word, self.depth)
        super().__init__(
            {
                "start": In(1),
                "m": In(params.size_bits),
                "n": In(params.size_bits),
                "last_slot": In(params.count_bits),
                "address": In(params.addr_bits),
                "stride": In(20),
                "yields": In(1),
                "command": Out(command(params.addr_bits)),
                "beat": In(read_beats(params.data_width)),
                "beats": Out(axis(self.bits)),
                "active": Out(1),
                "corrected": Out(1),
                "detected": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        replay = "never" if self.kind == "scale" and params.act_scale else "rows"
        m.submodules.ring = ring = Ring(
            width=params.data_width,
            banks=1,
            word=self.word,
            item=8 * self.slot,
            depth=self.depth,
            tile=(params.rows, params.columns),
            count_bits=params.count_bits,
            size_bits=params.size_bits,
            replay=replay,
            protected=params.protected,
        )
        streams = Signal()  # a panel does not fit
        m.d.comb += [
            ring.start.eq(self.start),
            ring.m.eq(self.m),
            ring.n.eq(self.n),
            ring.last_item.eq(self.last_slot),
            ring.streams.eq(streams),
            ring.completes.eq(1),
            ring.beat.payload.eq(self.beat.payload),
            ring.beat.valid.eq(self.beat.valid),
            self.active.eq(ring.active),
            self.corrected.eq(ring.corrected),
            self.detected.eq(ring.detected),
            self.beats.valid.eq(ring.items.valid),
            ring.items.ready.eq(self.beats.ready),
            self.beats.payload.tdata.eq(ring.items.payload.items[: self.bits]),
            self.beats.payload.tlast.eq(ring.items.payload.last),
        ]
        self._fetch(m, ring, streams, replay)
        return m

    def _fetch(self, m: Module, ring: Ring, streams: Signal, replay: str) -> None:
        """Give commands: panel by panel, chunk by chunk."""
        rows, columns = ring.tile
        bits, slots = self.params.addr_bits, self.chunk * self.word // (8 * self.slot)
        fetches, known = (
            Signal(),
            Signal(),
        )  # there is something left; whether a panel fits is clear
        left = Signal(self.params.count_bits)
        left_m, left_n = (Signal(self.params.size_bits, name=f"left_{name}") for name in "mn")
        here, panel = Signal(bits, name="here"), Signal(bits, name="panel")
        reserved = Signal(ring.place)

        closes_k = wire(m, left < slots, "fetch_closes_k")
        once = Value.cast(0) if replay == "never" else ~streams
        closes_m = wire(m, (left_m <= rows) | once, "fetch_closes_m")
        closes_n = wire(m, left_n <= columns, "fetch_closes_n")
        less = wire(m, Mux(closes_k, left, slots - 1)[: slots.bit_length()], "slots_less")
        words = (less >> exact_log2(self.word // (8 * self.slot)))[: ring.place]  # less one
        above = (reserved + words - ring.free)[: ring.place]
        room = wire(m, ~above[-1], "room")
        early = wire(m, self.yields & (left_n != ring.left_n), "early")
        can = fetches & room & ~early
        goes = wire(m, can & (~self.command.valid | self.command.ready), "goes")
        size = wire(m, (less + 1) << exact_log2(self.slot), "size")
        beyond = wire(m, (here + size)[:bits], "beyond")
        following = wire(m, Mux(self.stride.any(), panel + self.stride, beyond)[:bits], "following")
        with m.If(self.command.ready):
            m.d.sync += self.command.valid.eq(0)
        with m.If(goes):
            m.d.sync += [
                self.command.valid.eq(1),
                self.command.payload.addr.eq(here),
                self.command.payload.bytes.eq(size),
                reserved.eq(reserved + words + 1),
                left.eq(left - slots),
                here.eq(beyond),
            ]
            with m.If(closes_k):
                m.d.sync += [known.eq(1), left.eq(self.last_slot), left_m.eq(left_m - rows)]
                if replay != "never":
                    m.d.sync += here.eq(panel)
            with m.If(closes_k & closes_m):
                m.d.sync += [here.eq(following), panel.eq(following)]
                m.d.sync += [left_m.eq(self.m), left_n.eq(left_n - columns)]
                with m.If(closes_n):
                    m.d.sync += fetches.eq(0)
        with m.If(fetches & ~room & ~known):
            m.d.sync += streams.eq(1)
        with m.If(self.start):
            m.d.sync += [
                fetches.eq(1),
                known.eq(0),
                streams.eq(0),
                left.eq(self.last_slot),
                left_m.eq(self.m),
                left_n.eq(self.n),
                here.eq(self.address),
                panel.eq(self.address),
            ]

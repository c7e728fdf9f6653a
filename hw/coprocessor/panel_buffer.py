# SPDX-License-Identifier: Apache-2.0
"""Packed weights, or scales, from memory to the beats of a matrix engine."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.arith.wires import wire
from hw.axi.axis import axis
from hw.axi.dma import command, read_beats
from hw.coprocessor.choice import chosen, own
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
    choice : ``In``
        The engine that it is for.
    last_slot : ``In(params.count_bits)``
        Slots of a panel, less one. Where scales have those of rows, a panel is that of one tile.
    address : ``In(addr_bits)``, ``stride`` : ``In(20)``
        Of the first panel, and bytes from one to the next; 0: without gap.
    yields : ``In(1)``
        Ask for nothing that later column tiles need.
    command : ``Out(command(addr_bits))``, ``beat`` : ``In(read_beats(data_width))``
        To the reader of memory.
    beats, beats1, ... : ``Out(axis(...))``
        For the ``s_axis_wgt`` or ``s_axis_scale`` of each engine that has it.
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
        users = params.parts if wgt else params.scaled
        slots = {part: part.w_slot if wgt else part.s_slot for part in users}
        least = min(slots.values())
        #: Bytes of a slot as each engine has them; one that takes no such beats has no part in it.
        self.slots = [slots.get(part, least) for part in params.parts]
        self.bits = {
            f"beats{i or ''}": part.shape.wgt_bits if wgt else part.shape.scale_bits
            for i, part in enumerate(params.parts)
            if part in users
        }
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
                "choice": In(range(len(params.parts))),
                **{name: Out(axis(bits)) for name, bits in self.bits.items()},
                "active": Out(1),
                "corrected": Out(1),
                "detected": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        never = [self.kind == "scale" and part.act_scale for part in params.parts]
        replay = "never" if all(never) else "rows"
        m.submodules.ring = ring = Ring(
            width=params.data_width,
            banks=1,
            word=self.word,
            items=tuple(8 * slot for slot in self.slots),
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
            ring.choice.eq(self.choice),
            ring.streams.eq(streams),
            ring.completes.eq(1),
            ring.beat.payload.eq(self.beat.payload),
            ring.beat.valid.eq(self.beat.valid),
            self.active.eq(ring.active),
            self.corrected.eq(ring.corrected),
            self.detected.eq(ring.detected),
        ]
        ready = []
        for name, bits in self.bits.items():
            beats, number = getattr(self, name), int(name.removeprefix("beats") or 0)
            mine = chosen(self.choice, number)
            m.d.comb += [
                beats.valid.eq(ring.items.valid & mine),
                beats.payload.tdata.eq(ring.items.payload.items[:bits]),
                beats.payload.tlast.eq(ring.items.payload.last),
            ]
            ready.append(beats.ready & mine)
        m.d.comb += ring.items.ready.eq(Cat(*ready).any())
        # What is never replayed is as what does not fit.
        self._fetch(m, ring, streams, never)
        return m

    def _fetch(self, m: Module, ring: Ring, streams: Signal, nevers: list[bool]) -> None:
        """Give commands: panel by panel, chunk by chunk."""
        rows, columns = ring.tile
        never, any_never = own(m, self.choice, nevers, "never"), any(nevers)
        replay = ring.replay
        bits, room = self.params.addr_bits, self.chunk * self.word // 8
        slots = own(m, self.choice, [room // slot for slot in self.slots], "slots")
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
        most = (room // min(self.slots)).bit_length()
        less = wire(m, Mux(closes_k, left, slots - 1)[:most], "slots_less")
        words = own(
            m,
            self.choice,
            self.slots,
            "words_less",
            lambda slot: (less >> exact_log2(self.word // (8 * slot)))[: ring.place],
        )
        above = (reserved + words - ring.free)[: ring.place]
        room = wire(m, ~above[-1], "room")
        early = wire(m, self.yields & (left_n != ring.left_n), "early")
        can = fetches & room & ~early
        goes = wire(m, can & (~self.command.valid | self.command.ready), "goes")
        size = own(m, self.choice, self.slots, "own_size", lambda s: (less + 1) << exact_log2(s))
        size = wire(m, size, "size")
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
                    m.d.sync += here.eq(Mux(never, beyond, panel) if any_never else panel)
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
                streams.eq(never if replay == "rows" else 0),
                left.eq(self.last_slot),
                left_m.eq(self.m),
                left_n.eq(self.n),
                here.eq(self.address),
                panel.eq(self.address),
            ]

# SPDX-License-Identifier: Apache-2.0
"""A from memory, row by row, to the beats of a matrix engine."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.arith.wires import wire
from hw.axi.axis import axis
from hw.axi.dma import command, read_beats
from hw.coprocessor.choice import chosen, own
from hw.coprocessor.params import CoprocessorParams
from hw.coprocessor.ring import Ring

__all__ = ["RowBuffer"]


class RowBuffer(wiring.Component):
    """Read tiles of rows of A in chunks, keep what fits, and send a step of all rows a cycle.

    If all of A fits it is read once for a job, else once for each column tile.

    Parameters
    ----------
    params : :class:`~hw.coprocessor.params.CoprocessorParams`

    Members
    -------
    start : ``In(1)``
        A job begins. What follows stays until all of it has left.
    m, n : ``In(params.size_bits)``
    last_step : ``In(params.k_bits)``
        Steps of a tile, less one.
    row_bytes : ``In``
        Bytes of a row of A.
    choice : ``In``
        The engine that it is for.
    address : ``In(addr_bits)``, ``stride`` : ``In(16)``
        Of A, in bytes.
    command : ``Out(command(addr_bits))``, ``beat`` : ``In(read_beats(data_width))``
        To the reader of memory. Commands may begin at any byte.
    act, act1, ... : ``Out(axis(...))``
        For the ``s_axis_act`` of each engine; codes beyond K are whatever was there.
    hurries : ``Out(1)``
        A is being read for the first time, and what is asked for is not under way.
    active : ``Out(1)``
        There are steps left that have not been read from the buffer.
    corrected, detected : ``Out(1)``
        For one cycle: a word that was read had an error, that was corrected or was not.

    Timing
    ------
    One command, one beat and one step per cycle. ``command`` comes from registers; ``act`` from
    memories through a choice of the step.
    """

    def __init__(self, params: CoprocessorParams):
        self.params = params
        self.word_bytes = params.act_word // 8
        self.chunk = params.chunk(params.act_word, params.act_depth)
        slots = [part.act_slot for part in params.parts]
        self.byte_bits = params.k_bits + max(0, exact_log2(max(slots)) - 3)
        self.acts = ["act", *(f"act{i}" for i in range(1, len(slots)))]
        super().__init__(
            {
                "start": In(1),
                "m": In(params.size_bits),
                "n": In(params.size_bits),
                "last_step": In(params.k_bits),
                "row_bytes": In(self.byte_bits),
                "address": In(params.addr_bits),
                "stride": In(16),
                "command": Out(command(params.addr_bits)),
                "beat": In(read_beats(params.data_width)),
                "choice": In(range(len(slots))),
                **{
                    name: Out(axis(part.shape.act_bits))
                    for name, part in zip(self.acts, params.parts, strict=True)
                },
                "hurries": Out(1),
                "active": Out(1),
                "corrected": Out(1),
                "detected": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        m.submodules.ring = ring = Ring(
            width=params.data_width,
            banks=params.rows,
            word=params.act_word,
            items=tuple(part.act_item for part in params.parts),
            depth=params.act_depth,
            tile=(params.rows, params.columns),
            count_bits=params.k_bits,
            size_bits=params.size_bits,
            replay="columns",
            protected=params.protected,
        )
        streams = Signal()  # A does not fit
        m.d.comb += [
            ring.start.eq(self.start),
            ring.m.eq(self.m),
            ring.n.eq(self.n),
            ring.last_item.eq(self.last_step),
            ring.choice.eq(self.choice),
            ring.streams.eq(streams),
            ring.beat.payload.eq(self.beat.payload),
            ring.beat.valid.eq(self.beat.valid),
            self.hurries.eq(self.command.valid & ~streams),
            self.active.eq(ring.active),
            self.corrected.eq(ring.corrected),
            self.detected.eq(ring.detected),
        ]
        self._fetch(m, ring, streams)
        self._place(m, ring)
        room = max(ring.sizes)
        ready = []
        for number, (name, part) in enumerate(zip(self.acts, params.parts, strict=True)):
            act, mine = getattr(self, name), chosen(self.choice, number)
            rows = [ring.items.payload.items.word_select(i, room) for i in range(params.rows)]
            codes = [
                row.word_select(i, part.act_slot)[: part.shape.lane_bits]
                for row in rows
                for i in range(part.depth)
            ]
            m.d.comb += [
                act.valid.eq(ring.items.valid & mine),
                act.payload.tdata.eq(Cat(*codes)),
                act.payload.tlast.eq(ring.items.payload.last),
            ]
            ready.append(act.ready & mine)
        m.d.comb += ring.items.ready.eq(Cat(*ready).any())
        return m

    def _fetch(self, m: Module, ring: Ring, streams: Signal) -> None:
        """Give commands: column tile by column tile, row tile by row tile, chunk by chunk."""
        rows, columns = ring.tile
        chunk_bytes = self.chunk * self.word_bytes
        fetches, first = Signal(), Signal()  # there is something left; it is the tile's first chunk
        left = Signal(self.byte_bits)
        left_m, left_n = (Signal(self.params.size_bits, name=f"left_{name}") for name in "mn")
        row = Signal(range(rows))
        here, chunk, tile = (
            Signal(self.params.addr_bits, name=n) for n in ("here", "chunk", "tile")
        )
        reserved = Signal(ring.place)

        closes_k = wire(m, left <= chunk_bytes, "fetch_closes_k")
        closes_m = wire(m, left_m <= rows, "fetch_closes_m")
        closes_n = wire(m, left_n <= columns, "fetch_closes_n")
        size = wire(m, Mux(closes_k, left, chunk_bytes), "size")
        words = wire(
            m, ((size - 1) >> exact_log2(self.word_bytes))[: ring.place], "words"
        )  # less 1
        ends = wire(m, row == Mux(closes_m, (left_m - 1)[: len(row)], rows - 1), "ends_rows")
        above = (reserved + words - ring.free)[: ring.place]
        room = wire(m, ~above[-1] | row.any(), "room")
        goes = wire(m, fetches & room & (~self.command.valid | self.command.ready), "goes")
        below = wire(m, (here + self.stride)[: len(here)], "below")
        beyond = wire(m, (chunk + chunk_bytes)[: len(here)], "beyond")
        following = wire(m, Mux(first, below, tile), "following")  # the next tile's first byte
        with m.If(self.command.ready):
            m.d.sync += self.command.valid.eq(0)
        with m.If(goes):
            m.d.sync += [
                self.command.valid.eq(1),
                self.command.payload.addr.eq(here),
                self.command.payload.bytes.eq(size),
                here.eq(below),
                row.eq(row + 1),
            ]
            with m.If(~row.any()):
                m.d.sync += reserved.eq(reserved + words + 1)
            with m.If(ends):
                m.d.sync += [row.eq(0), first.eq(0), tile.eq(following)]
                m.d.sync += [left.eq(left - chunk_bytes), here.eq(beyond), chunk.eq(beyond)]
            with m.If(ends & closes_k):
                m.d.sync += [first.eq(1), left.eq(self.row_bytes), left_m.eq(left_m - rows)]
                m.d.sync += [here.eq(following), chunk.eq(following)]
            with m.If(ends & closes_k & closes_m):
                m.d.sync += [left_m.eq(self.m), left_n.eq(left_n - columns)]
                m.d.sync += [here.eq(self.address), chunk.eq(self.address)]
                m.d.sync += fetches.eq(streams & ~closes_n)
        with m.If(fetches & ~room):
            m.d.sync += streams.eq(1)
        with m.If(self.start):
            m.d.sync += [
                fetches.eq(1),
                first.eq(1),
                streams.eq(0),
                left.eq(self.row_bytes),
                left_m.eq(self.m),
                left_n.eq(self.n),
                here.eq(self.address),
                chunk.eq(self.address),
            ]

    def _place(self, m: Module, ring: Ring) -> None:
        """Say which row a beat is of, walking as the commands did."""
        rows, _ = ring.tile
        words = own(
            m,
            self.choice,
            ring.sizes,
            "words_less",
            lambda size: self.last_step[exact_log2(ring.word // size) :],
        )
        left, left_m = Signal(len(words)), Signal(self.params.size_bits)
        row = Signal(range(rows))
        closes_m = wire(m, left_m <= rows, "place_closes_m")
        ends = wire(m, row == Mux(closes_m, (left_m - 1)[: len(row)], rows - 1), "place_ends")
        m.d.comb += [ring.bank.eq(row), ring.completes.eq(ends)]
        with m.If(self.beat.valid & self.beat.payload.last):
            m.d.sync += row.eq(Mux(ends, 0, row + 1))
            with m.If(ends):
                m.d.sync += left.eq(left - self.chunk)
                with m.If(left < self.chunk):
                    m.d.sync += [left.eq(words), left_m.eq(left_m - rows)]
                    with m.If(closes_m):
                        m.d.sync += left_m.eq(self.m)
        with m.If(self.start):
            m.d.sync += [left.eq(words), left_m.eq(self.m)]

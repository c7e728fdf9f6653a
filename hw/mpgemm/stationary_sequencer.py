# SPDX-License-Identifier: Apache-2.0
"""Jobs to loads and feeds, for arrays in which one operand stays while the other streams past."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.axi.axis import axis
from hw.mpgemm.sequencer import job_of, judged, masked, tile_signature
from hw.mpgemm.shape import Shape
from hw.spec.gemm import JOB_BITS, error_code

__all__ = ["StationarySequencer"]


class StationarySequencer(wiring.Component):
    """Walk two operands through the tiles of a job: one stays in the array, one streams past it.

    Parameters
    ----------
    shape : :class:`~hw.mpgemm.shape.Shape`
        Of one row of results: ``rows`` is 1, ``columns`` those of the array, ``depth`` the products
        of a tile, :attr:`array_rows` times lanes.
    array_rows : int
        Rows of the array: beats of the operand that stays, for a tile.
    batch : int
        Most beats of the streaming operand for a tile.
    swapped : bool
        The activations stay and the weights stream, which computes the transpose.

    Members
    -------
    job, act, wgt
        As of :class:`~hw.mpgemm.sequencer.Sequencer`. Per ``batch`` rows of the streaming operand,
        tile of columns and tile of K: ``array_rows`` beats of the operand that stays, and one beat
        for each row of the other.
    load : ``Out(stream.Signature({data, row, bank}))``
        Codes that go into row ``row`` of the cells' registers ``bank``.
    feed : ``Out(stream.Signature({data, bank, start, first, last}))``
        A row for the operand in ``bank``. ``start`` begins a tile; ``first`` and ``last`` mark the
        first and the last tile of K.
    scale : ``In(axis(...))``
        What requantises a batch: one beat with the first row of its last tile of K. Where operands
        are swapped, one with each of these rows. Present where rows are requantised.
    finish : ``Out(stream.Signature(finish_bits))``
        The same. Present where rows are requantised.
    tile : ``Out(tile_signature(shape))``
        For each row of results, and once for a job that fails.

    Timing
    ------
    A load and a feed per cycle. A tile is fed once it is loaded, while the next is loaded.
    """

    def __init__(self, shape: Shape, array_rows: int, batch: int, swapped: bool):
        self.shape, self.array_rows, self.batch, self.swapped = shape, array_rows, batch, swapped
        stays, streams = shape.wgt_bits, shape.act_bits
        if swapped:
            stays, streams = streams, stays
        load: dict[str, Any] = {"data": unsigned(stays), "row": range(array_rows), "bank": 1}
        feed: dict[str, Any] = {"data": unsigned(streams), "bank": 1, "start": 1, "first": 1}
        members = {
            "job": In(axis(JOB_BITS, last=False)),
            "act": In(axis(shape.act_bits)),
            "wgt": In(axis(shape.wgt_bits)),
            "load": Out(stream.Signature(data.StructLayout(load))),
            "feed": Out(stream.Signature(data.StructLayout({**feed, "last": 1}))),
            "tile": Out(tile_signature(shape)),
        }
        if shape.finish_bits:
            members["scale"] = In(axis(shape.scale_bits))
            members["finish"] = Out(stream.Signature(unsigned(shape.finish_bits)))
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m, shape = Module(), self.shape
        stays, streams = (self.act, self.wgt) if self.swapped else (self.wgt, self.act)
        names = ("weights", "activations") if self.swapped else ("activations", "weights")
        feed_codes, load_codes = ([error_code(f"{n} end {w}") for w in ("early", "late")]
                                  for n in names)  # fmt: skip
        load, feed, tile = self.load, self.feed, self.tile

        sizes = {name: Signal(16, name=f"size_{name}") for name in "fsk"}
        loads = _Walk(m, "load", sizes, self.batch, shape)
        feeds = _Walk(m, "feed", sizes, self.batch, shape)
        running = Signal()
        code, load_code = Signal(4, name="code"), Signal(4, name="load_code")
        ended_load, ended_feed = Signal(), Signal()  # its TLAST has been taken
        broken = Signal()  # the tile that is being loaded is at fault
        ready = Signal()  # the tile that is fed next is loaded
        beat = Signal(range(self.array_rows))
        bank_load, bank_feed = Signal(), Signal()
        row = Signal(range(self.batch))

        load_all = Signal()  # all of this job is loaded
        starts = wire(m, ~row.any(), "starts")
        row_ends = wire(m, row + 1 == feeds.rows(m), "row_ends")
        closes_feed = wire(m, row_ends & feeds.closes_job, "closes_feed")
        feed_fault: Value = streams.payload.tlast != closes_feed
        fault_code: Value = Mux(streams.payload.tlast, feed_codes[0], feed_codes[1])
        here: Value = streams.valid
        room: Value = ~feeds.closes_k | tile.ready
        others: list[tuple[Any, Signal]] = [(stays, ended_load), (streams, ended_feed)]
        if shape.finish_bits:
            ended_scale = Signal(name="ended_scale")
            others.append((self.scale, ended_scale))
            with_row = Const(1, 1) if self.swapped else starts
            numbered = wire(m, feeds.closes_k & with_row, "numbered")
            closes_scale = closes_feed if self.swapped else feeds.closes_job
            ends = self.scale.payload.tlast
            scale_fault = wire(m, numbered & (ends != closes_scale), "scale_fault")
            scale_codes = [error_code(f"scales end {when}") for when in ("early", "late")]
            scale_code = Mux(ends, scale_codes[0], scale_codes[1])
            stream_fault = wire(m, feed_fault, "stream_fault")
            fault_code = Mux(stream_fault, fault_code, scale_code)
            feed_fault = stream_fault | scale_fault
            here = here & (self.scale.valid | ~numbered)
            room = room & (self.finish.ready | ~numbered)
        feed_fault = wire(m, feed_fault, "feed_fault")
        usable = wire(m, running & here & (ready | ~starts), "usable")
        can_feed = wire(m, usable & ~feed_fault & room, "can_feed")
        fed = wire(m, can_feed & feed.ready, "fed")

        beat_ends = wire(m, beat == self.array_rows - 1, "beat_ends")
        closes_load = wire(m, beat_ends & loads.closes_job, "closes_load")
        load_fault = wire(m, stays.payload.tlast != closes_load, "load_fault")
        may_load = wire(
            m, running & ~broken & ~load_all & (~ready | fed & starts) & stays.valid, "may_load"
        )
        loaded = wire(m, may_load & ~load_fault & load.ready, "loaded")

        kinds = ("act", "wgt") if self.swapped else ("wgt", "act")
        load_left, lanes = loads.row_left, shape.depth // self.array_rows
        load_data = masked(m, shape, kinds[0], stays.payload.tdata, load_left, lanes)
        feed_left = feeds.left["k"]
        feed_data = masked(m, shape, kinds[1], streams.payload.tdata, feed_left, shape.depth)
        m.d.comb += [
            load.valid.eq(may_load & ~load_fault),
            load.payload.data.eq(load_data),
            load.payload.row.eq(beat),
            load.payload.bank.eq(bank_load),
            feed.valid.eq(can_feed),
            feed.payload.data.eq(feed_data),
            feed.payload.bank.eq(bank_feed),
            feed.payload.start.eq(starts),
            feed.payload.first.eq(feeds.first_k),
            feed.payload.last.eq(feeds.closes_k),
            tile.payload.rows.eq(1),
            tile.payload.columns.eq(Mux(feeds.closes_s, feeds.left["s"], shape.columns)),
            tile.payload.last.eq(closes_feed),
        ]
        with m.If(loaded):
            m.d.sync += beat.eq(beat + 1)
            loads.next_row(m, lanes)
            with m.If(beat_ends):
                m.d.sync += [beat.eq(0), ready.eq(1), bank_load.eq(~bank_load)]
                m.d.sync += load_all.eq(closes_load)
                loads.step(m)
        with m.If(fed):
            m.d.sync += row.eq(row + 1)
            with m.If(starts & ~(loaded & beat_ends)):
                m.d.sync += ready.eq(0)
            with m.If(row_ends):
                m.d.sync += [row.eq(0), bank_feed.eq(~bank_feed)]
                feeds.step(m)
        with m.If(may_load & load_fault):
            m.d.sync += [
                broken.eq(1),
                load_code.eq(Mux(stays.payload.tlast, load_codes[0], load_codes[1])),
            ]
        for source, ended in others:
            with m.If(source.valid & source.ready & source.payload.tlast):
                m.d.sync += ended.eq(1)

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.job.ready.eq(1)
                job = job_of(self.job.payload.tdata)
                wrong = wire(m, judged(shape, job), "wrong")
                fed_size, stay_size = ("n", "m") if self.swapped else ("m", "n")
                m.d.sync += [
                    sizes["f"].eq(job[fed_size]),
                    sizes["s"].eq(job[stay_size]),
                    sizes["k"].eq(job["k"]),
                    code.eq(wrong),
                    *(flag.eq(0) for flag in (broken, ready, load_all)),
                    *(ended.eq(0) for _, ended in others),
                    *(counter.eq(0) for counter in (beat, row)),
                    *(bank.eq(0) for bank in (bank_load, bank_feed)),
                ]
                for walk in (loads, feeds):
                    walk.begin(m, job[fed_size], job[stay_size], job["k"])
                with m.If(self.job.valid):
                    with m.If(wrong.any()):
                        m.next = "DROP"
                    with m.Else():
                        m.next = "RUN"
            with m.State("RUN"):
                taken = wire(m, fed | usable & feed_fault, "taken")
                # What goes beside a feed goes with it: none of them waits for another's ready.
                beside = wire(m, usable & ~feed_fault & feed.ready, "beside")
                tells: Value = beside & feeds.closes_k
                if shape.finish_bits:
                    tells = tells & (self.finish.ready | ~numbered)
                    m.d.comb += [
                        self.scale.ready.eq(taken & numbered),
                        self.finish.valid.eq(beside & numbered & tile.ready),
                        self.finish.payload.eq(self.scale.payload.tdata[: shape.finish_bits]),
                    ]
                m.d.comb += [
                    running.eq(1),
                    streams.ready.eq(taken),
                    stays.ready.eq(loaded | may_load & load_fault),
                    tile.valid.eq(tells),
                ]
                with m.If(fed & closes_feed):
                    m.next = "IDLE"
                with m.Elif(usable & feed_fault):
                    m.d.sync += code.eq(fault_code)
                    m.next = "DROP"
                with m.Elif(starts & broken & ~ready):
                    m.d.sync += code.eq(load_code)
                    m.next = "DROP"
            with m.State("DROP"):
                m.d.comb += [source.ready.eq(~ended) for source, ended in others]
                with m.If(Cat(ended for _, ended in others).all()):
                    m.d.comb += [tile.valid.eq(1), tile.payload.error.eq(code)]
                    with m.If(tile.ready):
                        m.next = "IDLE"
        return m


class _Walk:
    """Where one operand stands: what is left of the streaming rows, of the columns and of K."""

    def __init__(self, m: Module, name: str, sizes: dict[str, Signal], batch: int, shape: Shape):
        self.sizes, self.batch, self.shape = sizes, batch, shape
        self.left = {key: Signal(16, name=f"{name}_left_{key}") for key in "fsk"}
        self.row_left = Signal(16, name=f"{name}_row_left")
        self.first_k = Signal(name=f"{name}_first_k")
        self.closes_k = wire(m, self.left["k"] <= shape.depth, f"{name}_closes_k")
        self.closes_s = wire(m, self.left["s"] <= shape.columns, f"{name}_closes_s")
        self.closes_f = wire(m, self.left["f"] <= batch, f"{name}_closes_f")
        every = self.closes_k & self.closes_s & self.closes_f
        self.closes_job = wire(m, every, f"{name}_closes_job")

    def rows(self, m: Module) -> Value:
        """Return the streaming rows of the tile."""
        return wire(m, Mux(self.closes_f, self.left["f"], self.batch), "rows")

    def begin(self, m: Module, f: Value, s: Value, k: Value) -> None:
        """Stand at the first tile of a job."""
        m.d.sync += [
            self.left["f"].eq(f),
            self.left["s"].eq(s),
            self.left["k"].eq(k),
            self.row_left.eq(k),
            self.first_k.eq(1),
        ]

    def step(self, m: Module) -> None:
        """Go to the next tile."""
        left, sizes, shape = self.left, self.sizes, self.shape
        rest = wire(m, left["k"] - shape.depth, "rest")[:16]
        m.d.sync += [left["k"].eq(rest), self.row_left.eq(rest), self.first_k.eq(0)]
        with m.If(self.closes_k):
            m.d.sync += [left["k"].eq(sizes["k"]), self.row_left.eq(sizes["k"])]
            m.d.sync += [self.first_k.eq(1), left["s"].eq(left["s"] - shape.columns)]
            with m.If(self.closes_s):
                m.d.sync += [left["s"].eq(sizes["s"]), left["f"].eq(left["f"] - self.batch)]

    def next_row(self, m: Module, lanes: int) -> None:
        """Go to the next row of a tile of the operand that stays."""
        m.d.sync += self.row_left.eq(Mux(self.row_left > lanes, self.row_left - lanes, 0))

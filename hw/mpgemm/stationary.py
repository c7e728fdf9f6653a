# SPDX-License-Identifier: Apache-2.0
"""Systolic array in which one operand stays: the other walks right, sums walk down."""

from functools import partial
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.stationary_sequencer import StationarySequencer
from hw.mpgemm.systolic import skewed
from hw.mpgemm.writer import row_signature

__all__ = ["Stationary", "StationaryRow", "totals_of"]


class StationaryRow(Cell):
    """One row of cells: each multiplies what walks along the row by what it keeps.

    Parameters
    ----------
    params : :class:`~hw.mpgemm.array_params.ArrayParams`

    Members
    -------
    moving : ``In(1)``
        Everything stands still without it.
    fed : ``In``
        ``lanes`` codes of the operand that streams.
    bank : ``In(1)``
        Which of the kept operands they meet.
    kept : ``In``
        ``lanes`` codes for each column; where tiles load row by row, each column's a move later
        than those of the one before.
    loads : ``In(2)``
        Keep ``kept`` in bank 0, in bank 1.
    sums : ``In``
        Of the row above, column 0's first.
    sums_down : ``Out``
        With this row's products, one move later.

    Timing
    ------
    A column works one move later than the one before.
    """

    def __init__(self, params: ArrayParams):
        self.params = params
        fed, kept = params.fed_format.bits, params.kept_format.bits
        sums = params.columns * params.partial_bits
        side = "kept_a" if params.swapped else "kept_w"
        dot = params.new_dot()
        kind = "tile" if params.loads_tiles else "stationary"
        if params.loads_tiles and params.skew == "addr":
            kind = "tile_addr"
        self.label = f"{kind}{params.columns}_{side}_s{params.partial_bits}_{dot.label}"
        super().__init__(
            {
                "moving": In(1),
                "fed": In(params.lanes * fed),
                "bank": In(1),
                "kept": In(params.columns * params.lanes * kept),
                "loads": In(2),
                "sums": In(sums),
                "sums_down": Out(sums),
            }
        )

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        bits, kept_bits = params.partial_bits, params.lanes * params.kept_format.bits
        fed: Value = self.fed
        bank: Value = self.bank
        loads: Value = self.loads
        down = Signal(len(self.sums_down), reset_less=True)
        m.d.comb += self.sums_down.eq(down)
        all_kept: Value = self.kept
        if params.loads_tiles:
            skew = partial(skewed, m, self.moving, skew=params.skew)
            all_kept = skew(all_kept, params.columns, falling=False, name="kept_skew")
            all_kept = wire(m, all_kept, "all_kept")
        for c in range(params.columns):
            kept = []
            for number in range(2):
                held = Signal(kept_bits, reset_less=True, name=f"kept{c}_{number}")
                with m.If(self.moving & loads[number]):
                    m.d.sync += held.eq(all_kept.word_select(c, kept_bits))
                kept.append(held)
            m.submodules[f"dot{c}"] = dot = params.new_dot()
            one, other = (dot.w, dot.a) if params.swapped else (dot.a, dot.w)
            m.d.comb += [one.eq(fed), other.eq(Mux(bank, kept[1], kept[0]))]
            above = wire(m, self.sums.word_select(c, bits), f"above{c}")
            if params.shape.nan:
                total = (above[:-1].as_signed() + dot.p)[: bits - 1]
                word: Value = Cat(total, above[-1] | dot.nan)
            else:
                word = (above.as_signed() + dot.p)[:bits]
            with m.If(self.moving):
                m.d.sync += down.word_select(c, bits).eq(word)
            if c < params.columns - 1:
                later = [Signal(len(v), reset_less=n != "loads", name=f"{n}{c}")
                         for n, v in (("fed", fed), ("bank", bank), ("loads", loads))]  # fmt: skip
                with m.If(self.moving):
                    m.d.sync += Cat(*later).eq(Cat(fed, bank, loads))
                fed, bank, loads = later
        return m


class Stationary(wiring.Component):
    """``rows`` x ``columns`` cells of ``lanes`` products, and sums for ``depth`` rows of results.

    Parameters
    ----------
    params : :class:`~hw.mpgemm.array_params.ArrayParams`

    Members
    -------
    load, feed
        As of :class:`~hw.mpgemm.stationary_sequencer.StationarySequencer`.
    o : ``Out(row_signature(params.shape))``
        A row of results for each feed of the last tile of K.
    begins : ``Out(1)``
        The next row is the first of a batch, and offered from the next cycle on.

    Timing
    ------
    A load and a feed per cycle; a row is valid :attr:`latency` cycles after its feed is accepted.
    While it waits, all stands still.
    """

    def __init__(self, params: ArrayParams, sequencer: StationarySequencer):
        self.params = params
        self.latency = params.rows + params.columns
        self.tiles_inside = self.latency + 1
        members = sequencer.signature.members
        super().__init__(
            {
                "load": In(members["load"].signature),
                "feed": In(members["feed"].signature),
                "o": Out(row_signature(params.shape)),
                "begins": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        feed = self.feed.payload
        moving = wire(m, ~self.o.valid | self.o.ready, "moving")
        m.d.comb += [self.load.ready.eq(moving), self.feed.ready.eq(moving)]
        rows = self._loads(m, moving)
        width = params.lanes * params.fed_format.bits
        words = [Cat(feed.data.word_select(r, width), feed.bank) for r in range(params.rows)]
        skew = partial(skewed, m, moving, skew=params.skew)
        fed = wire(m, Cat(*words), "fed_rows")
        fed = wire(m, skew(fed, params.rows, falling=False, name="fed_skew"), "fed")
        sums: Value = Cat()
        for r in range(params.rows):
            m.submodules[f"row{r}"] = row = StationaryRow(params)
            m.d.comb += [
                row.moving.eq(moving),
                Cat(row.fed, row.bank).eq(fed.word_select(r, width + 1)),
                Cat(row.kept, row.loads).eq(rows[r]),
                row.sums.eq(sums),
            ]
            sums = row.sums_down
        level = skew(sums, params.columns, falling=True, name="sum_skew")
        level = wire(m, level, "partials")

        flags: Value = Cat(self.feed.valid, feed.start, feed.first, feed.last)
        for stage in range(params.rows + params.columns - 1):
            held = Signal(4, name=f"flags{stage}")
            with m.If(moving):
                m.d.sync += held.eq(flags)
            flags = held
        valid, start, _, last = flags
        m.d.comb += self.begins.eq(moving & valid & start & last)
        totals = totals_of(m, params, moving, level, flags)
        out = Signal(len(totals), reset_less=True)
        with m.If(moving):
            m.d.sync += [out.eq(totals), self.o.valid.eq(valid & last)]
        each = [out.word_select(c, len(out) // params.columns) for c in range(params.columns)]
        bits = params.shape.acc_bits
        m.d.comb += Value.cast(self.o.payload.acc).eq(Cat(word[:bits] for word in each))
        if params.shape.nan:
            m.d.comb += self.o.payload.nan.eq(Cat(word[bits] for word in each))
        return m

    def _loads(self, m: Module, moving: Value) -> list[Value]:
        """Return, for each row of cells, the codes to keep and in which of the banks."""
        params, load = self.params, self.load.payload
        skew = partial(skewed, m, moving, skew=params.skew)
        lanes = params.lanes * params.kept_format.bits
        if not params.loads_tiles:
            kept = skew(load.data, params.columns, falling=False, name="kept_skew")
            kept = wire(m, kept, "kept")
            here = [self.load.valid & (load.row == r) for r in range(params.rows)]
            return [Cat(kept, taken & ~load.bank, taken & load.bank) for taken in here]
        banks = Cat(self.load.valid & ~load.bank, self.load.valid & load.bank)
        words = []
        for r in range(params.rows):
            places = (c * params.rows + r for c in range(params.columns))
            words.append(Cat(*(load.data.word_select(place, lanes) for place in places), banks))
        width = params.columns * lanes + 2
        word = wire(m, Cat(*words), "tile")
        word = skew(word, params.rows, falling=False, name="tile_skew", init=True)
        word = wire(m, word, "tile_rows")
        return [word.word_select(r, width) for r in range(params.rows)]


def totals_of(m: Module, params: ArrayParams, moving: Value, level: Value, flags: Value) -> Value:
    """Return the partial sums of a row with those of the tiles of K before.

    ``level`` are partial sums and their NaNs, column 0's first; ``flags`` say whether they are
    valid, start a tile, and are of the first and of the last tile of K.
    """
    shape, bits = params.row_shape, len(level) // params.columns
    valid, start, first, last = flags
    parts = [level.word_select(c, bits) for c in range(params.columns)]
    nans = [part[-1:] if shape.nan else part[:0] for part in parts]
    sums = [(part[:-1] if shape.nan else part).as_signed() for part in parts]
    width = shape.acc_bits + shape.nan
    if params.max_k <= shape.depth:
        words = []
        for nan, part in zip(nans, sums, strict=True):
            acc = Signal(signed(shape.acc_bits))
            m.d.comb += acc.eq(part)
            words.append(Cat(acc, nan))
        return wire(m, Cat(*words), "totals")
    memory = Memory(shape=width * params.columns, depth=params.batch, init=[])
    m.submodules.memory = memory
    write, read = memory.write_port(), memory.read_port(domain="comb")
    number = Signal(range(params.batch))  # row of results within the batch, after ``start``
    place = wire(m, Mux(start, 0, number), "place")
    before = wire(m, Cat(read.data) & (~first).replicate(len(read.data)), "before")
    words = []
    for c, (nan, part) in enumerate(zip(nans, sums, strict=True)):
        old = before.word_select(c, width)
        total = (old[: shape.acc_bits].as_signed() + part)[: shape.acc_bits]
        words.append(Cat(total, nan | old[shape.acc_bits :]))
    totals = wire(m, Cat(*words), "totals")
    m.d.comb += [
        read.addr.eq(place),
        write.addr.eq(place),
        write.data.eq(totals),
        write.en.eq(moving & valid & ~last),
    ]
    with m.If(moving & valid):
        m.d.sync += number.eq(place + 1)
    return totals

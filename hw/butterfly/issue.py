# SPDX-License-Identifier: Apache-2.0
"""When the beats of a transform begin, and what they multiply by."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.butterfly.enter import record_layout
from hw.butterfly.factors import Twiddles, Weights
from hw.butterfly.params import ButterflyParams
from hw.butterfly.walk import Walk

__all__ = ["PIPELINE", "Issue", "tag_layout"]

#: Cycles after which a beat may read what a beat wrote.
PIPELINE = 7


def tag_layout(params: ButterflyParams) -> data.StructLayout:
    """Return what goes with a beat down the pipeline."""
    names = ("start", "go", "first", "opens", "real", "inverse", "slot", "last", "done")
    return data.StructLayout({name: unsigned(1) for name in names})


class Issue(wiring.Component):
    """Go through the stages of a vector that is in.

    Parameters
    ----------
    params : :class:`ButterflyParams`

    Members
    -------
    loaded : ``In(2)``
        Which sets of banks have a vector that waits.
    record : ``In(record_layout(params))``
        That of set ``slot``.
    slot, ended : ``Out(1)``
        The set in work, and that its last beat begins.
    even, odd, exchange, first, second, near : ``Out``
        Rows, in cycle 1, and moves, in cycle 2, of a beat of cycle 0.
    tag : ``Out(tag_layout(params))``
        What is to be known of the beat, in cycle 1.
    put_weights, put_at, put_data
        A beat of weights that is stored.
    factors : ``Out``
        Of each butterfly what it multiplies by, in cycle 3.
    negative : ``Out(lanes / 2)``
        Which twiddles have another sign, in cycle 3.

    Timing
    ------
    A vector begins a cycle after it is found; the next is found in the cycle after its last beat.
    """

    def __init__(self, params: ButterflyParams):
        self.params = params
        half = params.lanes // 2
        self.weights = Weights(params)
        put = {
            f"put_{name}": In(getattr(self.weights, f"put_{name}").shape())
            for name in ("at", "data")
        }
        super().__init__(
            {
                "loaded": In(2), "record": In(record_layout(params)),
                "slot": Out(1), "ended": Out(1),
                "even": Out(params.row_bits), "odd": Out(params.row_bits),
                "exchange": Out(1), "first": Out(half.bit_length() - 1),
                "second": Out(half.bit_length() - 1), "near": Out(params.lane_bits),
                "tag": Out(tag_layout(params)), "put_weights": In(1), **put,
                "factors": Out(half * 4 * params.factor_bits), "negative": Out(half),
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        m.submodules.walk = walk = Walk(params)
        m.submodules.twiddles = twiddles = Twiddles(params)
        m.submodules.weights = self.weights
        record = self.record
        busy, opens, first = Signal(), Signal(), Signal()
        wait = Signal(range(PIPELINE + 1))
        found = wire(m, ~busy & self.loaded.bit_select(self.slot, 1), "found")
        good = wire(m, record.err == 0, "good")
        start = wire(m, found & good, "starts")
        go = wire(m, busy & (wait == 0), "goes")
        closes = wire(m, go & walk.ends, "closes")
        last = wire(m, go & walk.last, "last")
        ended = wire(m, last | (found & ~good), "ended_now")
        m.d.comb += [
            walk.start.eq(start), walk.log2n.eq(record.log2n), walk.go.eq(go),
            self.ended.eq(ended),
            *(getattr(self, name).eq(getattr(walk, name)) for name in ("even", "odd")),
        ]  # fmt: skip
        for name in ("exchange", "first", "second", "near"):
            m.d.sync += getattr(self, name).eq(getattr(walk, name))
        with m.If(start):
            m.d.sync += [busy.eq(1), opens.eq(1)]
        with m.If(go):
            m.d.sync += [opens.eq(0), first.eq(closes)]
        with m.If(start):
            m.d.sync += first.eq(1)
        with m.If(last):
            m.d.sync += busy.eq(0)
        with m.If(ended):
            m.d.sync += self.slot.eq(~self.slot)
        self._wait(m, wait, start, closes)

        tag = {
            "start": start, "go": go, "first": go & first, "opens": go & opens,
            "real": record.real, "inverse": record.inverse, "slot": self.slot, "last": last,
            "done": ended,
        }  # fmt: skip
        m.d.sync += [self.tag[name].eq(value) for name, value in tag.items()]
        self._factors(m, walk, twiddles, start, go, closes)
        return m

    def _wait(self, m: Module, wait: Signal, start: Value, closes: Value) -> None:
        """After a stage wait until what the next one reads has been written."""
        params, record = self.params, self.record
        # Only of vectors of few rows: beats, and what was behind the partners of the stage.
        size = Signal(4)
        behind = Signal(4)
        small = [wire(m, record.log2n == params.lane_bits + k, "small") for k in range(1, 4)]
        single = wire(m, record.log2n <= params.lane_bits, "single")
        beats = wire(m, Cat(single, *small), "beats")
        with m.If(start):
            m.d.sync += [size.eq(beats), behind.eq(beats[1:])]
        with m.Elif(closes):
            m.d.sync += behind.eq(behind[1:])
        ahead = wire(m, size - behind, "ahead")[:4]
        few = wire(m, size.any() & (ahead < PIPELINE), "few")
        due = wire(m, Mux(few, PIPELINE - ahead, 0)[:3], "due")
        if params.scaling == "bfp":
            due = Mux(record.real, due, PIPELINE)
        with m.If(closes):
            m.d.sync += wait.eq(due)
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.If(start):
            m.d.sync += wait.eq(0)

    def _factors(
        self, m: Module, walk: Walk, twiddles: Twiddles, start: Value, go: Value, closes: Value
    ) -> None:  # fmt: skip
        params, record, weights = self.params, self.record, self.weights
        block, beat = Signal(params.stages - 1), Signal(weights.at.shape())
        near = walk.beside
        # Blocks follow each other with rows apart, else the lower their partners the more.
        counted = Mux(walk.apart, walk.fold, Cat(*reversed(list(near))))
        with m.If(start | closes):
            m.d.sync += block.eq(0)
        with m.Elif(go):
            m.d.sync += block.eq(block + counted)
        with m.If(start):
            m.d.sync += beat.eq(Mux(record.set, weights.set_beats, 0))
        with m.Elif(go):
            m.d.sync += beat.eq(beat + 1)
        held = [Signal.like(value, name="held", reset_less=True) for value in (block, beat, near)]
        m.d.sync += [a.eq(b) for a, b in zip(held, (block, beat, near), strict=True)]
        m.d.comb += [
            twiddles.block.eq(held[0]),
            weights.at.eq(held[1]),
            twiddles.near.eq(held[2]),
            weights.put.eq(self.put_weights),
            weights.put_at.eq(self.put_at),
            weights.put_data.eq(self.put_data),
        ]
        real, inverse = Signal(), Signal()
        m.d.sync += [real.eq(self.tag.real), inverse.eq(self.tag.inverse)]
        width, bits = params.factor_bits, params.weight_bits
        for k in range(params.lanes // 2):
            re, im = (part.word_select(k, width) for part in (twiddles.re, twiddles.im))
            for number, turn in enumerate((re, im, im, re)):
                word = weights.data.word_select(4 * k + number, bits).as_signed()
                up = Cat(Const(0, params.lift), word).as_signed()
                factor = self.factors.word_select(4 * k + number, width)
                m.d.sync += factor.eq(Mux(real, up, turn.as_signed()))
            m.d.sync += self.negative[k].eq(~real & (twiddles.odd[k] ^ inverse))

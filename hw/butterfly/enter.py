# SPDX-License-Identifier: Apache-2.0
"""Packets that come in: vectors to their banks, weights to their store, errors to their answer."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.butterfly.banks import Rule, to_banks
from hw.butterfly.params import ButterflyParams
from hw.butterfly.walk import Rows, step_of

__all__ = ["Enter", "beat_layout", "limits", "over_limits", "record_layout"]


def beat_layout(params: ButterflyParams) -> data.StructLayout:
    """Return the fields of a beat that comes in."""
    words = params.engines * params.lanes * params.data_bits
    fields = {"re": unsigned(words), "im": unsigned(words), "op": unsigned(2)}
    fields |= {"log2n": unsigned(4), "sigma": unsigned(4 * params.stages)}
    fields |= {"keep": unsigned(params.engines)} if params.engines > 1 else {}
    return data.StructLayout({**fields, "last": unsigned(1)})


def record_layout(params: ButterflyParams) -> data.StructLayout:
    """Return what is known of a packet once it is in."""
    fields: dict[str, Shape] = {
        "real": unsigned(1), "inverse": unsigned(1), "log2n": unsigned(4), "err": unsigned(2),
        "set": unsigned(1),
    }  # fmt: skip
    fields |= {"keep": unsigned(params.engines)} if params.engines > 1 else {}
    fields |= {"over": unsigned(2 * params.engines)} if params.scaling == "bfp" else {}
    return data.StructLayout(fields)


def limits(params: ButterflyParams) -> tuple[int, int]:
    """Return the largest magnitudes of a row that is not shifted, and that is shifted once."""
    bits = params.data_bits
    one, two = ((10000 << bits - 2 + k) - 1 for k in (1, 2))
    return one // 24143, two // 24143


def over_limits(m: Module, params: ButterflyParams, words: list[Value]) -> Value:
    """Return two bits: whether a word exceeds the first and the second of the limits."""
    found = []
    for limit in limits(params):
        bits = []
        for word in words:
            sign = word[-1]
            size = wire(m, word[:-1] ^ sign.replicate(len(word) - 1), "size")
            bits.append((size > limit) | (sign & (size == limit)))
        found.append(wire(m, Cat(*bits).any(), "over"))
    return Cat(*found)


class Enter(wiring.Component):
    """Take packets.

    Parameters
    ----------
    params : :class:`ButterflyParams`

    Members
    -------
    i : ``In(stream.Signature(beat_layout(params)))``
    free : ``In(1)``
        Whether there is a set of banks to fill.
    in_use : ``In(2)``
        Sets of weights that vectors wait for.
    put, row, data
        A beat that is stored: address, and what each bank gets, engine after engine.
    put_weights, beat, weights
        A beat of weights that is stored.
    sigma : ``Out``
        Shifts of the stages, of either set of weights.
    filled, record
        A vector is in, or an error has to be answered.

    Timing
    ------
    A packet takes its beats and a cycle before them. What is stored is so in the cycle in which it
    is taken, ``record`` is valid in that of the last beat.
    """

    def __init__(self, params: ButterflyParams):
        self.params = params
        word = 2 * params.data_bits * params.engines
        set_beats = params.stages * params.max_beats
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(params))),
                "free": In(1),
                "in_use": In(2),
                "put": Out(1),
                "row": Out(params.row_bits),
                "data": Out(params.lanes * word),
                "put_weights": Out(1),
                "beat": Out((2 * set_beats - 1).bit_length()),
                "weights": Out(params.lanes * 2 * params.weight_bits),
                "sigma": Out(8 * params.stages),
                "filled": Out(1),
                "record": Out(record_layout(params)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        beat, record = self.i.payload, self.record
        op, log2n = Signal(2), Signal(4)
        keep = Signal(params.engines)
        step = Signal(params.row_bits + 1)
        latest, known, known_size = Signal(), Signal(), Signal(4)
        stage, late, body, owes = Signal(4), Signal(), Signal(), Signal()
        weights = wire(m, op == 3, "weights")
        wrong_size = wire(m, (log2n < 3) | (log2n > params.stages), "wrong_size")
        goes = wire(m, Mux(weights, ~self.in_use.bit_select(~latest, 1), self.free), "goes")
        begins = wire(m, self.i.valid & ~body & ~owes, "begins")
        take = wire(m, self.i.valid & self.i.ready, "take")
        rows = Rows(m, params.row_bits, step, take, begins)
        due = wire(m, rows.ends & (~weights | (stage + 1 == log2n)), "due")
        last = wire(m, take & beat.last, "last")
        m.d.comb += [
            self.i.ready.eq(body & goes),
            self.put.eq(take & ~weights),
            self.row.eq(rows.at),
            self.put_weights.eq(take & weights & ~late & ~wrong_size),
        ]
        with m.If(begins):
            m.d.sync += [op.eq(beat.op), log2n.eq(beat.log2n), body.eq(1), late.eq(0), stage.eq(0)]
            m.d.sync += step.eq(step_of(m, params.row_bits, params.lane_bits, beat.log2n))
            if params.engines > 1:
                m.d.sync += keep.eq(beat.keep)
        with m.If(take):
            m.d.sync += [stage.eq(stage + rows.ends), late.eq(late | due)]
        with m.If(last):
            m.d.sync += body.eq(0)

        # What became of it. An answer of weights waits until there is room for it.
        failed = wire(m, ~due | late, "failed")
        unknown = wire(m, (op == 0) & ~(known & (known_size == log2n)), "unknown")
        err = wire(m, Mux(wrong_size, 1, Mux(failed, 2, Mux(unknown, 3, 0)))[:2], "err_now")
        owed = Signal(2)
        with m.If(last & weights):
            m.d.sync += [known.eq(err == 0), known_size.eq(log2n), owes.eq(err != 0), owed.eq(err)]
            with m.If(err == 0):
                m.d.sync += latest.eq(~latest)
        with m.If(owes & self.free):
            m.d.sync += owes.eq(0)
        m.d.comb += [
            self.filled.eq((last & ~weights) | (owes & self.free)),
            record.real.eq(op == 0),
            record.inverse.eq(op == 2),
            record.log2n.eq(log2n),
            record.err.eq(Mux(owes, owed, err)),
            record.set.eq(latest),
        ]
        if params.engines > 1:
            m.d.comb += record.keep.eq(keep)

        self._store_weights(m, begins, latest)
        self._store_vector(m, rows, take, begins, log2n, keep)
        return m

    def _store_weights(self, m: Module, begins: Value, latest: Value) -> None:
        """Count beats of weights from the beginning of their set on, and keep their shifts."""
        params, beat = self.params, self.i.payload
        set_beats = params.stages * params.max_beats
        at, first = Signal(self.beat.shape()), Signal()
        shifts = [Signal(4 * params.stages) for _ in range(2)]
        with m.If(begins):
            m.d.sync += [at.eq(Mux(latest, 0, set_beats)), first.eq(1)]
        with m.If(self.put_weights):
            m.d.sync += [at.eq(at + 1), first.eq(0)]
        for number, kept in enumerate(shifts):
            with m.If(self.put_weights & first & (latest != number)):
                m.d.sync += kept.eq(beat.sigma)
        words = [
            part.word_select(lane, params.data_bits)[: params.weight_bits]
            for lane in range(params.lanes)
            for part in (beat.re, beat.im)
        ]
        m.d.comb += [self.beat.eq(at), self.sigma.eq(Cat(*shifts)), self.weights.eq(Cat(*words))]

    def _store_vector(
        self, m: Module, rows: Rows, take: Value, begins: Value, log2n: Value, keep: Value
    ) -> None:  # fmt: skip
        params, beat, bits = self.params, self.i.payload, self.params.data_bits
        lanes: list[list[Value]] = [[] for _ in range(params.lanes)]
        over: list[Value] = []
        for engine in range(params.engines):
            seen: list[Value] = []
            for lane, words in enumerate(lanes):
                for part in (beat.re, beat.im):
                    word = part.word_select(engine * params.lanes + lane, bits)
                    on = [keep[engine]] if params.engines > 1 else []
                    on += [log2n >= lane.bit_length()] if lane >= 8 else []
                    if on:
                        word = word & Cat(*on).all().replicate(bits)
                    word = wire(m, word, "entering") if on else word
                    words.append(word)
                    seen.append(word)
            if params.scaling == "bfp":
                now = over_limits(m, params, seen)
                held = Signal(2, name=f"over{engine}")
                with m.If(begins):
                    m.d.sync += held.eq(0)
                with m.Elif(take):
                    m.d.sync += held.eq(held | now)
                over.append(held | now)
        if over:
            m.d.comb += self.record.over.eq(Cat(*over))
        rule = Rule(params)
        mark = rule.mark(m, wire(m, rows.at, "at"))
        moves = [wire(m, v, "move") for v in rule.moves(m, mark, Const(0, 1), mark)]
        m.d.comb += self.data.eq(Cat(*to_banks(m, rule, [Cat(*w) for w in lanes], moves)))

# SPDX-License-Identifier: Apache-2.0
"""The first pass of a softmax: rows wait in memory until their maximum is known."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.attention.row_store import RowStore
from hw.attention.softmax_params import SoftmaxParams

__all__ = ["MaximumPass", "beat_layout", "kept", "maximum_of", "row_queue"]


def beat_layout(params: SoftmaxParams) -> data.StructLayout:
    """Return the fields of a beat of logits."""
    lanes = params.width
    fields = {"x": unsigned(lanes * params.in_bits), "keep": unsigned(lanes), "last": unsigned(1)}
    if params.scaled:
        fields |= {"m": unsigned(15), "sh": unsigned(6)}
    return data.StructLayout(fields)


def kept(m: Module, params: SoftmaxParams, x: Value, keep: Value) -> list[Value]:
    """Return the logits of a beat, signed; what is absent is the least of all numbers."""
    bits = params.in_bits
    found = []
    for lane in range(params.width):
        word = x.word_select(lane, bits)
        word = Mux(keep[lane], word, 1 << bits - 1).as_signed()
        found.append(wire(m, word[:bits].as_signed(), "kept"))
    return found


def maximum_of(m: Module, values: Sequence[Value]) -> Value:
    """Return the greatest of signed values."""
    level = list(values)
    while len(level) > 1:
        pairs = [level[k : k + 2] for k in range(0, len(level), 2)]
        level = [
            wire(m, Mux(p[0] > p[1], p[0], p[1]).as_signed(), "greater") if p[1:] else p[0]
            for p in pairs
        ]
    return level[0]


def row_queue(m: Module, layout: data.StructLayout, depth: int, name: str) -> Any:
    """Return a queue of records; it never is asked to hold more than ``depth``."""
    fifo = SyncFIFOBuffered(width=data.Layout.cast(layout).size, depth=depth)
    m.submodules[name] = fifo
    return fifo


class MaximumPass(wiring.Component):
    """Find the maximum of each row, and then give the row.

    Parameters
    ----------
    params : :class:`SoftmaxParams`

    Members
    -------
    i : ``In(stream.Signature(beat_layout(params)))``
    moves : ``In(1)``
        What is given is taken, or nothing is.
    o_valid, o_x, o_keep, o_last : ``Out``
        Beats of the row, with a record of the row beside each: a row too long is one beat of which
        nothing is kept.
    o_top : ``Out(signed(in_bits))``, ``o_m``, ``o_sh``, ``o_err`` : ``Out``
        Maximum, scale (absent without), and whether the row is too long.

    Timing
    ------
    One beat per cycle each way. The first beat of a row is given :attr:`LATENCY` cycles after its
    last one is accepted.
    """

    LATENCY = 5  #: Two of the maximum, two of the queue, one of the memory.

    def __init__(self, params: SoftmaxParams):
        self.params = params
        lanes, bits = params.width, params.in_bits
        fields: dict[str, Any] = {"top": signed(bits)}
        if params.scaled:
            fields |= {"m": unsigned(15), "sh": unsigned(6)}
        self._fields = tuple(fields)
        self._record = data.StructLayout({**fields, "err": unsigned(1)})
        self.slack = self.LATENCY + 2
        members: dict[str, Any] = {
            "i": In(stream.Signature(beat_layout(params))),
            "moves": In(1),
            "o_valid": Out(1),
            "o_x": Out(lanes * bits),
            "o_keep": Out(lanes),
            "o_last": Out(1),
            **{f"o_{name}": Out(shape) for name, shape in fields.items()},
            "o_err": Out(1),
        }
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m, params, beat = Module(), self.params, self.i.payload
        lanes, bits = params.width, params.in_bits
        store = RowStore(lanes * (bits + 1), params.max_beats, self.slack, self._record,
                         checked=True)  # fmt: skip
        m.submodules.store = store
        queue = row_queue(m, self._record, params.max_beats + self.slack, "queue")
        takes = wire(m, self.i.valid & store.room, "takes")
        m.d.comb += [
            self.i.ready.eq(store.room),
            store.put.eq(takes),
            store.data.eq(Cat(beat.x, beat.keep)),
            store.last.eq(beat.last),
        ]

        # The greatest of a beat, then of the row.
        valid, last, err = Signal(), Signal(), Signal()
        first, opens = Signal(init=1), Signal()
        some, best = Signal(signed(bits)), Signal(signed(bits))
        found = maximum_of(m, kept(m, params, beat.x, beat.keep))
        m.d.sync += [
            valid.eq(takes), last.eq(beat.last), err.eq(store.err), opens.eq(first), some.eq(found),
        ]  # fmt: skip
        with m.If(takes):
            m.d.sync += first.eq(beat.last)
        top = wire(m, Mux(opens | (some > best), some, best).as_signed(), "top")
        with m.If(valid):
            m.d.sync += best.eq(top)
        record = Signal(self._record)
        ready, failed = Signal(), Signal()
        m.d.sync += [ready.eq(valid & last), failed.eq(err)]
        m.d.comb += [record.top.eq(best), record.err.eq(failed)]
        for name in ("m", "sh") if params.scaled else ():
            early, held = Signal.like(beat[name]), Signal.like(beat[name])
            with m.If(takes & first):
                m.d.sync += early.eq(beat[name])
            with m.If(valid & opens):
                m.d.sync += held.eq(early)
            m.d.comb += record[name].eq(held)
        m.d.comb += [queue.w_en.eq(ready), queue.w_data.eq(record)]

        m.d.comb += [
            store.record.valid.eq(queue.r_rdy),
            store.record.payload.eq(queue.r_data),
            queue.r_en.eq(store.record.ready),
            store.moves.eq(self.moves),
        ]
        given, about = store.o_data, store.o_record
        m.d.comb += [
            self.o_valid.eq(store.o_valid),
            self.o_x.eq(given[: lanes * bits]),
            self.o_keep.eq(given[lanes * bits :] & (~about.err).replicate(lanes)),
            self.o_last.eq(store.o_last),
            self.o_err.eq(about.err),
            *(getattr(self, f"o_{name}").eq(about[name]) for name in self._fields),
        ]
        return m

# SPDX-License-Identifier: Apache-2.0
"""Rows that leave: natural or bit-reversed, as many elements at once as the banks can give."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.butterfly.enter import record_layout
from hw.butterfly.order import order_of
from hw.butterfly.params import EXP_BITS, ButterflyParams

__all__ = ["Leave", "answer_layout"]


def answer_layout(params: ButterflyParams) -> data.StructLayout:
    """Return the fields of a beat that leaves."""
    words = params.engines * params.lanes * params.state_bits
    fields: dict[str, Shape] = {
        "re": unsigned(words), "im": unsigned(words), "exp": unsigned(EXP_BITS * params.engines),
    }  # fmt: skip
    fields |= {"keep": unsigned(params.engines)} if params.engines > 1 else {}
    return data.StructLayout({**fields, "last": unsigned(1), "err": unsigned(2)})


class Leave(wiring.Component):
    """Read the vectors of two sets of banks in turn.

    Parameters
    ----------
    params : :class:`ButterflyParams`

    Members
    -------
    done : ``In(2)``
        Which sets have a vector that is done.
    record, exp : ``In``
        What is known of that of set ``slot``.
    slot : ``Out(1)``
    reads : ``Out(1)``, rows : ``Out(lanes * row_bits)``
        That the banks of that set are read, and where.
    words : ``In``
        What they give from the next cycle on, until they are read again.
    left : ``Out(2)``
        Which set is empty.
    o : ``Out(stream.Signature(answer_layout(params)))``

    Timing
    ------
    A beat is offered two cycles after the first one in which its set is done, then one each cycle;
    between packets one cycle passes.
    """

    def __init__(self, params: ButterflyParams):
        self.params = params
        bits = params.lanes * params.engines * 2 * params.state_bits
        super().__init__(
            {
                "done": In(2), "record": In(record_layout(params)),
                "exp": In(EXP_BITS * params.engines),
                "slot": Out(1), "reads": Out(1), "rows": Out(params.lanes * params.row_bits),
                "words": In(bits), "left": Out(2),
                "o": Out(stream.Signature(answer_layout(params))),
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        record = self.record
        moving = wire(m, ~self.o.valid | self.o.ready, "moving")
        held, held_last, held_full = Signal(), Signal(), Signal()
        good = wire(m, record.err == 0, "good")
        ready = wire(m, self.done.bit_select(self.slot, 1) & ~(held & held_last), "ready")
        reads = wire(m, ready & moving, "reads_now")
        left = wire(m, moving & held & held_last, "left_now")
        order = order_of(params)(m, params, record, wire(m, reads & good, "reads_row"), left)
        m.d.comb += [self.reads.eq(reads), self.left.eq(left << self.slot)]
        with m.If(moving):
            m.d.sync += [held.eq(reads), held_last.eq(order.ends | ~good)]
            m.d.sync += held_full.eq(order.full | ~good)
        with m.If(left):
            m.d.sync += self.slot.eq(~self.slot)
        answer = Signal(self.o.payload.shape(), reset_less=True)
        m.d.comb += self.o.payload.eq(answer)
        with m.If(moving):
            m.d.sync += self.o.valid.eq(held & held_full)
        bits, width = params.state_bits, params.engines * 2 * params.state_bits
        words = [self.words.word_select(k, width) for k in range(params.lanes)]
        before = [
            wire(m, Cat(*(part.word_select(engine * params.lanes + lane, bits)
                          for engine in range(params.engines) for part in (answer.re, answer.im))),
                 "before")
            for lane in range(params.lanes)
        ]  # fmt: skip
        lanes = order.lanes(words, before)
        m.d.comb += self.rows.eq(Cat(*order.addresses))
        parts = [
            [lane.word_select(2 * engine + part, bits) for engine in range(params.engines)
             for lane in lanes]
            for part in range(2)
        ]  # fmt: skip
        with m.If(moving & held):
            m.d.sync += [
                answer.re.eq(Mux(good, Cat(*parts[0]), 0)),
                answer.im.eq(Mux(good & ~record.real, Cat(*parts[1]), 0)),
            ]
            m.d.sync += [
                answer.exp.eq(Mux(good, self.exp, 0)),
                answer.err.eq(record.err),
                answer.last.eq(held_last),
            ]
            if params.engines > 1:
                m.d.sync += answer.keep.eq(record.keep)
        return m

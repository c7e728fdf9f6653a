# SPDX-License-Identifier: Apache-2.0
"""Which rows the beats of a transform meet, stage after stage."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.butterfly.banks import Rule
from hw.butterfly.params import ButterflyParams

__all__ = ["Rows", "Walk", "near_bits", "step_of"]


def step_of(m: Module, bits: int, base: int, log2n: Value) -> Value:
    """Return the step of :class:`Rows` of ``bits`` for ``2**(log2n - base)`` rows, or else one."""
    found = [wire(m, log2n == base + bits - k, "size") for k in range(bits)]
    return wire(m, Cat(*found, ~Cat(*found).any()), "step")


def near_bits(m: Module, params: ButterflyParams, log2n: Value) -> Value:
    """Return bit b: vectors shorter than a row begin with partners that differ in bit b."""
    short = range(2, params.lane_bits - 1)
    found = [log2n == b + 1 if b in short else Const(0, 1) for b in range(params.lane_bits - 1)]
    found = [wire(m, bit, "begins") for bit in found]
    rest = ~Cat(*found).any() if found else Const(1, 1)
    return wire(m, Cat(*found, rest), "near")


class Rows:
    """The addresses of rows in order.

    ``at`` is the address, ``ends`` whether it is that of the last row. The bits of the row's number
    are counted in the upper bits of a word and read backwards.
    """

    def __init__(self, m: Module, bits: int, step: Value, moves: Value, clear: Value):
        count = Signal(bits, name="count")
        total = wire(m, count + step, "total")
        with m.If(clear):
            m.d.sync += count.eq(0)
        with m.Elif(moves):
            m.d.sync += count.eq(total)
        self.at = Cat(*reversed(list(count)))
        self.ends = total[bits]


class Walk(wiring.Component):
    """Rows and moves of every beat of every stage of a vector.

    Parameters
    ----------
    params : :class:`ButterflyParams`

    Members
    -------
    start : ``In(1)``
        A vector begins.
    log2n : ``In(4)``
        Its size, at the start and until the next.
    go : ``In(1)``
        A beat, one or more cycles after the start.
    even, odd : ``Out(row_bits)``
        Rows that even and odd banks give or take.
    exchange, first, second, near : ``Out``
        Moves between banks, lanes and pairs.
    ends, last : ``Out(1)``
        Whether the beat of this cycle is the last of its stage; of the last stage.
    fold : ``Out(1)``
        Whether the beat of this cycle is the last of its block of stages with a block to each row
        or less.
    apart : ``Out(1)``
        Whether partners lie in rows apart, in this cycle.
    beside : ``Out(lane_bits)``
        What ``near`` will be for the beat of this cycle: bit b, partners in a row differ in bit b.

    Timing
    ------
    Rows and moves of a beat are valid in the cycle after it.
    """

    def __init__(self, params: ButterflyParams):
        self.params = params
        half = params.lane_bits - 1
        super().__init__(
            {
                "start": In(1), "log2n": In(4), "go": In(1),
                "even": Out(params.row_bits), "odd": Out(params.row_bits),
                "exchange": Out(1), "first": Out(half), "second": Out(half),
                "near": Out(params.lane_bits), "ends": Out(1), "last": Out(1), "fold": Out(1),
                "apart": Out(1), "beside": Out(params.lane_bits),
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        bits = params.row_bits
        rule = Rule(params)
        step = Signal(bits + 1)
        rows = Rows(m, bits, step, self.go, self.start)
        near = Signal(params.lane_bits)
        hot, low = Signal(bits), Signal(bits)
        edge = Cat(*reversed(list(step)))  # one bit, above those of addresses
        begin_step = step_of(m, bits, params.lane_bits, self.log2n)
        begin_near = near_bits(m, params, self.log2n)
        begins_inside = wire(m, begin_step[bits], "begins_inside")
        after = Cat(Const(0, 1), hot)
        inside = wire(m, hot == 0, "inside")
        enters = wire(m, (after & edge).any(), "enters")
        with m.If(self.start):
            m.d.sync += [
                step.eq(begin_step),
                hot.eq(~begins_inside),
                low.eq(begins_inside.replicate(bits)),
                near.eq(Mux(begins_inside, begin_near, 0)),
            ]
        with m.Elif(self.go & rows.ends):
            m.d.sync += [
                hot.eq(Mux(enters, 0, after)),
                low.eq(Cat(Const(1, 1), low) | enters.replicate(bits)),
                near.eq(Cat(near[1:], enters)),
            ]
        m.d.comb += [
            self.ends.eq(rows.ends),
            self.last.eq(rows.ends & near[0]),
            self.fold.eq((rows.at | low | ~(edge[:bits] - 1)[:bits]).all()),
            self.apart.eq(~inside),
            self.beside.eq(near),
        ]

        at = wire(m, rows.at, "at")
        whole = wire(m, Cat(at & low, Const(0, 1)) | Cat(Const(0, 1), at & ~low), "whole")
        odd = wire(m, (whole & edge).any(), "from_odd")
        row = wire(m, (whole & ~edge)[:bits], "row")
        mark = rule.mark(m, row)
        partner = wire(m, mark ^ rule.mark(m, hot), "partner")
        exchange, first, second = rule.moves(m, mark, odd, partner)
        exchange = wire(m, exchange, "exchanges")
        m.d.sync += [
            self.even.eq(Mux(exchange, row | hot, row)),
            self.odd.eq(Mux(exchange, row, row | hot)),
            self.exchange.eq(exchange),
            self.first.eq(first),
            self.second.eq(second),
            self.near.eq(near),
        ]
        return m

# SPDX-License-Identifier: Apache-2.0
"""Dot products in which only the digits of the activations that are not 0 take a cycle."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.ent import ent, ent_count, ent_digits
from hw.arith.recode import Digit, multiple
from hw.arith.segments import CutAccumulator
from hw.arith.wires import wire
from hw.pe.decode import decode
from hw.pe.params import PEParams
from hw.pe.sparse_digit import LANES, as_signed, extended, lowest

__all__ = ["SparseDigitPE", "beat_cycles"]


def beat_cycles(values: Iterable[int], params: PEParams) -> int:
    """Return the cycles that a beat with these four activations takes."""
    count = _digits(params)
    digits = [ent(value, count) for value in values]
    return sum(max(1, sum(d != 0 for d in column)) for column in zip(*digits, strict=True))


def _digits(params: PEParams) -> int:
    return ent_count(params.act_format.max_int)


class SparseDigitPE(wiring.Component):
    """Dot products of a stream of beats, a cycle for each digit of the activations that is not 0.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`

    Members
    -------
    i : ``In(stream.Signature({a: 4 codes, w: columns * 4 codes, last: 1}))``
        One beat of operands, the lanes of column 0 first. ``last`` closes the dot products.
    o : ``Out(stream.Signature({acc: columns * acc_width}))``
        The dot products, each signed and exact for at most ``max_k`` products.

    Timing
    ------
    A beat takes :func:`beat_cycles`: the non-zero digits of its activations, and one cycle for each
    weight at which all four are 0. The next beat is taken in the last of them. ``o`` is valid three
    cycles after the last of the beat with ``last``; :attr:`latency` is for the longest beat.
    ``i.ready`` follows ``o.ready`` combinationally while a result waits.
    """

    combinational_paths = (("o_ready", "i_ready"),)

    def __init__(self, params: PEParams):
        self.params = params
        self.count = _digits(params)
        self.latency = LANES * self.count + 3
        self.beats_per_cycle = 1 / (LANES * self.count)
        columns, width = params.columns, params.acc_width
        beat = data.StructLayout(
            {
                "a": data.ArrayLayout(unsigned(params.act_format.bits), LANES),
                "w": data.ArrayLayout(unsigned(params.weight_format.bits), columns * LANES),
                "last": 1,
            }
        )
        acc = signed(width) if columns == 1 else data.ArrayLayout(signed(width), columns)
        result = data.StructLayout({"acc": acc})
        super().__init__({"i": In(stream.Signature(beat)), "o": Out(stream.Signature(result))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        moving = Signal()
        m.d.comb += moving.eq(~self.o.valid | self.o.ready)
        busy, ends, finish = Signal(), Signal(reset_less=True), Signal()
        weights = Signal(len(Value.cast(self.i.payload.w)), reset_less=True)
        place = Signal(range(max(2, self.count)), reset_less=True)
        pick, digit = self._digits(m, moving, busy, finish, place)
        m.d.comb += self.i.ready.eq(moving & (~busy | finish))
        with m.If(moving & (~busy | finish)):
            m.d.sync += [
                busy.eq(self.i.valid),
                weights.eq(self.i.payload.w),
                ends.eq(self.i.payload.last),
            ]
        # The row of the digit that was picked, and what goes with it.
        row_valid, row_ends = Signal(), Signal(reset_less=True)
        row_starts, fresh = Signal(reset_less=True), Signal(init=1)
        row_place = Signal.like(place, reset_less=True)
        negative = Signal(reset_less=True)
        with m.If(moving):
            m.d.sync += [
                row_valid.eq(busy),
                row_ends.eq(finish & ends),
                row_starts.eq(fresh),
                row_place.eq(place),
                negative.eq(digit.negative),
            ]
            with m.If(busy):
                m.d.sync += fresh.eq(finish & ends)
        adds = wire(m, moving & row_valid, "adds")
        done = Signal()
        with m.If(moving):
            m.d.sync += [done.eq(row_valid & row_ends), self.o.valid.eq(done)]
        keep = wire(m, ~row_starts, "keep")
        for column in range(self.params.columns):
            row = self._row(m, moving, column, weights, pick, digit)
            total = self._accumulate(m, adds, keep, row, row_place, negative)
            result = self.o.payload.acc
            held = Signal.like(total, reset_less=True)
            with m.If(moving):
                m.d.sync += held.eq(total)
            m.d.comb += (result if self.params.columns == 1 else result[column]).eq(held)
        return m

    def _digits(
        self, m: Module, moving: Value, busy: Value, finish: Signal, place: Signal
    ) -> tuple[Value, Digit]:
        """Return the lane and the digit of this cycle; digits of higher weights move down."""
        act = self.params.act_format
        lanes = [
            ent_digits(m, decode(m, "", act, self.i.payload.a[lane], None).significand)
            for lane in range(LANES)
        ]
        sets = []
        for index, column in enumerate(zip(*lanes, strict=True)):
            assert all(d.two is not None and d.negative is not None for d in column)
            new = [
                Cat(d.one for d in column),
                Cat(d.two for d in column),
                Cat(d.negative for d in column),
            ]
            now = [
                Signal(LANES, name=f"{name}{index}", reset_less=True)
                for name in ("one", "two", "negative")
            ]
            sets.append((now, new))
        one, two, negative = sets[0][0]
        left = wire(m, one | two, "left")
        pick = lowest(m, left)
        more = wire(m, (left & ~pick).any(), "more")
        m.d.comb += finish.eq(busy & ~more & (place == self.count - 1))
        with m.If(moving):
            with m.If(~busy | finish):
                m.d.sync += [now.eq(new) for pair in sets for now, new in zip(*pair, strict=True)]
                m.d.sync += place.eq(0)
            with m.Elif(more):
                m.d.sync += [one.eq(one & ~pick), two.eq(two & ~pick)]
            with m.Else():
                for (below, _), (above, _) in pairwise(sets):
                    m.d.sync += [x.eq(y) for x, y in zip(below, above, strict=True)]
                m.d.sync += place.eq(place + 1)
        chosen = [wire(m, (pick & word).any(), "chosen") for word in (one, two, negative)]
        return pick, Digit(0, *chosen)

    def _row(
        self, m: Module, moving: Value, column: int, weights: Value, pick: Value, digit: Digit
    ) -> Value:
        """Return the register of one column's multiple, without its sign."""
        fmt = self.params.weight_format
        words = [weights.word_select(column * LANES + lane, fmt.bits) for lane in range(LANES)]
        code: Value = Const(0, fmt.bits)
        for word, bit in zip(words, pick, strict=True):
            code = code | word & bit.replicate(fmt.bits)
        weight = as_signed(decode(m, "", fmt, wire(m, code, "weight"), None).significand)
        product, _ = multiple(Digit(0, digit.one, digit.two, None), weight)
        row = Signal(product.shape(), reset_less=True)
        with m.If(moving):
            m.d.sync += row.eq(product)
        return row

    def _accumulate(
        self, m: Module, adds: Value, keep: Value, row: Value, place: Value, negative: Value
    ) -> Value:
        """Return the sum that a column has reached; ``row`` counts ``4**place`` times."""
        width, chains = self.params.acc_width, self.params.carry_chains
        places = list(range(0, width, 8 if chains else 4))
        accumulator = CutAccumulator(m, width, places, chains)
        shifted = wire(m, row << Cat(Const(0, 1), place), "shifted")
        second = wire(m, extended(shifted, width) ^ negative.replicate(width), "addend")
        loads = accumulator.step(second, accumulator.kept(keep), keep, negative)
        with m.If(adds):
            m.d.sync += loads
        return accumulator.total

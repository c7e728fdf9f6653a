# SPDX-License-Identifier: Apache-2.0
"""Compressed accumulation: the sum stays in two words, so no carry crosses it in one cycle."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.segments import CutAccumulator, cuts
from hw.arith.wires import wire
from hw.cell import Cell
from hw.pe.decode import Operand, decode, label_of
from hw.pe.params import PEParams
from hw.pe.product import add_product

__all__ = ["CarrySave", "CarrySavePE", "add_and_rows", "resolved"]


def add_and_rows(m: Module, heap: BitHeap, weight: Operand, act: Operand) -> None:
    """Add ``weight * act`` to ``heap`` as one row of AND gates for each bit of the weight.

    Both are integers without a shift. A bit product of negative weight is entered inverted, with a
    constant for the difference, so that no row has a sign to extend.

    Source: Baugh and Wooley, "A two's complement parallel array multiplication algorithm" (1973).
    """
    w, a = weight.significand, act.significand
    negative = [n for n in (weight.negative, act.negative) if n is not None]
    if negative:
        flip = wire(m, negative[0] if len(negative) == 1 else negative[0] ^ negative[1], "negative")
        row = Cat(w) & flip.replicate(len(w))
        heap.add(row.as_signed() if w.shape().signed else row)
        flipped = Cat(a) ^ flip.replicate(len(a))
        a = (flipped if a.shape().signed else Cat(flipped, flip)).as_signed()
    w, a = wire(m, w, "multiplier"), wire(m, a, "multiplicand")
    for i, digit in enumerate(w):
        row = Cat(a) & digit.replicate(len(a))
        inverted = 0
        if a.shape().signed:
            inverted ^= 1 << len(a) - 1
        if w.shape().signed and i == len(w) - 1:
            inverted ^= (1 << len(a)) - 1
        heap.add(row ^ Const(inverted, len(a)), i)
        heap.add_constant(-inverted << i)


class CarrySave(Cell):
    """Multiply and accumulate, one beat per cycle, without a carry-propagate adder in the loop.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`
        Integer formats. ``pipeline`` 1 registers the operands.

    Members
    -------
    en : ``In(pipeline + 1)``
        Bit 0 of two lets the operands into their register; the top bit adds a beat.
    clr : ``In(1)``
        With the top bit of ``en``: this beat starts a new sum.
    a, w : ``In``
        Codes, lane 0 in the low bits.
    acc_sum, acc_carry : ``Out(acc_width)``
        Two words whose sum modulo ``2**acc_width`` is the accumulated sum. Most bits of
        ``acc_carry`` are always 0. The words may change while their sum does not.

    Timing
    ------
    The words hold a beat ``pipeline + 1`` cycles after it came. A reset does not clear them:
    ``clr`` does.
    """

    def __init__(self, params: PEParams):
        self.params = params
        self.latency = params.pipeline + 1
        formats = f"{label_of(params.weight_format)}_{label_of(params.act_format)}"
        self.label = (
            f"carry_save_{formats}_l{params.lanes}_c{params.acc_width}_p{params.pipeline}"
            f"{'_chains' if params.carry_chains else ''}"
        )
        self.contract = {
            "lam": params.lam,
            "acc_bits": params.acc_width,
            "max_k": params.max_k,
            "redundant": {"acc": ["acc_sum", "acc_carry"]},
        }
        super().__init__(
            {
                "en": In(params.pipeline + 1),
                "clr": In(1),
                "a": In(params.lanes * params.act_format.bits),
                "w": In(params.lanes * params.weight_format.bits),
                "acc_sum": Out(params.acc_width),
                "acc_carry": Out(params.acc_width),
            }
        )

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        a, w, adds = self.a, self.w, self.en[-1]
        if params.pipeline:
            early = a, w
            a, w = Signal(a.shape(), reset_less=True), Signal(w.shape(), reset_less=True)
            with m.If(self.en[0]):
                m.d.sync += [a.eq(early[0]), w.eq(early[1])]
        # A flip-flop of an FPGA has an enable. In gates it is cheaper to add zero: that changes the
        # words, but not their sum.
        chains = params.carry_chains
        keep = wire(m, ~self.clr if chains else ~(self.clr & adds), "keep")
        width = params.acc_width
        places = cuts(width, params.dot_width, chains)
        accumulator = CutAccumulator(m, width, places, chains)
        kept = accumulator.kept(keep)
        first, second = self._addends(m, a, w, None if chains else adds, kept)
        loads = accumulator.step(first, second, keep, Const(0, 1))
        with m.If(adds | (not chains)):
            m.d.sync += loads
        m.d.comb += [self.acc_sum.eq(accumulator.word), self.acc_carry.eq(accumulator.carries)]
        return m

    def _addends(
        self, m: Module, a: Value, w: Value, adds: Value | None, kept: Value
    ) -> tuple[Value, Value]:
        """Return two words whose sum is that of the products and of ``kept``."""
        params, weight, act = self.params, self.params.weight_format, self.params.act_format
        heap = BitHeap(
            m, params.dot_width if params.carry_chains else params.acc_width, params.carry_chains
        )
        for lane in range(params.lanes):
            one = decode(m, f"decode_w{lane}", weight, w.word_select(lane, weight.bits), None)
            other = decode(m, f"decode_a{lane}", act, a.word_select(lane, act.bits), None)
            if adds is None:
                add_product(m, heap, one, other, "shift-add", params.max_product)
                continue
            gated = Cat(one.significand) & adds.replicate(len(one.significand))
            if one.significand.shape().signed:
                gated = gated.as_signed()
            add_and_rows(m, heap, Operand(gated, negative=one.negative), other)
        if params.carry_chains:
            # Kept, so that synthesis does not merge the products into the accumulator's adders.
            total = Signal(signed(params.dot_width), name="products", attrs={"keep": 1})
            m.d.comb += total.eq(heap.total())
            beat = Signal(signed(params.acc_width), name="beat")
            m.d.comb += beat.eq(total)
            return beat, kept
        heap.add(kept)
        first, second = heap.compress()
        return wire(m, first, "first"), wire(m, second, "second")


def resolved(cell: CarrySave) -> Value:
    """Return the sum that the two words of ``cell`` stand for."""
    return (cell.acc_sum + cell.acc_carry)[: len(cell.acc_sum)].as_signed()


class CarrySavePE(wiring.Component):
    """Dot products of a stream of beats: a :class:`CarrySave`, an adder and their handshake.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`

    Members
    -------
    i : ``In(stream.Signature({a: lanes codes, w: lanes codes, last: 1}))``
        One beat of operands. ``last`` closes the dot product.
    o : ``Out(stream.Signature({acc: signed(acc_width)}))``
        The dot product, exact for at most ``max_k`` products, modulo ``2**acc_width`` beyond.

    Timing
    ------
    One beat per cycle. ``o`` is valid :attr:`latency` cycles after the beat with ``last`` is
    accepted: one more than it takes to accumulate, for the adder. ``i.ready`` follows ``o.ready``
    combinationally while a result waits.
    """

    beats_per_cycle = 1
    combinational_paths = (("o_ready", "i_ready"),)

    def __init__(self, params: PEParams):
        self.params = params
        self.latency = params.pipeline + 2
        beat = data.StructLayout(
            {
                "a": data.ArrayLayout(unsigned(params.act_format.bits), params.lanes),
                "w": data.ArrayLayout(unsigned(params.weight_format.bits), params.lanes),
                "last": 1,
            }
        )
        result = data.StructLayout({"acc": signed(params.acc_width)})
        super().__init__({"i": In(stream.Signature(beat)), "o": Out(stream.Signature(result))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.cell = cell = CarrySave(self.params)
        moving = Signal()
        m.d.comb += [
            moving.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(moving),
            cell.a.eq(self.i.payload.a),
            cell.w.eq(self.i.payload.w),
        ]
        valid, last = self.i.valid, self.i.payload.last
        if self.params.pipeline:
            m.d.comb += cell.en[0].eq(moving & valid)
            later_valid, later_last = Signal(), Signal(reset_less=True)
            with m.If(moving):
                m.d.sync += [later_valid.eq(valid), later_last.eq(last)]
            valid, last = later_valid, later_last
        first, done = Signal(init=1), Signal()
        total = Signal(signed(self.params.acc_width), reset_less=True)
        m.d.comb += [
            cell.en[-1].eq(moving & valid),
            cell.clr.eq(first),
            self.o.payload.acc.eq(total),
        ]
        with m.If(moving):
            m.d.sync += [done.eq(valid & last), self.o.valid.eq(done), total.eq(resolved(cell))]
            with m.If(valid):
                m.d.sync += first.eq(last)
        return m

# SPDX-License-Identifier: Apache-2.0
"""The end of a row of attention: division by the sum of weights, and the logarithm of that sum."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.saturating import shift_right
from hw.arith.wires import wire
from hw.attention.finish_params import FinishParams
from hw.attention.log2 import Log2, Log2Params
from hw.attention.products import add_product
from hw.attention.recip import Recip, RecipParams
from hw.attention.weights import SCALE_BITS, Scale
from hw.cell import Cell

__all__ = ["Finish"]

_RECIP_BITS = 31  #: Of a reciprocal, 30 of them fraction.
_FACTOR_BITS = _RECIP_BITS + SCALE_BITS
_STAGES = 4  #: Registers in the reciprocal.

#: Cycles from a row's sums to the factor of its channels: the reciprocal, times the scale.
WAIT = _STAGES + 2

LEAST = -(1 << 17)  #: The logarithm of nothing.


class Quotient(Cell):
    """The product of a channel's sum and a row's factor, without the bits that every shift drops.

    Members
    -------
    o : ``In(signed(bits))``
    factor : ``In(46)``
    y : ``Out(signed(bits + 17))``
        ``(o * factor) >> 29``

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, bits: int):
        self.bits = bits
        self.label = f"quotient_b{bits}"
        width = bits + _FACTOR_BITS - (_RECIP_BITS - 2)
        super().__init__(
            {"o": In(signed(bits)), "factor": In(_FACTOR_BITS), "y": Out(signed(width))}
        )

    def body(self, platform: Any) -> Module:
        m = Module()
        heap = BitHeap(m, self.bits + _FACTOR_BITS)
        add_product(m, heap, self.o, self.factor)
        m.d.comb += self.y.eq(heap.total()[_RECIP_BITS - 2 :].as_signed())
        return m


class Octet(Cell):
    """``y = SAT_8(RHU(x, 1 + s))``.

    Members
    -------
    x : ``In(signed(bits))``
    s : ``In(7)``
    y : ``Out(8)``

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, bits: int):
        self.bits = bits
        self.label = f"octet_b{bits}"
        super().__init__({"x": In(signed(bits)), "s": In(7), "y": Out(8)})

    def body(self, platform: Any) -> Module:
        m = Module()
        found = shift_right(m, self.x, self.s, 10)
        word = wire(m, (found.word + 1 >> 1), "rounded")
        fits = ~found.overflow & (word[7:].all() | ~word[7:].any())
        extreme = Cat((~found.negative).replicate(7), found.negative)
        m.d.comb += self.y.eq(Mux(fits, word[:8], extreme))
        return m


class Finish(wiring.Component):
    """Divide the sums of rows by their sums of weights.

    Parameters
    ----------
    params : :class:`FinishParams`

    Members
    -------
    i : ``In(stream.Signature({top, l, o[, m, sh], mo, so, err}))``
        Largest score, sum of weights, sums of channels; scale of scores; factor ``mo / 2**so`` of
        the result. ``l`` 0: nothing was summed.
    o : ``Out(stream.Signature({o, lse, err}))``

    Timing
    ------
    A row each :attr:`row_cycles`; ``o`` is valid :attr:`latency` cycles after its sums are
    accepted. What waits for its reader does not hold up the row behind it before it must.
    """

    def __init__(self, params: FinishParams):
        self.params = params
        self.row_cycles = max(params.steps, WAIT)
        self.latency = WAIT + params.steps + 2
        super().__init__(
            {"i": In(stream.Signature(params.total)), "o": Out(stream.Signature(params.result))}
        )

    def places(self, after: int) -> list[list[Any]]:
        """Return where a row can be in the submodule ``finish``, ``after`` cycles on its way.

        For proofs, see :mod:`sim.bench.properties`.
        """
        steps = self.params.steps
        counter = ["finish.step", (steps - 1).bit_length()] if steps > 1 else [None, 0]
        there = after + WAIT
        return [
            ["finish.full", after + 1, "finish.age", (WAIT - 1).bit_length()],
            ["finish.busy", there + 1, *counter],
            ["finish.ends", there + steps + 1, None, 0],
            ["o_valid", there + steps + 2, None, 0],
        ]

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        held = Signal(params.total, reset_less=True)
        full = Signal()
        age = Signal(range(WAIT))
        leaves = Signal()
        free = Signal()
        ripe = age == WAIT - 1
        m.d.comb += self.i.ready.eq(~full | leaves)
        with m.If(self.i.ready):
            m.d.sync += [full.eq(self.i.valid), age.eq(0)]
            with m.If(self.i.valid):
                m.d.sync += held.eq(self.i.payload)
        with m.Elif(~ripe):
            m.d.sync += age.eq(age + 1)
        m.d.comb += leaves.eq(full & ripe & free)

        none = wire(m, held.err | ~held.l.any(), "none")
        factor, shift = self._factor(m, held, none)
        lse = self._logarithm(m, held, none)
        moving = wire(m, ~self.o.valid | self.o.ready, "moving")
        self._channels(m, held, leaves, free, moving, (factor, shift, lse))
        return m

    def _factor(self, m: Module, held: Any, none: Value) -> tuple[Value, Value]:
        """Return what channels are multiplied by, and how far they are shifted, when ripe."""
        params = self.params
        recip = RecipParams(in_bits=max(params.l_bits, 2), pipeline=_STAGES)
        m.submodules.recip = cell = Recip(recip)
        m.d.comb += [cell.l.eq(held.l), cell.en.eq(~Const(0, _STAGES))]
        y = Signal(_RECIP_BITS, reset_less=True)
        shift = Signal(7, reset_less=True)
        heap = BitHeap(m, _FACTOR_BITS)
        add_product(m, heap, y, held.mo)
        m.d.sync += [
            y.eq(cell.y & (~none).replicate(_RECIP_BITS)),
            shift.eq(cell.k + held.so),
        ]
        return heap.total()[:_FACTOR_BITS], shift

    def _logarithm(self, m: Module, held: Any, none: Value) -> Value:
        """Return the logarithm of the sum of weights, in octaves, when ripe."""
        params = self.params
        m.submodules.log2 = cell = Log2(Log2Params(in_bits=max(params.l_bits, 2), pipeline=2))
        m.d.comb += [cell.l.eq(held.l), cell.en.eq(~Const(0, 2))]
        if params.maximum == "scores":
            m.submodules.scale = scale = Scale(params.m_bits)
            m.d.comb += [
                scale.x.eq(held.top), scale.m.eq(held.m), scale.sh.eq(held.sh), scale.en.eq(1),
            ]  # fmt: skip
            octaves, places = scale.y, 4
        else:
            octaves, places = held.top, {"octaves": 16, "log": 8}[params.maximum]
        top = Signal(octaves.shape(), reset_less=True, name="octaves")
        log = Signal(signed(len(cell.y) + 1), reset_less=True)
        m.d.sync += [top.eq(octaves), log.eq(cell.y - (params.exp_bits << 16))]
        whole = wire(m, (top << places) + log + 128 >> 8, "whole")
        fits = whole[17:].all() | ~whole[17:].any()
        extreme = Cat((~whole[-1]).replicate(17), whole[-1])
        lse = Signal(18, reset_less=True, name="logarithm")
        m.d.sync += lse.eq(Mux(none, LEAST, Mux(fits, whole[:18], extreme)))
        return lse

    def _channels(
        self, m: Module, held: Any, leaves: Value, free: Value, moving: Value,
        row: tuple[Value, Value, Value],
    ) -> None:  # fmt: skip
        """Finish some channels of a row each cycle."""
        params, bits = self.params, self.params.o_bits
        lanes, steps = params.lanes, params.steps
        queue = Signal(lanes * steps * bits, reset_less=True)
        busy = Signal()
        step = Signal(range(steps))
        names = ("factor", "shift", "lse")
        own = [
            Signal(len(v), reset_less=True, name=f"row_{n}")
            for n, v in zip(names, row, strict=True)
        ]
        err = Signal(reset_less=True, name="row_err")
        final = wire(m, step == steps - 1, "final")
        m.d.comb += free.eq(~busy | moving & final)
        with m.If(leaves):
            m.d.sync += [busy.eq(1), step.eq(0), queue.eq(held.o), err.eq(held.err)]
            m.d.sync += [kept.eq(value) for kept, value in zip(own, row, strict=True)]
        with m.Elif(moving & busy):
            m.d.sync += [queue.eq(queue >> lanes * bits), busy.eq(~final), step.eq(step + 1)]

        products, ends = [], Signal(name="ends")
        factor, shift, lse = own
        amount = Signal(7, reset_less=True, name="amount")
        tail = Signal(19, reset_less=True)
        given = Signal()
        for lane in range(lanes):
            m.submodules[f"quotient{lane}"] = cell = Quotient(bits)
            m.submodules[f"octet{lane}"] = octet = Octet(len(cell.y))
            product = Signal(signed(len(cell.y)), reset_less=True, name=f"product{lane}")
            m.d.comb += [
                cell.o.eq(queue.word_select(lane, bits).as_signed()), cell.factor.eq(factor),
                octet.x.eq(product), octet.s.eq(amount),
            ]  # fmt: skip
            with m.If(moving):
                m.d.sync += product.eq(cell.y)
            products.append(octet.y)
        octets = Signal(8 * lanes * steps, reset_less=True)
        with m.If(moving):
            m.d.sync += [
                given.eq(busy), ends.eq(busy & final), amount.eq(shift), tail.eq(Cat(lse, err)),
                self.o.valid.eq(ends),
            ]  # fmt: skip
            with m.If(given):
                m.d.sync += octets.eq(Cat(octets, *products)[8 * lanes :])
            with m.If(ends):
                m.d.sync += Cat(self.o.payload.lse, self.o.payload.err).eq(tail)
        m.d.comb += self.o.payload.o.eq(octets)

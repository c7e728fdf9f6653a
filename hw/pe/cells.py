# SPDX-License-Identifier: Apache-2.0
"""The bare datapaths of the processing element: what arrays instantiate and reports measure."""

from dataclasses import replace
from typing import Any

from amaranth.hdl import Cat, Const, Module, ResetSignal, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.wideheap import WideHeap
from hw.arith.wires import wire
from hw.cell import Cell
from hw.pe.decode import Operand, decode, label_of
from hw.pe.params import PEParams
from hw.pe.product import add_product, product_word

__all__ = ["Accumulate", "Dot", "MultiplyAdd"]


def _label(kind: str, params: PEParams) -> str:
    arch = params.chosen_arch[0].replace("-", "_")
    span = params.act_window
    window = f"_w{span.low}_{span.high}".replace("-", "m") if span else ""
    formats = f"{label_of(params.weight_format)}_{label_of(params.act_format)}"
    structure = "_chains" if params.carry_chains else ""
    return f"{kind}_{formats}{window}_{arch}_l{params.lanes}{structure}"


def _operands(m: Module, params: PEParams, a: Value, w: Value) -> list[tuple[Operand, Operand]]:
    """Return (weight, activation) of every lane."""
    weight, act = params.weight_format, params.act_format
    return [
        (
            decode(m, f"decode_w{lane}", weight, w.word_select(lane, weight.bits), None),
            decode(m, f"decode_a{lane}", act, a.word_select(lane, act.bits), params.act_window),
        )
        for lane in range(params.lanes)
    ]


def _masked(m: Module, operand: Operand, taken: Value) -> Operand:
    """Return the operand where ``taken`` is 1, else zero."""
    whole = operand.significand
    bits = Cat(whole) & taken.replicate(len(whole))
    masked = wire(m, bits.as_signed() if whole.shape().signed else bits, "masked")
    return replace(operand, significand=masked)


def _any_nan(lanes: list[tuple[Operand, Operand]]) -> Value:
    flags = [operand.nan for lane in lanes for operand in lane if operand.nan is not None]
    return Cat(*flags).any()


class Dot(Cell):
    """Sum of the products of one beat.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`

    Members
    -------
    a : ``In(lanes * act bits)``
    w : ``In(lanes * weight bits)``
        Codes, lane 0 in the low bits.
    p : ``Out(signed(dot_width))``
        The sum in units of ``2**lam``, exact. Non-finite codes count as zero.
    nan : ``Out(1)``
        Some code is non-finite. Present where a format has such codes.

    Timing
    ------
    Combinational.
    """

    def __init__(self, params: PEParams):
        self.params = params
        self.label = _label("dot", params)
        self.latency = 0
        members = {
            "a": In(params.lanes * params.act_format.bits),
            "w": In(params.lanes * params.weight_format.bits),
            "p": Out(signed(params.dot_width)),
        }
        super().__init__({**members, **({"nan": Out(1)} if params.has_nan else {})})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        lanes = _operands(m, params, self.a, self.w)
        heap = BitHeap(m, params.dot_width, params.carry_chains)
        for weight, act in lanes:
            add_product(m, heap, weight, act, params.chosen_arch[0], params.max_product)
        m.d.comb += self.p.eq(heap.total())
        if params.has_nan:
            m.d.comb += self.nan.eq(_any_nan(lanes))
        return m


class MultiplyAdd(Cell):
    """A word and the products of one beat: what an accumulator is without its register.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`

    Members
    -------
    en : ``In(1)``
        Where it is 0, ``y`` is ``x``. Without effect where carry chains add: flip-flops of an FPGA
        have an enable.
    x : ``In(acc_width)``
    a, w : ``In``
        Codes, lane 0 in the low bits.
    y : ``Out(acc_width)``
        ``x`` and the products in units of ``2**lam``, modulo ``2**acc_width``. Non-finite codes
        count as zero.
    nan : ``Out(1)``
        Some code is non-finite. Present where a format has such codes.

    Timing
    ------
    Combinational.
    """

    def __init__(self, params: PEParams):
        self.params = params
        self.label = f"{_label('multiply_add', params)}_c{params.acc_width}"
        members = {
            "en": In(1),
            "x": In(params.acc_width),
            "a": In(params.lanes * params.act_format.bits),
            "w": In(params.lanes * params.weight_format.bits),
            "y": Out(params.acc_width),
        }
        super().__init__({**members, **({"nan": Out(1)} if params.has_nan else {})})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        lanes = _operands(m, params, self.a, self.w)
        if params.has_nan:
            m.d.comb += self.nan.eq(_any_nan(lanes))
        arch, most = params.chosen_arch[0], params.max_product
        if params.carry_chains:
            heap = BitHeap(m, params.dot_width, True)
        else:
            heap = WideHeap(m, self.x, most * params.lanes)
            lanes = [(_masked(m, w, self.en), a) for w, a in lanes]
        for weight, act in lanes:
            add_product(m, heap, weight, act, arch, most)
        total = heap.total()
        m.d.comb += self.y.eq(self.x.as_signed() + total if params.carry_chains else total)
        return m


class Accumulate(Cell):
    """Multiply and accumulate one beat per cycle.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`
        ``pipeline`` stages lie before the accumulator: 1 registers the sum of the products, 2
        also each product, 3 also the decoded operands.

    Members
    -------
    en : ``In(pipeline + 1)``
        Bit k lets the beat into stage k; the top bit lets it into the accumulator.
    clr : ``In(1)``
        With the top bit of ``en``: this beat starts a new sum.
    a, w : ``In``
        Codes, lane 0 in the low bits.
    acc : ``Out(signed(acc_width))``
        The sum in units of ``2**lam``, modulo ``2**acc_width``. Non-finite codes count as zero.
    nan : ``Out(1)``
        Some code since ``clr`` was non-finite. Present where a format has such codes.

    Timing
    ------
    ``acc`` holds a beat ``pipeline + 1`` cycles after it came, if every stage is let in at once.
    """

    def __init__(self, params: PEParams):
        self.params = params
        self.latency = params.pipeline + 1
        self.label = (
            f"{_label('accumulate', params)}_c{params.acc_width}"
            f"{f'_p{params.pipeline}' if params.pipeline else ''}"
        )
        members = {
            "en": In(params.pipeline + 1),
            "clr": In(1),
            "a": In(params.lanes * params.act_format.bits),
            "w": In(params.lanes * params.weight_format.bits),
            "acc": Out(signed(params.acc_width), init=0),
        }
        super().__init__({**members, **({"nan": Out(1)} if params.has_nan else {})})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        arch, stages = params.chosen_arch[0], params.pipeline
        lanes = _operands(m, params, self.a, self.w)
        nan = _any_nan(lanes) if params.has_nan else Const(0, 1)
        if stages >= 3:
            lanes = [(self._held(m, w, 0), self._held(m, a, 0)) for w, a in lanes]
            nan = self._register(m, nan, 0)

        reset = ResetSignal(allow_reset_less=True)
        taken = wire(m, self.en[-1] & ~reset, "taken")
        if params.carry_chains or stages:
            heap = BitHeap(m, params.dot_width, params.carry_chains)
        else:
            heap = self._next(m, reset)
            lanes = [(_masked(m, w, taken), a) for w, a in lanes]
        if stages >= 2:
            for weight, act in lanes:
                word = product_word(m, weight, act, arch, params.max_product, params.carry_chains)
                heap.add(self._register(m, word, stages - 2))
            nan = self._register(m, nan, stages - 2)
        else:
            for weight, act in lanes:
                add_product(m, heap, weight, act, arch, params.max_product)
        if stages >= 1:
            beat = self._register(m, heap.total(), stages - 1)
            nan = self._register(m, nan, stages - 1)
        elif params.carry_chains:
            beat = heap.total()
        if params.has_nan:
            with m.If(self.en[-1]):
                m.d.sync += self.nan.eq(self.nan & ~self.clr | nan)
        if params.carry_chains:
            kept = self.acc & (~self.clr).replicate(params.acc_width)
            with m.If(self.en[-1]):
                m.d.sync += self.acc.eq(kept.as_signed() + beat)
            return m
        if stages:
            heap = self._next(m, reset)
            heap.add((Cat(beat) & taken.replicate(len(beat))).as_signed())
        # With neither product nor clear the sum stays: flip-flops need no enable and no reset.
        held = Signal(signed(params.acc_width), reset_less=True)
        m.d.sync += held.eq(heap.total())
        m.d.comb += self.acc.eq(held)
        return m

    def _next(self, m: Module, reset: Value) -> WideHeap:
        """Return a heap of what the accumulator keeps, for the products of a beat to be added."""
        params = self.params
        drop = wire(m, reset | self.en[-1] & self.clr, "drop")
        kept = Cat(self.acc) & (~drop).replicate(params.acc_width)
        return WideHeap(m, kept, params.max_product * params.lanes)

    def _register(self, m: Module, value: Value, stage: int) -> Signal:
        """Return ``value`` as it was when the beat entered ``stage``."""
        held = Signal(value.shape(), reset_less=True, name=f"stage{stage}")
        with m.If(self.en[stage]):
            m.d.sync += held.eq(value)
        return held

    def _held(self, m: Module, operand: Operand, stage: int) -> Operand:
        """Return the registered fields of an operand; its ``nan`` goes its own way."""
        held = {
            name: None if value is None else self._register(m, value, stage)
            for name, value in (("shift", operand.shift), ("negative", operand.negative))
        }
        significand = self._register(m, operand.significand, stage)
        return replace(
            operand,
            significand=significand,
            shift=held["shift"],
            negative=held["negative"],
            nan=None,
        )

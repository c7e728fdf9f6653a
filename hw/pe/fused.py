# SPDX-License-Identifier: Apache-2.0
"""Processing elements whose operands are whole or cut into several, as each dot product says."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.wires import wire
from hw.cell import Cell
from hw.pe.framed import Framed
from hw.pe.fused_bricks import Bricks, add_fused
from hw.pe.fused_fields import add_fields, separate_products
from hw.pe.fused_float import PRODUCT_BITS, Half, next_sum
from hw.pe.fused_rows import add_word
from hw.pe.fused_shape import FLOAT, WIDTH, field_bits, mode_of, port_bits, results, sum_bits
from hw.pe.params import PEParams

__all__ = ["FusedAccumulate", "FusedDot", "build"]


def _members(params: PEParams) -> dict[str, Any]:
    a_bits, w_bits = port_bits(params)
    return {"a": In(a_bits * params.lanes), "w": In(w_bits * params.lanes), "width": In(WIDTH)}


def _label(kind: str, params: PEParams) -> str:
    chains = "_chains" if params.carry_chains else ""
    # The float sum's room is that of the longest dot product.
    longest = f"_k{params.max_k.bit_length()}" if mode_of(params) == "float" else ""
    words = f"{mode_of(params)}{params.weight_format.bits}_l{params.lanes}"
    return f"{kind}_{words}_c{sum_bits(params)}{longest}{chains}"


def _add_products(
    m: Module, heap: BitHeap, params: PEParams, a: Value, w: Value, width: Value
) -> None:
    a_bits, w_bits = port_bits(params)
    for lane in range(params.lanes):
        acts, weights = a.word_select(lane, a_bits), w.word_select(lane, w_bits)
        if mode_of(params) == "weights":
            add_word(m, heap, acts, weights, width)
        else:
            add_fused(m, heap, Bricks(m, acts, weights, width, params.weight_format.bits))


class FusedDot(Cell):
    """Sum of the products of one beat.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`

    Members
    -------
    a, w : ``In``
        Codes as the mode says, lane 0 in the low bits.
    width : ``In(3)``
        How often the operands' bits are halved.
    p : ``Out(signed)``
        The sum, exact; in mode separate one, four or sixteen products in equal parts.

    Timing
    ------
    Combinational.
    """

    def __init__(self, params: PEParams):
        self.params, self.latency = params, 0
        self.label = _label("fused_dot", params)
        super().__init__({**_members(params), "p": Out(results(params)["acc"])})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        if mode_of(params) == "separate":
            bricks = Bricks(m, self.a, self.w, self.width, params.weight_format.bits)
            m.d.comb += self.p.eq(separate_products(m, bricks, field_bits(params)))
            return m
        heap = BitHeap(m, sum_bits(params), params.carry_chains)
        _add_products(m, heap, params, self.a, self.w, self.width)
        m.d.comb += self.p.eq(heap.total())
        return m


class FusedAccumulate(Cell):
    """Multiply and accumulate one beat per cycle.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`

    Members
    -------
    en : ``In(1)``
        Lets the beat into the accumulator.
    clr : ``In(1)``
        With ``en``: this beat starts a new sum.
    a, w : ``In``
        Codes as the mode says, lane 0 in the low bits.
    width : ``In(3)``
        How often the operands' bits are halved; 4 in mode float: fp16. Equal in all beats of a sum.
    acc : ``Out(signed)``
        The sum; in mode separate one, four or sixteen sums in equal parts.
    y : ``Out(32)``
        Mode float: the fp32 code of the fp16 sum; +0 in other widths, in this one ``acc`` is 0.

    Timing
    ------
    ``acc`` and ``y`` hold a beat one cycle after it came.
    """

    def __init__(self, params: PEParams):
        self.params, self.latency = params, 1
        self.label = _label("fused", params)
        members = {"en": In(1), "clr": In(1), **_members(params)}
        members |= {name: Out(shape, init=0) for name, shape in results(params).items()}
        super().__init__(members)

    def body(self, platform: Any) -> Module:
        m = Module()
        fresh = (~self.clr).replicate(len(self.acc))
        kept = self.acc & fresh
        steps = {"separate": self._separate, "float": self._float}
        step = steps.get(mode_of(self.params), self._sum)
        with m.If(self.en):
            m.d.sync += [register.eq(value) for register, value in step(m, kept)]
        return m

    def _sum(self, m: Module, kept: Value) -> list[tuple[Value, Value]]:
        params = self.params
        heap = BitHeap(m, len(kept), params.carry_chains)
        _add_products(m, heap, params, self.a, self.w, self.width)
        if not params.carry_chains:
            heap.add(kept)
        total = heap.total()
        return [(self.acc, total + kept if params.carry_chains else total)]

    def _separate(self, m: Module, kept: Value) -> list[tuple[Value, Value]]:
        bricks = Bricks(m, self.a, self.w, self.width, 8)
        products = separate_products(m, bricks, field_bits(self.params))
        return [(self.acc, add_fields(m, wire(m, kept, "kept"), products, bricks))]

    def _float(self, m: Module, kept: Value) -> list[tuple[Value, Value]]:
        params = self.params
        halves = wire(m, self.width == FLOAT, "halves")
        parts = [Half(m, port[:16]) for port in (self.a, self.w)]
        codes = [
            wire(m, Cat(Mux(halves, part.significand, port[:16]), port[16:]), "codes")
            for port, part in ((self.a, parts[0]), (self.w, parts[1]))
        ]
        width = wire(m, Mux(halves, 0, self.width), "levels")
        heap = BitHeap(m, 2 * params.weight_format.bits, params.carry_chains)
        add_fused(m, heap, Bricks(m, codes[0], codes[1], width, params.weight_format.bits))
        product = heap.total()
        before = wire(m, self.y & (~self.clr).replicate(32), "before")
        length = PRODUCT_BITS + params.max_k.bit_length() + 1  # one for what rounding adds
        total = next_sum(m, parts[0], parts[1], product[:22], before, length)
        return [
            (self.acc, Mux(halves, 0, kept.as_signed() + product)),
            (self.y, Mux(halves, total, Const(0, 32))),
        ]


def build(params: PEParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    if params.core == "dot":
        component: Any = FusedDot(params)
    else:
        component = FusedAccumulate(params)
    bits = params.weight_format.bits
    if params.core == "stream":
        a_bits, w_bits = (params.lanes * part for part in port_bits(params))
        component = Framed(component, {"a": a_bits, "w": w_bits}, ("width", WIDTH), results(params))
    prefix = "i_" if params.core == "stream" else ""
    output = {"stream": "o_acc", "accumulate": "acc", "dot": "p"}[params.core]
    component.number_formats = {
        f"{prefix}{name}": {"format": f"int{bits}", "lanes": params.lanes} for name in "aw"
    }
    component.contract = {"lam": 0, "acc_bits": sum_bits(params), "max_k": params.max_k}
    if mode_of(params) == "separate":
        component.contract["field_bits"] = field_bits(params)
    else:
        component.number_formats[output] = {"format": f"int{sum_bits(params)}", "lam": 0}
    return component

# SPDX-License-Identifier: Apache-2.0
"""Fused multiply-add of minifloats: ``a * b + c``, rounded once."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.sticky import shifted_right
from hw.arith.wires import wire
from hw.cell import Cell
from hw.fp.component import component_of
from hw.fp.fields import split
from hw.fp.finish import Magnitude, finished
from hw.fp.params import FMAParams
from hw.fp.product import product_of, special_of
from hw.fp.stages import Stages
from hw.fp.window import Window

__all__ = ["FMA", "FMAParams", "build"]

#: Where each depth of the pipeline has registers.
_PLACES = {0: (), 1: ("sum",), 2: ("product", "sum"), 3: ("product", "sum", "normal")}


@dataclass(frozen=True)
class _Operands:
    """What alignment and addition need beside the product of the significands."""

    negative: Value  #: Sign of the product.
    zero: Value  #: The product is 0.
    limit: Value  #: Left shift that brings the top of a sum about the product to the field 1.
    addend_negative: Value
    addend_zero: Value
    addend_limit: Value
    addend: Value  #: Significand.


class FMA(Cell):
    """``round(a * b + c)`` for finite, infinite and NaN codes.

    One path: the operand with the smaller exponent, product or addend, moves down to the other;
    subtraction is by the one's complement, whose end-around carry waits for the rounding.

    Parameters
    ----------
    params : :class:`~hw.fp.params.FMAParams`
        ``pipeline`` 1 registers the sum, 2 also the product, 3 also the normalised sum.

    Members
    -------
    a, b, c : ``In``
        Codes of the operands.
    en : ``In(pipeline)``
        Bit k lets the operands into stage k. Present where there are stages.
    y : ``Out``
        Code of the result. NaN operands, ``inf * 0`` and ``inf - inf`` give NaN, or +0 in a
        format without NaN. A sum that cancels is +0.

    Timing
    ------
    Combinational but for the stages.
    """

    def __init__(self, params: FMAParams):
        self.params = params
        self.window = Window(*params.formats)
        self.latency = params.pipeline
        words = [fmt.name for fmt in params.formats]
        words += [params.rounding.replace("-", "_"), params.chosen_overflow]
        words += [f"p{params.pipeline}"] if params.pipeline else []
        self.label = "_".join(["fma", *words])
        a, b, c, y = (fmt.bits for fmt in params.formats)
        members: dict[str, Any] = {"a": In(a), "b": In(b), "c": In(c), "y": Out(y)}
        if params.pipeline:
            members["en"] = In(params.pipeline)
        super().__init__(members)

    def body(self, platform: Any) -> Module:
        m, window, params = Module(), self.window, self.params
        later = Stages(m, _PLACES[params.pipeline], getattr(self, "en", None))
        a, b = split(m, window.a, self.a), split(m, window.b, self.b)
        c = split(m, window.c, self.c)
        negative = wire(m, a.sign ^ b.sign, "product_negative")
        special = later.each("sum", later.each("product", special_of(m, a, b, negative, c)))
        operands = _Operands(
            negative,
            wire(m, a.zero | b.zero, "product_zero"),
            wire(m, a.exponent + b.exponent + window.product_limit, "product_limit"),
            c.sign,
            c.zero,
            wire(m, c.exponent + window.addend_limit, "addend_limit"),
            c.significand,
        )
        product = later("product", product_of(m, a.significand, b.significand))
        total = later.each("sum", self._added(m, product, later.each("product", operands)))
        limits = window.least_limit, window.most_limit
        rules = params.rounding, params.chosen_overflow
        m.d.comb += self.y.eq(finished(m, later, window.y, total, special, *limits, *rules))
        return m

    def _added(self, m: Module, product: Value, x: _Operands) -> Magnitude:
        """Return the sum, with the smaller exponent's operand moved down to the other."""
        window = self.window
        gap = wire(m, x.limit - x.addend_limit - 1, "gap")
        leads = ~gap[-1]
        if window.zero_addend_yields:
            leads = leads | x.addend_zero
        # A product of 0 never leads, for bits of the addend might be lost to it.
        leads = wire(m, leads & ~x.zero, "product_leads")
        by = wire(m, gap[:-1] ^ gap[-1].replicate(len(gap) - 1), "distance")
        high, low = self._placed(m, leads, product, x.addend)
        low, lost = shifted_right(m, low, by)
        subtract = wire(m, x.negative ^ x.addend_negative, "subtract")
        # The top bit is the carry of a sum, and tells the sign of a difference.
        sums = wire(m, high + (Cat(low, Const(0, 1)) ^ subtract.replicate(window.width)), "sums")
        word = wire(m, sums[: window.width], "word")
        below = wire(m, subtract & word[-1], "below")
        cancelled = wire(m, subtract & ~lost & word.all(), "cancelled")
        return Magnitude(
            word,
            below,
            subtract,
            wire(m, Mux(leads, x.limit, x.addend_limit), "limit"),
            wire(m, (x.negative ^ (subtract & (below ^ ~leads))) & ~cancelled, "negative"),
            wire(m, subtract & ~below & ~lost, "carry"),
            lost,
        )

    def _placed(
        self, m: Module, leads: Value, product: Value, addend: Value
    ) -> tuple[Value, Value]:
        """Return the operand that stays and the one that is to move down, in the window."""
        window = self.window
        top = Const(0, window.width - 1 - len(addend))
        product, addend = Cat(Const(0, window.spare), product), Cat(top, addend)
        # Where the product leads its exponent is larger: one step of the distance is done here.
        lowered = Cat(addend[1:], Const(0, 1))
        high, low = Mux(leads, product, addend), Mux(leads, lowered, product)
        return wire(m, high, "high"), wire(m, low, "low")


def build(params: FMAParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    return component_of(FMA(params), params, "abc")

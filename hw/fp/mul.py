# SPDX-License-Identifier: Apache-2.0
"""Multiplier of posits or of minifloats, rounded once."""

from typing import Any, cast

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.cell import Cell
from hw.fp.component import component_of
from hw.fp.params import MulParams
from hw.fp.product import rounded_product
from hw.fp.stages import Stages
from hw.posit.mul import product

__all__ = ["Mul", "MulParams", "build"]

#: Where each depth of the pipeline has registers.
_PLACES = {0: (), 1: ("product",), 2: ("operands", "product"),
           3: ("operands", "product", "normal")}  # fmt: skip


class Mul(Cell):
    """``round(a * b)``.

    Parameters
    ----------
    params : :class:`~hw.fp.params.MulParams`
        ``pipeline`` 1 registers the product of the significands, 2 also the operands (those of
        posits taken apart), 3 also what is to be rounded.

    Members
    -------
    a, b : ``In``
        Codes of the operands.
    en : ``In(pipeline)``
        Bit k lets the operands into stage k. Present where there are stages.
    y : ``Out``
        Code of the result. Posits: NaR if an operand is, never 0 or NaR by rounding. Minifloats:
        NaN operands and ``inf * 0`` give NaN, or +0 in a format without NaN; zeros have the sign
        of the product.

    Timing
    ------
    Combinational but for the stages.
    """

    def __init__(self, params: MulParams):
        self.params = params
        self.latency = params.pipeline
        words = [fmt.name for fmt in params.formats]
        if not params.of_posits:
            words += [params.rounding.replace("-", "_"), str(params.chosen_overflow)]
        words += [f"p{params.pipeline}"] if params.pipeline else []
        self.label = "_".join(["mul", *words])
        a, b, y = (fmt.bits for fmt in params.formats)
        members: dict[str, Any] = {"a": In(a), "b": In(b), "y": Out(y)}
        if params.pipeline:
            members["en"] = In(params.pipeline)
        super().__init__(members)

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        later = Stages(m, _PLACES[params.pipeline], getattr(self, "en", None))
        formats = cast(Any, params.formats)
        if params.of_posits:
            m.d.comb += self.y.eq(product(m, formats, self.a, self.b, later))
            return m
        a, b = later("operands", self.a), later("operands", self.b)
        rules = params.rounding, params.chosen_overflow or "sat"
        m.d.comb += self.y.eq(rounded_product(m, later, formats, a, b, *rules))
        return m


def build(params: MulParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    return component_of(Mul(params), params, "ab")

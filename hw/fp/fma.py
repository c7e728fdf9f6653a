# SPDX-License-Identifier: Apache-2.0
"""Fused multiply-add of minifloats: ``a * b + c``, rounded once."""

from dataclasses import dataclass, replace
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.leading import normalized_to_limit
from hw.arith.recode import booth_digits, multiple, plain_digits
from hw.arith.rounding import increment
from hw.arith.sticky import shifted_right
from hw.arith.wires import wire
from hw.cell import Cell
from hw.fp.fields import Fields, encoded, split
from hw.fp.params import FMAParams
from hw.fp.window import Window
from hw.quant.staged import Staged

__all__ = ["FMA", "FMAParams", "build"]

#: Stages that each depth of the pipeline ends with a register.
_CUTS = {0: (), 1: ("sum",), 2: ("product", "sum"), 3: ("product", "sum", "normal")}


@dataclass(frozen=True)
class _Special:
    """What the operands alone decide."""

    nan: Value
    inf: Value
    negative: Value  #: Sign of the infinity.


@dataclass(frozen=True)
class _Sum:
    """A magnitude in the window, and what is known beside it."""

    magnitude: Value
    limit: Value  #: Left shift that brings the top bit to the exponent field 1.
    negative: Value
    carry: Value  #: One unit of the lowest bit is still to be added.
    sticky: Value  #: Something lies below the lowest bit; never with ``carry``.
    zero: Value  #: The sum is 0 by cancellation.


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
        m, window = Module(), self.window
        a, b, c = (
            split(m, fmt, code)
            for fmt, code in zip((window.a, window.b, window.c), (self.a, self.b, self.c),
                                 strict=True)
        )  # fmt: skip
        product = self._register(m, "product", self._product(m, a, b))
        negative = wire(m, a.sign ^ b.sign, "product_negative")
        special = self._special(m, a, b, c, negative)
        product_limit, addend_limit = self._limits(m, a, b, c)
        leads = [negative, a.zero | b.zero, product_limit, addend_limit]
        leads += [c.sign, c.significand, c.zero]
        special = self._held(m, "product", special)
        leads = [self._register(m, "product", value) for value in leads]
        total = self._held(m, "sum", self._added(m, product, *leads))
        special = self._held(m, "sum", special)
        total = self._lowered(m, total)
        word, amount = normalized_to_limit(m, total.magnitude, total.limit, total.carry)
        word, amount = (self._register(m, "normal", v) for v in (word, amount))
        total, special = self._held(m, "normal", total), self._held(m, "normal", special)
        m.d.comb += self.y.eq(self._rounded(m, word, amount, total, special))
        return m

    # -- registers ----------------------------------------------------------------------------

    def _register(self, m: Module, cut: str, value: Value) -> Value:
        cuts = _CUTS[self.params.pipeline]
        if cut not in cuts or isinstance(value, Const):
            return value
        later = Signal(value.shape(), name=f"{cut}_later", reset_less=True)
        with m.If(self.en[cuts.index(cut)]):
            m.d.sync += later.eq(value)
        return later

    def _held(self, m: Module, cut: str, values: Any) -> Any:
        """``values``, a dataclass of values, behind the registers of a stage."""
        fields = {k: self._register(m, cut, v) for k, v in vars(values).items()}
        return type(values)(**fields)

    # -- product and exponents ----------------------------------------------------------------

    def _product(self, m: Module, a: Fields, b: Fields) -> Value:
        heap = BitHeap(m, self.window.product_bits)
        digits = booth_digits if len(b.significand) > 6 else plain_digits
        for digit in digits(m, b.significand):
            row, carry = multiple(digit, a.significand)
            heap.add(row, digit.weight, carry)
        return wire(m, heap.total().as_unsigned(), "product")

    def _limits(self, m: Module, a: Fields, b: Fields, c: Fields) -> tuple[Value, Value]:
        window = self.window
        product = a.exponent + b.exponent + window.product_limit
        return (
            wire(m, product, "product_limit"),
            wire(m, c.exponent + window.addend_limit, "addend_limit"),
        )

    @staticmethod
    def _special(m: Module, a: Fields, b: Fields, c: Fields, negative: Value) -> _Special:
        infinite = wire(m, a.inf | b.inf, "infinite_product")
        opposed = infinite & c.inf & (negative ^ c.sign)
        nan = a.nan | b.nan | c.nan | a.inf & b.zero | a.zero & b.inf | opposed
        return _Special(
            wire(m, nan, "nan"),
            wire(m, infinite | c.inf, "inf"),
            wire(m, Mux(infinite, negative, c.sign), "inf_negative"),
        )

    # -- alignment and addition ---------------------------------------------------------------

    def _added(
        self, m: Module, product: Value, product_negative: Value, product_zero: Value,
        product_limit: Value, addend_limit: Value, addend_negative: Value, addend: Value,
        addend_zero: Value,
    ) -> _Sum:  # fmt: skip
        """Return the sum, with the smaller exponent's operand moved down to the other."""
        window = self.window
        gap = wire(m, product_limit - addend_limit - 1, "gap")
        leads = ~gap[-1] & ~product_zero
        if window.zero_addend_yields:
            leads = leads | addend_zero & ~product_zero
        leads = wire(m, leads, "product_leads")
        by = wire(m, gap[:-1] ^ gap[-1].replicate(len(gap) - 1), "distance")
        high, low = self._placed(m, leads, product, addend)
        low, lost = shifted_right(m, low, by)
        subtract = wire(m, product_negative ^ addend_negative, "subtract")
        width = window.width - 1
        sums = wire(m, high + (low ^ subtract.replicate(width)), "sums")
        below = wire(m, subtract & ~sums[-1], "below")
        top = sums[-1] & ~subtract
        magnitude = wire(m, Cat(sums[:-1] ^ below.replicate(width), top), "magnitude")
        # Bits of the product are lost to an addend of 0 and of the addend to a product of 0.
        limit = Mux(leads, product_limit, addend_limit)
        zero = subtract & ~magnitude.any() & ~lost & below
        negative = product_negative ^ (subtract & (below ^ ~leads))
        return _Sum(
            magnitude,
            wire(m, limit, "limit"),
            wire(m, negative, "negative"),
            wire(m, subtract & ~below & ~lost, "carry"),
            lost,
            wire(m, zero, "zero"),
        )

    def _placed(
        self, m: Module, leads: Value, product: Value, addend: Value
    ) -> tuple[Value, Value]:
        """Return the operand that stays and the one that is to move down, in the window."""
        window = self.window
        spare, width = window.spare, window.width - 1
        top = Const(0, width - len(addend))
        product = Cat(Const(0, spare), product)
        high = Mux(leads, product, Cat(top, addend))
        # Where the product leads its exponent is larger: one step of the distance is done here.
        step = Cat(top, addend)[1:]
        low = Mux(leads, Cat(step, Const(0, 1)), product)
        return wire(m, high, "high"), wire(m, low, "low")

    # -- normalisation and rounding -----------------------------------------------------------

    def _lowered(self, m: Module, total: _Sum) -> _Sum:
        """Move a sum down whose top bit lies too far below the result's smallest normal number."""
        least, width = self.window.least_limit, self.window.width
        if least >= 0:
            return total
        under = wire(m, total.limit.as_signed()[-1], "under")
        most = min(width, -least)
        distance = wire(m, (-total.limit.as_signed())[: (-least).bit_length()], "depth")
        distance = Mux(distance > most, most, distance)[: most.bit_length()]
        by = wire(m, distance & under.replicate(most.bit_length()), "down")
        # With a carry to come, ones that fall off all together carry on; else they are sticky.
        word, lost = shifted_right(m, total.magnitude, by, total.carry)
        limit = total.limit & (~under).replicate(len(total.limit))
        return replace(
            total,
            magnitude=wire(m, word, "magnitude"),
            limit=wire(m, limit, "limit"),
            carry=wire(m, total.carry & ~lost, "carry"),
            sticky=wire(m, total.sticky | lost, "sticky"),
        )

    def _rounded(
        self, m: Module, word: Value, amount: Value, total: _Sum, special: _Special
    ) -> Value:
        fmt, rounding = self.window.y, self.params.rounding
        kept = fmt.man_bits + 1
        short = kept + 2 - len(word)
        if short > 0:
            word = Cat(total.carry.replicate(short), word)
        word = wire(m, word, "normal")
        low = len(word) - kept
        rest = wire(m, (word[: low - 1] ^ total.carry.replicate(low - 1)).any(), "rest")
        bits = self.window.most_limit.bit_length() + 1
        field = wire(m, (total.limit - amount + 1)[:bits], "field") & word[-1].replicate(bits)
        cut = wire(m, Cat(word[low:-1], field), "cut")
        grows = increment(
            rounding, cut[0], word[low - 1], rest, total.sticky, total.negative, total.carry
        )
        magnitude = wire(m, cut + wire(m, grows, "grows"), "magnitude")
        sign = wire(m, Mux(special.inf, special.negative, total.negative & ~total.zero), "sign")
        overflow = self.params.chosen_overflow
        return encoded(m, fmt, magnitude, sign, special.nan, special.inf, rounding, overflow)


def build(params: FMAParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    cell: Any = FMA(params)
    component: Any = cell
    if params.core == "stream":
        beat, result = {n: len(getattr(cell, n)) for n in "abc"}, {"y": len(cell.y)}
        component = Staged(cell, beat, result, params.pipeline)
    prefix = ("i_", "o_") if params.core == "stream" else ("", "")
    names = [f"{prefix[0]}{n}" for n in "abc"] + [f"{prefix[1]}y"]
    component.number_formats = {
        name: {"format": fmt.name} for name, fmt in zip(names, params.formats, strict=True)
    }
    component.contract = {"rounding": params.rounding, "overflow": params.chosen_overflow}
    return component

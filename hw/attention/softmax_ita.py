# SPDX-License-Identifier: Apache-2.0
"""Softmax of ITA: shifts and one division a row.

Source: Islamoglu et al., "ITA: An Energy-Efficient Attention and Softmax Accelerator for Quantized
Transformers" (2023), and its published hardware.
"""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, signed, unsigned

from hw.arith.sticky import shifted_right
from hw.arith.wires import wire
from hw.attention.divide import Divide
from hw.attention.first_pass import FirstPass, Group
from hw.attention.rows import delayed, flow, give, kept, maximum_of, signed_of, sum_of
from hw.attention.softmax_core import Softmax
from hw.attention.softmax_params import SoftmaxParams

__all__ = ["ItaPass", "ItaSoftmax"]

_NUMERATOR = 65280


def octaves(m: Module, distance: Value, shift: int) -> Value:
    """Return how many octaves a distance is, rounded half up where a logit is less than one."""
    if not shift:
        return distance
    return wire(m, distance[shift:] + distance[shift - 1], "octaves")


class ItaPass(FirstPass):
    """A :class:`FirstPass` that finds maximum and sum of a row, and divides a constant by it."""

    FOUND = 4

    def fields(self) -> dict[str, Shape]:
        return {"top": signed(8), "inv": unsigned(_NUMERATOR.bit_length())}

    def quotient(self) -> tuple[str, Divide] | None:
        return "inv", Divide(_NUMERATOR, self.params.sum_bits)

    def describe(self, m: Module, takes: Value, first: Value, err: Value) -> list[Group]:
        params, beat, shift = self.params, self.i.payload, self.params["shift"]
        later = flow(m, self.FOUND)
        some = later(maximum_of(m, kept(m, params, beat.x, beat.keep)), 0)
        opens, best = later(first, 0), Signal(signed(8))
        valid = delayed(m, takes, 1)
        top = wire(m, Mux(opens | (some > best), some, best).as_signed(), "top")
        grown = wire(m, (top - best)[:8], "grown")
        with m.If(valid):
            m.d.sync += best.eq(top)
        top = later(top, 1)
        x, keep = later(beat.x, 0, 1), later(beat.keep, 0, 1)

        weights = []
        for lane in range(params.width):
            distance = wire(m, (top - signed_of(x, lane, 8))[:8], "distance")
            places = octaves(m, distance, shift)
            lines = [(places == 8 - k) & keep[lane] for k in range(9)]
            weights.append(wire(m, Cat(*lines), "weight"))
        added = later(sum_of(m, weights, params.target == "fpga"), 2)
        by = later(wire(m, octaves(m, grown, shift), "by"), 1, 2)
        opens = later(opens, 1, 2)
        total = Signal(params.sum_bits, reset_less=True)
        lowered, _ = shifted_right(m, wire(m, Mux(opens, 0, total), "before"), by)
        with m.If(delayed(m, takes, 3)):
            m.d.sync += total.eq(lowered + added)
        ends = wire(m, takes & beat.last, "ends")
        early = {"top": top, "err": later(err, 0, 1)}
        return [(delayed(m, ends, 2), early), (delayed(m, ends, 4), {"inv": total})]


class ItaSoftmax(Softmax):
    """The kind ``ita``; see :class:`Softmax`."""

    passes = 2
    row_cycles = _NUMERATOR.bit_length() + 2

    def __init__(self, params: SoftmaxParams):
        super().__init__(params)
        self.overhead = ItaPass.FOUND + 3 + _NUMERATOR.bit_length() + 1 + 2 - 1

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        rows: Any = ItaPass(params)
        later, moving, valid = self.second_of_two(m, rows, 1)
        inverse, keep = later(rows.o_inv, 0), later(rows.o_keep, 0)
        results = []
        for lane in range(params.width):
            distance = wire(m, (rows.o_top - signed_of(rows.o_x, lane, 8))[:8], "distance")
            by = later(wire(m, octaves(m, distance, params["shift"]), "by"), 0)
            lowered, _ = shifted_right(m, inverse, by)
            results.append(wire(m, lowered[:8] & keep[lane].replicate(8), "result"))
        fields = {
            "p": Cat(*results),
            "keep": keep,
            "last": later(rows.o_last, 0),
            "err": later(rows.o_err, 0),
        }
        give(m, self.o, moving, valid, fields)
        return m

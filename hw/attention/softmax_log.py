# SPDX-License-Identifier: Apache-2.0
"""Softmax to codes of a logarithm: no power of two, no division.

Source: Li et al., "RepQ-ViT" (2023), and Wu et al., "AdaLog" (2024); that codes act on the distance
from the maximum is ours.
"""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from hw.arith.bitheap import BitHeap
from hw.arith.constants import add_multiple
from hw.arith.recode import lookup
from hw.arith.wires import wire
from hw.attention.first_pass import MaximumPass
from hw.attention.rows import along, give, signed_of, sum_of
from hw.attention.score import Distance, ScoreParams
from hw.attention.softmax_core import Softmax

__all__ = ["LogSoftmax"]

#: Bits of a distance that tell codes apart; what is farther is zero.
_NEAR = 18

#: The square root of 2 with 15 fraction bits.
_ROOT = 46341

_STEPS = 5  #: Difference, product, shift, code, sum of the beat; the sum of the row is the result.


class LogSoftmax(Softmax):
    """The kinds ``log2``, ``log-sqrt2`` and ``adalog``; see :class:`Softmax`."""

    passes = 2
    overhead = MaximumPass.FOUND + 3 + _STEPS + 1 + 1 - 1

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        lanes, bits = params.width, params.p_bits
        rows: Any = MaximumPass(params)
        later, moving, beat = self.second_of_two(m, rows, _STEPS)
        end, valid = along(m, moving, beat, 1)
        keep = later(rows.o_keep, 0, 2)
        cell = ScoreParams(params.in_bits, target=params.target)
        codes, zeros = [], []
        for lane in range(lanes):
            m.submodules[f"distance{lane}"] = distance = Distance(cell)
            m.d.comb += [
                *(getattr(distance, n).eq(getattr(rows, f"o_{n}")) for n in ("top", "m", "sh")),
                distance.x.eq(signed_of(rows.o_x, lane, params.in_bits)),
                distance.en.eq(moving.replicate(2)),
            ]
            code, zero = self._code(m, later(distance.d, 2))
            zero = wire(m, zero | ~keep[lane], "zero")
            zeros.append(later(zero, 3))
            codes.append(later(wire(m, Mux(zero, 0, code)[:bits], "code"), 3))

        odd = params.kind == "log-sqrt2"
        sums = [self._sum(m, codes, zeros, part) for part in ((0, 1) if odd else (None,))]
        last = later(rows.o_last, 0, _STEPS - 1)
        totals = []
        first = Signal(init=1)
        with m.If(moving & beat):
            m.d.sync += first.eq(last)
        for number, value in enumerate(sums):
            total = Signal(params.sum_bits, name=f"total{number}", reset_less=True)
            added = later(value, 4)
            with m.If(moving & beat):
                m.d.sync += total.eq(Mux(first, 0, total) + added)
            totals.append(total)
        whole: Value = totals[0]
        if odd:
            heap = BitHeap(m, params.sum_bits + 17, params.target == "fpga")
            heap.add(totals[0], 15)
            heap.add_constant(1 << 14)
            add_multiple(m, heap, Cat(totals[1], 0).as_signed(), _ROOT)
            whole = wire(m, heap.total()[15:][: params.sum_bits], "whole")
        last, err = end(last, 0), end(later(rows.o_err, 0, _STEPS - 1), 0)
        fields = {
            "p": end(later(Cat(*codes), 4), 0),
            "zero": end(later(Cat(*zeros), 4), 0) & (~err).replicate(lanes),
            "keep": end(later(keep, 3, 4), 0),
            "l": whole & last.replicate(params.sum_bits),
            "last": last,
            "err": err,
        }
        give(m, self.o, moving, valid, fields)
        return m

    def _code(self, m: Module, distance: Value) -> tuple[Value, Value]:
        """Return the code of a distance, and whether it is beyond all codes."""
        params = self.params
        near, far = distance[:_NEAR], distance[_NEAR:].any()
        if params.kind == "adalog":
            factor = (2 * 37 * (1 << 15) + params["base"]) // (2 * params["base"])
            heap = BitHeap(m, _NEAR + factor.bit_length() + 1, params.target == "fpga")
            heap.add_constant(1 << 26)
            add_multiple(m, heap, Cat(near, 0).as_signed(), factor)
            code = wire(m, heap.total()[27:], "long_code")
        else:
            places = 12 if params.kind == "log2" else 11
            code = wire(m, near[places:] + near[places - 1], "long_code")
        return code[: params.p_bits], far | code[params.p_bits :].any()

    def _sum(self, m: Module, codes: list[Value], zeros: list[Value], part: int | None) -> Value:
        """Return the sum of the weights of a beat: of all codes, of even or of odd ones."""
        params = self.params
        weights = [
            weight if part is None or code % 2 == part else 0
            for code, weight in enumerate(params.weights)
        ]
        width = max(weights).bit_length()
        words = []
        for code, zero in zip(codes, zeros, strict=True):
            word = lookup(weights, code, width) & (~zero).replicate(width)
            words.append(wire(m, word, "weight"))
        return sum_of(m, words, params.target == "fpga")

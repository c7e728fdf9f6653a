# SPDX-License-Identifier: Apache-2.0
"""Softmax in two passes: maximum and sum at once, then probabilities."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, signed, unsigned

from hw.arith.bitheap import BitHeap
from hw.arith.wires import wire
from hw.attention.first_pass import FirstPass, Group
from hw.attention.normalize import Normalize, NormalizeParams
from hw.attention.products import add_product
from hw.attention.rows import delayed, flow, give, kept, maximum_of, signed_of, sum_of
from hw.attention.score import Score, ScoreParams
from hw.attention.softmax_core import Softmax
from hw.attention.softmax_params import SoftmaxParams
from hw.attention.softmax_safe import RECIP, reciprocal

__all__ = ["OnlinePass", "OnlineSoftmax"]

_SCORE = Score.latency + 1


class OnlinePass(FirstPass):
    """A :class:`FirstPass` that finds maximum and sum of a row.

    The sum is rescaled as the maximum moves: a product and an addition in one cycle.
    """

    FOUND = 2 + _SCORE + 2 + RECIP

    def fields(self) -> dict[str, Shape]:
        params = self.params
        exponent = unsigned((params.sum_bits - 1).bit_length())
        scale = {"m": unsigned(15), "sh": unsigned(6)}
        return {"top": signed(params.in_bits), **scale, "k": exponent, "y": unsigned(31)}

    def describe(self, m: Module, takes: Value, first: Value, err: Value) -> list[Group]:
        params, beat = self.params, self.i.payload
        later = flow(m, self.FOUND)
        some = later(maximum_of(m, kept(m, params, beat.x, beat.keep)), 0)
        opens, best = later(first, 0), Signal(signed(params.in_bits))
        valid = delayed(m, takes, 1)
        top = wire(m, Mux(opens | (some > best), some, best).as_signed(), "top")
        before = wire(m, Mux(opens, top, best).as_signed(), "before")
        with m.If(valid):
            m.d.sync += best.eq(top)
        top, before = later(top, 1), later(before, 1)
        x, keep = later(beat.x, 0, 1), later(beat.keep, 0, 1)
        ends = wire(m, takes & beat.last, "ends")
        scale = self.scales(m, takes, first, 2)
        early = {"top": top, **scale, "err": later(err, 0, 1)}

        def score(name: str, logit: Value, cell: ScoreParams) -> Value:
            m.submodules[name] = made = Score(cell)
            m.d.comb += [made.top.eq(top), made.x.eq(logit), made.en.eq(-1)]
            m.d.comb += [made.m.eq(scale["m"]), made.sh.eq(scale["sh"])]
            return later(made.e, 1 + _SCORE)

        bits = params["exp_bits"]
        cell = ScoreParams(params.in_bits, bits, target=params.target)
        keep = later(keep, 2, 1 + _SCORE)
        weights = []
        for lane in range(params.width):
            power = score(f"score{lane}", signed_of(x, lane, params.in_bits), cell)
            weights.append(wire(m, power & keep[lane].replicate(bits), "weight"))
        whole = ScoreParams(params.in_bits, 16, clamp=False, target=params.target)
        at = 2 + _SCORE
        factor = later(score("rescale", before, whole), at)
        added = later(sum_of(m, weights, params.target == "fpga"), at)
        total = self._summed(m, delayed(m, takes, at + 1), later(opens, 1, at), factor, added)
        late = delayed(m, ends, self.FOUND)
        return [(delayed(m, ends, 2), early), (late, reciprocal(m, params, total))]

    def _summed(self, m: Module, valid: Value, opens: Value, factor: Value, added: Value) -> Signal:
        """Return the sum of the weights of a row so far."""
        bits = self.params.sum_bits
        total = Signal(bits, reset_less=True)
        heap = BitHeap(m, bits + 16, self.params.target == "fpga")
        heap.add(added, 16)
        heap.add_constant(1 << 15)
        add_product(m, heap, wire(m, Mux(opens, 0, total), "before"), factor)
        with m.If(valid):
            m.d.sync += total.eq(heap.total()[16:])
        return total


class OnlineSoftmax(Softmax):
    """The kind ``online``; see :class:`Softmax`."""

    passes = 2

    def __init__(self, params: SoftmaxParams):
        super().__init__(params)
        self.overhead = OnlinePass.FOUND + 3 + _SCORE + 2 - 1

    def elaborate(self, platform: Any) -> Module:
        m, params, bits = Module(), self.params, self.params["exp_bits"]
        rows: Any = OnlinePass(params)
        later, moving, valid = self.second_of_two(m, rows, _SCORE + 1)
        k, y = later(rows.o_k, 0, _SCORE - 1), later(rows.o_y, 0, _SCORE - 1)
        keep = later(rows.o_keep, 0, _SCORE - 1)
        cell = ScoreParams(params.in_bits, bits, target=params.target)
        scaled = NormalizeParams.of_sums(params, bits, bits - 1)
        results = []
        for lane in range(params.width):
            m.submodules[f"score{lane}"] = score = Score(cell)
            m.submodules[f"normalize{lane}"] = normalize = Normalize(scaled)
            power = later(score.e, _SCORE - 1)
            m.d.comb += [
                *(getattr(score, n).eq(getattr(rows, f"o_{n}")) for n in ("top", "m", "sh")),
                score.x.eq(signed_of(rows.o_x, lane, params.in_bits)),
                score.en.eq(moving.replicate(Score.latency)),
                normalize.e.eq(power & keep[lane].replicate(bits)),
                normalize.y.eq(y),
                normalize.s.eq(k - (bits - 1)),
                normalize.en.eq(moving),
            ]
            results.append(normalize.p)
        fields = {
            "p": Cat(*results),
            "keep": later(keep, _SCORE),
            "last": later(rows.o_last, 0, _SCORE),
            "err": later(rows.o_err, 0, _SCORE),
        }
        give(m, self.o, moving, valid, fields)
        return m

# SPDX-License-Identifier: Apache-2.0
"""Softmax in three passes: maximum, powers of two with their sum, probabilities."""

from typing import Any

from amaranth.hdl import Module, Shape, Value, unsigned

from hw.attention.first_pass import MaximumPass
from hw.attention.normalize import Normalize, NormalizeParams
from hw.attention.recip import Recip, RecipParams
from hw.attention.row_store import RowStore
from hw.attention.rows import RowSum, delayed, flow, queue_records, signed_of
from hw.attention.score import Score, ScoreParams
from hw.attention.softmax_core import ThreePass
from hw.attention.softmax_params import SoftmaxParams

__all__ = ["RECIP", "SafeSoftmax", "reciprocal"]

RECIP = 5  #: Cycles of the reciprocal, with the register of its result.


def reciprocal(m: Module, params: SoftmaxParams, total: Value) -> dict[str, Value]:
    """Return ``k`` and ``y`` of the sum of a row, :data:`RECIP` cycles later."""
    divisor = RecipParams(params.sum_bits, pipeline=RECIP - 1, target=params.target)
    m.submodules.recip = recip = Recip(divisor)
    m.d.comb += [recip.l.eq(total), recip.en.eq(-1)]
    later = flow(m, 1)
    return {"k": later(recip.k, 0), "y": later(recip.y, 0)}


class SafeSoftmax(ThreePass):
    """The kind ``safe``; see :class:`Softmax`."""

    steps = Score.latency + 1
    wait = RECIP

    def __init__(self, params: SoftmaxParams):
        self.word_bits = params["exp_bits"]
        super().__init__(params)

    def known(self) -> dict[str, Shape]:
        return {"k": unsigned((self.params.sum_bits - 1).bit_length()), "y": unsigned(31)}

    def word(self, m: Module, rows: MaximumPass, lane: int) -> Value:
        params = self.params
        cell = ScoreParams(params.in_bits, self.word_bits, target=params.target)
        m.submodules[f"score{lane}"] = score = Score(cell)
        m.d.comb += [
            score.top.eq(rows.o_top),
            score.x.eq(signed_of(rows.o_x, lane, params.in_bits)),
            score.m.eq(rows.o_m),
            score.sh.eq(rows.o_sh),
            score.en.eq(-1),
        ]
        return score.e

    def close(self, m: Module, store: RowStore, sums: RowSum, depth: int) -> None:
        fields = reciprocal(m, self.params, sums.total["l"])
        err = flow(m, RECIP)(sums.err, 0, RECIP - 1)
        ready = delayed(m, sums.ready, RECIP)
        queue_records(m, store, depth, [(ready, {**fields, "err": err})])

    def result(self, m: Module, word: Value, record: Any, moving: Value, lane: int) -> Value:
        least = self.word_bits - 1  # place of the leading one of the maximum's weight
        cell = NormalizeParams.of_sums(self.params, self.word_bits, least)
        m.submodules[f"normalize{lane}"] = normalize = Normalize(cell)
        m.d.comb += [
            normalize.e.eq(word),
            normalize.y.eq(record.y),
            normalize.s.eq(record.k - least),
            normalize.en.eq(moving),
        ]
        return normalize.p

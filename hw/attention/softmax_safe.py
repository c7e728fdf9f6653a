# SPDX-License-Identifier: Apache-2.0
"""Softmax in three passes: maximum, powers of two with their sum, probabilities."""

from typing import Any

from amaranth.hdl import Cat, Module, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.attention.first_pass import MaximumPass
from hw.attention.normalize import Normalize, NormalizeParams
from hw.attention.recip import Recip, RecipParams
from hw.attention.row_store import RowStore
from hw.attention.rows import (
    RowSum,
    along,
    answer_layout,
    beat_layout,
    delayed,
    flow,
    give,
    queue_records,
    signed_of,
    sum_of,
)
from hw.attention.score import Score, ScoreParams
from hw.attention.softmax_params import SoftmaxParams

__all__ = ["SafeSoftmax"]

_RECIP = 5  #: Cycles of the reciprocal, with the register of its result.
_SCORE = Score.latency + 1

#: Cycles from what is read in the second pass to the record of its row.
_SECOND = _SCORE + 2 + _RECIP


class SafeSoftmax(wiring.Component):
    """The kind ``safe``.

    Parameters
    ----------
    params : :class:`SoftmaxParams`

    Members
    -------
    i : ``In(stream.Signature(beat_layout(params)))``
    o : ``Out(stream.Signature(answer_layout(params)))``

    Timing
    ------
    One beat per cycle, rows without a gap. Of a row of n beats that is alone the last result is
    taken in cycle ``3 * n + overhead``, counted from the first beat, which is cycle 1.
    """

    passes = 3
    overhead = (MaximumPass.FOUND + 3) + (_SECOND + 3) + 2 - 2
    beats_per_cycle = 1

    def __init__(self, params: SoftmaxParams):
        self.params = params
        self._bits = params["exp_bits"]
        self._divisor = RecipParams(params.sum_bits, pipeline=_RECIP - 1, target=params.target)
        answers = stream.Signature(answer_layout(params))
        super().__init__({"i": In(stream.Signature(beat_layout(params))), "o": Out(answers)})

    def elaborate(self, platform: Any) -> Module:
        m, params, bits = Module(), self.params, self._bits
        m.submodules.rows = rows = MaximumPass(params)
        wiring.connect(m, wiring.flipped(self.i), rows.i)
        record = data.StructLayout(
            {"y": unsigned(31), "k": unsigned(self._divisor.exponent_bits), "err": unsigned(1)}
        )
        slack = _SECOND + 5
        width = params.width * (bits + 1)
        m.submodules.store = store = RowStore(width, params.max_beats, slack, record, checked=False)

        # The second pass never stops: where it begins, there is room for what it gives.
        begins = wire(m, rows.o_valid & store.room, "begins")
        later = flow(m, _SCORE)
        rest = [wire(m, value, "beside") for value in (rows.o_last, rows.o_err, rows.o_keep)]
        last, err, keep = (later(value, 0, _SCORE - 1) for value in rest)
        weights = []
        for lane in range(params.width):
            m.submodules[f"score{lane}"] = score = Score(
                ScoreParams(params.in_bits, bits, target=params.target)
            )
            m.d.comb += [
                score.top.eq(rows.o_top),
                score.x.eq(signed_of(rows.o_x, lane, params.in_bits)),
                score.m.eq(rows.o_m),
                score.sh.eq(rows.o_sh),
                score.en.eq(-1),
            ]
            power = later(score.e, _SCORE - 1)
            weights.append(wire(m, power & keep[lane].replicate(bits), "weight"))
        valid = delayed(m, begins, _SCORE)
        m.d.comb += [
            rows.moves.eq(store.room),
            store.reserve.eq(begins),
            store.put.eq(valid),
            store.data.eq(Cat(*weights, keep)),
            store.last.eq(last),
        ]
        added = sum_of(m, weights, params.target == "fpga")
        sums = RowSum(m, valid, last, err, {"l": (added, params.sum_bits)})
        m.submodules.recip = recip = Recip(self._divisor)
        m.d.comb += [recip.l.eq(sums.total["l"]), recip.en.eq(-1)]
        later = flow(m, _RECIP)
        fields = {
            "y": later(recip.y, _RECIP - 1),
            "k": later(recip.k, _RECIP - 1),
            "err": later(sums.err, 0, _RECIP - 1),
        }
        ready = delayed(m, sums.ready, _RECIP)
        queue_records(m, store, params.max_beats + slack, ready, fields)
        self._last_pass(m, store)
        return m

    def _last_pass(self, m: Module, store: RowStore) -> None:
        params, bits = self.params, self._bits
        moving = wire(m, ~self.o.valid | self.o.ready, "moving")
        later, valid = along(m, moving, store.o_valid, 1)
        cell = NormalizeParams.of_sums(params, bits, bits - 1)
        results = []
        for lane in range(params.width):
            m.submodules[f"normalize{lane}"] = normalize = Normalize(cell)
            m.d.comb += [
                normalize.e.eq(store.o_data.word_select(lane, bits)),
                normalize.y.eq(store.o_record.y),
                normalize.s.eq(store.o_record.k - (bits - 1)),
                normalize.en.eq(moving),
            ]
            results.append(normalize.p)
        m.d.comb += store.moves.eq(moving)
        fields = {
            "p": Cat(*results),
            "keep": later(wire(m, store.o_data[params.width * bits :], "keep"), 0),
            "last": later(store.o_last, 0),
            "err": later(store.o_record.err, 0),
        }
        give(m, self.o, moving, valid, fields)

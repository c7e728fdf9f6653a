# SPDX-License-Identifier: Apache-2.0
"""Softmax in three passes: maximum, powers of two with their sum, probabilities."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.wires import wire
from hw.attention.maximum import MaximumPass, beat_layout, row_queue
from hw.attention.normalize import Normalize, NormalizeParams
from hw.attention.recip import Recip, RecipParams
from hw.attention.row_store import RowStore
from hw.attention.score import Score, ScoreParams
from hw.attention.softmax_params import SoftmaxParams
from hw.attention.stages import Stages

__all__ = ["SafeSoftmax", "probabilities"]

_RECIP = 5  #: Stages of the reciprocal, with the one of its result.


def probabilities(params: SoftmaxParams) -> data.StructLayout:
    """Return the fields of a beat of results."""
    lanes = params.width
    return data.StructLayout(
        {
            "p": unsigned(lanes * params.p_bits),
            "keep": unsigned(lanes),
            "last": unsigned(1),
            "err": unsigned(1),
        }
    )


class SafeSoftmax(wiring.Component):
    """The kind ``safe``.

    Parameters
    ----------
    params : :class:`SoftmaxParams`

    Members
    -------
    i : ``In(stream.Signature(beat_layout(params)))``
    o : ``Out(stream.Signature(probabilities(params)))``

    Timing
    ------
    One beat per cycle, rows without a gap; the last beat of a row of n beats comes
    ``2 * n + overhead`` cycles after its first was accepted.
    """

    passes = 3
    #: Maximum; memory and powers; sum of a beat, of the row; reciprocal; queue, memory; product.
    overhead = MaximumPass.LATENCY + Score.latency + 1 + 2 + _RECIP + 3 + 2
    beats_per_cycle = 1

    def __init__(self, params: SoftmaxParams):
        self.params = params
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(params))),
                "o": Out(stream.Signature(probabilities(params))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        lanes, bits = params.width, params["exp_bits"]
        total_bits = (params.max_beats * lanes * ((1 << bits) - 1)).bit_length()
        m.submodules.maximum = rows = MaximumPass(params)
        wiring.connect(m, wiring.flipped(self.i), rows.i)

        # Second pass. It never stops: where it begins, there is room for what it gives.
        divisor = RecipParams(total_bits, pipeline=_RECIP - 1, target=params.target)
        record = data.StructLayout(
            {"y": unsigned(31), "k": unsigned(divisor.exponent_bits), "err": unsigned(1)}
        )
        slack = Score.latency + _RECIP + 8
        store = RowStore(lanes * (bits + 1), params.max_beats, slack, record, checked=False)
        m.submodules.store = store
        begins = wire(m, rows.o_valid & store.room, "begins")
        m.d.comb += [rows.moves.eq(store.room), store.reserve.eq(begins)]
        steps = Score.latency + 1
        later = Stages(m, Const(-1, steps), steps, steps)
        cell = ScoreParams(params.in_bits, bits, target=params.target)
        valid, last, err, keep = self._along(m, later, steps, rows, begins)
        weights = []
        for lane in range(lanes):
            m.submodules[f"score{lane}"] = score = Score(cell)
            m.d.comb += [
                score.top.eq(rows.o_top),
                score.x.eq(rows.o_x.word_select(lane, params.in_bits)),
                score.m.eq(rows.o_m),
                score.sh.eq(rows.o_sh),
                score.en.eq(-1),
            ]
            held = later(wire(m, score.e, "power"), steps - 1)
            weights.append(wire(m, held & keep[lane].replicate(bits), "weight"))
        m.d.comb += [
            store.put.eq(valid),
            store.data.eq(Cat(*weights, keep)),
            store.last.eq(last),
        ]
        self._close(m, store, divisor, valid, last, err, weights, total_bits, slack)
        self._last_pass(m, store, divisor)
        return m

    @staticmethod
    def _along(m: Module, later: Stages, steps: int, rows: MaximumPass, begins: Any) -> list[Any]:
        """Return what goes beside the powers, at their end."""
        valid = begins
        for _ in range(steps):
            held = Signal(name="valid")
            m.d.sync += held.eq(valid)
            valid = held
        rest = [wire(m, v, "beside") for v in (rows.o_last, rows.o_err, rows.o_keep)]
        return [valid, *(later(v, 0, steps - 1) for v in rest)]

    def _close(
        self, m: Module, store: RowStore, divisor: RecipParams, valid: Any, last: Any, err: Any,
        weights: list[Any], total_bits: int, slack: int,
    ) -> None:  # fmt: skip
        """Sum the weights of each row, and give the reciprocal of the sum to the store."""
        params = self.params
        bits = params["exp_bits"]
        heap = BitHeap(m, bits + params.width.bit_length(), params.target == "fpga")
        for weight in weights:
            heap.add(weight)
        beat = Signal(heap.width)
        total = Signal(total_bits)
        first = Signal(init=1)
        held = {name: Signal(name=f"sum_{name}") for name in ("valid", "last", "err")}
        m.d.sync += [
            beat.eq(heap.total()),
            held["valid"].eq(valid), held["last"].eq(last), held["err"].eq(err),
        ]  # fmt: skip
        ready, failed = Signal(), Signal()
        with m.If(held["valid"]):
            m.d.sync += [total.eq(Mux(first, 0, total) + beat), first.eq(held["last"])]
        m.d.sync += [ready.eq(held["valid"] & held["last"]), failed.eq(held["err"])]
        m.submodules.recip = recip = Recip(divisor)
        m.d.comb += [recip.l.eq(total), recip.en.eq(-1)]
        steps = Stages(m, Const(-1, _RECIP), _RECIP, _RECIP)
        valid = ready
        for _ in range(_RECIP):
            held_valid = Signal(name="valid")
            m.d.sync += held_valid.eq(valid)
            valid = held_valid
        queue = row_queue(m, store.record.payload.shape(), params.max_beats + slack, "queue")
        fields = Signal(store.record.payload.shape())
        m.d.comb += [
            fields.y.eq(steps(wire(m, recip.y, "y"), _RECIP - 1)),
            fields.k.eq(steps(wire(m, recip.k, "k"), _RECIP - 1)),
            fields.err.eq(steps(failed, 0, _RECIP - 1)),
            queue.w_en.eq(valid),
            queue.w_data.eq(fields),
            store.record.valid.eq(queue.r_rdy),
            store.record.payload.eq(queue.r_data),
            queue.r_en.eq(store.record.ready),
        ]

    def _last_pass(self, m: Module, store: RowStore, divisor: RecipParams) -> None:
        params = self.params
        lanes, bits, out = params.width, params["exp_bits"], params.p_bits
        moving = wire(m, ~self.o.valid | self.o.ready, "moving")
        m.d.comb += store.moves.eq(moving)
        # A sum is at least the weight of the maximum, so that its leading one is not below that's.
        beyond = wire(m, (store.o_record.k - (bits - 1))[: divisor.exponent_bits], "beyond")
        most = divisor.in_bits - bits
        cell = NormalizeParams(bits, 29 + bits - out, max(1, most.bit_length()), out, params.target)
        results = []
        for lane in range(lanes):
            m.submodules[f"normalize{lane}"] = normalize = Normalize(cell)
            m.d.comb += [
                normalize.e.eq(store.o_data.word_select(lane, bits)),
                normalize.y.eq(store.o_record.y),
                normalize.s.eq(beyond),
                normalize.en.eq(moving),
            ]
            results.append(normalize.p)
        later = Stages(m, moving, 1, 1)
        keep = later(wire(m, store.o_data[lanes * bits :], "keep"), 0)
        last, err = later(store.o_last, 0), later(store.o_record.err, 0)
        valid = Signal()
        held = Signal(self.o.payload.shape(), reset_less=True)
        m.d.comb += self.o.payload.eq(held)
        with m.If(moving):
            m.d.sync += [valid.eq(store.o_valid), self.o.valid.eq(valid)]
        with m.If(moving & valid):
            m.d.sync += [
                held.p.eq(Cat(*results)),
                held.keep.eq(keep),
                held.last.eq(last),
                held.err.eq(err),
            ]

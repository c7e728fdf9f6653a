# SPDX-License-Identifier: Apache-2.0
"""The unit ``kv-cache``: groups of keys or values to codes of few bits."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.attention.kv_cache_params import KvCacheParams
from hw.attention.row_store import RowStore
from hw.attention.rows import along, delayed, flow, maximum_of, queue_records, signed_of

__all__ = ["KiviQuantize", "build"]

_FOUND = 2  #: Cycles from the last beat of a group to its least and greatest element.
_STEPS = 2  #: Distances, codes; before the register that gathers codes to words.


class KiviQuantize(wiring.Component):
    """Groups to words of codes, each with the least element ``mn`` and the range ``r``.

    Parameters
    ----------
    params : :class:`KvCacheParams`

    Members
    -------
    i : ``In(stream)``
        ``x``, ``last``.
    o : ``Out(stream)``
        ``w``, ``mn``, ``r``, ``last``, ``err``.

    Timing
    ------
    One beat per cycle, groups without a gap. Of a group of n beats that is alone the last word is
    taken in cycle ``2 * n + overhead``, counted from its first beat, which is cycle 1.

    Source: Liu et al., "KIVI: a tuning-free asymmetric 2bit quantization for KV cache" (2024).
    """

    overhead = _FOUND + 3 + _STEPS

    def __init__(self, params: KvCacheParams):
        self.params = params
        beat = {"x": unsigned(params.lanes * params.x_bits), "last": unsigned(1)}
        side = unsigned(params.groups * params.x_bits)
        answer = {"w": unsigned(params.groups * 32), "mn": side, "r": side}
        answer |= {"last": unsigned(1), "err": unsigned(1)}
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(beat))),
                "o": Out(stream.Signature(data.StructLayout(answer))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params, beat = Module(), self.params, self.i.payload
        slack = _FOUND + 5
        side = unsigned(params.groups * params.x_bits)
        shared = {"mn": side, "r": side, "wrong": unsigned(1), "err": unsigned(1)}
        record = data.StructLayout(shared)
        m.submodules.store = store = RowStore(
            params.lanes * params.x_bits, params.beats, slack, record, checked=True
        )
        moving = wire(m, ~self.o.valid | self.o.ready, "moving")
        takes = wire(m, self.i.valid & store.room, "takes")
        count = Signal(range(params.beats + 1))
        with m.If(takes):
            m.d.sync += count.eq(Mux(beat.last, 0, Mux(count == params.beats, count, count + 1)))
        m.d.comb += [
            self.i.ready.eq(store.room),
            store.put.eq(takes),
            store.data.eq(beat.x),
            store.last.eq(beat.last),
            store.moves.eq(moving),
        ]
        wrong = wire(m, store.err | (count != params.beats - 1), "wrong")
        ready, fields = self._ends(m, takes, wire(m, count == 0, "first"), wrong, store.err)
        queue_records(m, store, params.beats + slack, [(ready, fields)])
        self._codes(m, store, moving)
        return m

    def _ends(
        self, m: Module, takes: Value, first: Value, wrong: Value, long: Value
    ) -> tuple[Value, dict[str, Value]]:
        """Return when, and what, is known of a group."""
        params, beat, bits = self.params, self.i.payload, self.params.x_bits
        xs = [signed_of(beat.x, lane, bits) for lane in range(params.lanes)]
        groups = [[x] for x in xs] if params.axis == "token" else [xs]
        one, valid = flow(m, 1), delayed(m, takes, 1)
        opens = one(first, 0)
        least, ranges = [], []
        for group in groups:
            found = []
            # The least is what is greatest of the complements.
            for values in (group, [wire(m, ~x, "complement").as_signed() for x in group]):
                some = wire(m, one(wire(m, maximum_of(m, values), "some"), 0), "some")
                best = Signal.like(some, name="best", reset_less=True)
                with m.If(valid & (opens | (some > best))):
                    m.d.sync += best.eq(some)
                found.append(best)
            least.append(wire(m, (~found[1])[:bits], "least"))
            ranges.append(wire(m, (found[0] + found[1] + 1)[:bits], "range"))
        ready = delayed(m, wire(m, takes & beat.last, "ends"), _FOUND)
        late = flow(m, _FOUND)
        marks = {"wrong": late(wrong, 0, 1), "err": late(wire(m, long, "long"), 0, 1)}
        return ready, {"mn": Cat(*least), "r": Cat(*ranges), **marks}

    def _codes(self, m: Module, store: RowStore, moving: Value) -> None:
        params, bits, row = self.params, self.params.x_bits, store.o_record
        later, valid = along(m, moving, store.o_valid, _STEPS)
        codes = []
        for lane in range(params.lanes):
            group = lane if params.axis == "token" else 0
            x = store.o_data.word_select(lane, bits)
            least = row.mn.word_select(group, bits)
            span = row.r.word_select(group, bits)
            codes.append(self._code(m, later, (x - least)[:bits], span))
        beside = {name: later(row[name], 0, 1) for name in ("mn", "r", "wrong")}
        last = later(store.o_last, 0, 1)

        filled = Signal(range(params.word_beats))
        full = wire(m, filled == params.word_beats - 1, "full")
        moves = wire(m, moving & valid, "moves")
        ends = wire(m, full & ~beside["wrong"] | last, "ends")
        good = ~beside["wrong"]
        answer = self.o.payload
        held = Signal(answer.shape(), reset_less=True)
        m.d.comb += answer.eq(held)
        with m.If(moving):
            m.d.sync += self.o.valid.eq(valid & ends)
        with m.If(moves):
            m.d.sync += filled.eq(Mux(ends, 0, filled + 1))
            m.d.sync += [held.last.eq(last), held.err.eq(beside["wrong"])]
            for name in ("mn", "r"):
                mask = good.replicate(len(beside[name]))
                m.d.sync += held[name].eq(beside[name] & mask)
            m.d.sync += held.w.eq(self._gathered(held.w, codes) & good.replicate(len(held.w)))

    def _gathered(self, words: Value, codes: list[Value]) -> Value:
        """Return the words with new codes above those that came before."""
        if self.params.axis == "channel":
            return Cat(words, *codes)[-32:]
        return Cat(*(Cat(words.word_select(k, 32), code)[-32:] for k, code in enumerate(codes)))

    def _code(self, m: Module, later: Any, distance: Value, span: Value) -> Value:
        """Return ``RNE(distance * most / span)``, 0 of span 0: it is at least k where
        ``2 * most * distance`` reaches ``(2*k - 1) * span``, and at a tie where k is even."""
        most = (1 << self.params.bits) - 1
        scaled = later(wire(m, wire(m, distance, "distance") * (2 * most), "scaled"), 0)
        span = later(wire(m, span, "span"), 0)
        above: Value = Const(0, 1)
        for k in range(1, most + 1):
            edge = wire(m, span * (2 * k - 1), "edge")
            reached = (scaled > edge) if k % 2 else (scaled >= edge)
            above = Mux(reached, k, above)
        return later(wire(m, Mux(span.any(), above, 0)[: self.params.bits], "code"), 1)


def build(params: KvCacheParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    component: Any = KiviQuantize(params)
    sides = {"lanes": params.groups}
    component.latency = params.beats + component.overhead
    component.beats_per_cycle = 1
    component.number_formats = {
        "i_x": {"format": f"int{params.x_bits}", "lanes": params.lanes},
        "o_w": {"format": "uint32", **sides},
        "o_mn": {"format": f"int{params.x_bits}", **sides},
        "o_r": {"format": f"uint{params.x_bits}", **sides},
    }
    component.contract = {
        "answers": "rows",
        "row_beats": params.beats,
        "passes": 2,
        "overhead": component.overhead,
        "row_interval": 1,
    }
    return component

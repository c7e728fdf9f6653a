# SPDX-License-Identifier: Apache-2.0
"""Rows that leave: natural or bit-reversed, as many elements at once as the banks can give."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.butterfly.banks import Rule, from_banks
from hw.butterfly.enter import record_layout
from hw.butterfly.params import EXP_BITS, ButterflyParams
from hw.butterfly.walk import Rows, step_of

__all__ = ["Leave", "answer_layout"]


def answer_layout(params: ButterflyParams) -> data.StructLayout:
    """Return the fields of a beat that leaves."""
    words = params.engines * params.lanes * params.state_bits
    fields: dict[str, Shape] = {
        "re": unsigned(words), "im": unsigned(words), "exp": unsigned(EXP_BITS * params.engines),
    }  # fmt: skip
    fields |= {"keep": unsigned(params.engines)} if params.engines > 1 else {}
    return data.StructLayout({**fields, "last": unsigned(1), "err": unsigned(2)})


def _reversal(params: ButterflyParams, size: int, lane: int) -> int:
    """Return the bank from which a lane of a transform comes, but for what a beat's lanes share.

    ``size`` has the bits of a vector's length. The lowest bits of the lane choose the row, and each
    moves the bank by the rule ``xor``; those above are reversed within the bank. To do it twice
    changes nothing.
    """
    count = params.lane_bits
    low = max(0, min(count, size - count))
    top = min(count, size)
    chosen = lane & (1 << low) - 1
    bank = chosen & ~1 | chosen.bit_count() & 1 if low else 0
    for bit in range(low, count):
        place = low + top - 1 - bit if bit < top else bit
        bank |= (lane >> bit & 1) << place
    return bank


class Leave(wiring.Component):
    """Read the vectors of two sets of banks in turn.

    Parameters
    ----------
    params : :class:`ButterflyParams`

    Members
    -------
    done : ``In(2)``
        Which sets have a vector that is done.
    record, exp : ``In``
        What is known of that of set ``slot``.
    slot : ``Out(1)``
    reads : ``Out(1)``, rows : ``Out(lanes * row_bits)``
        That the banks of that set are read, and where.
    words : ``In``
        What they give from the next cycle on, until they are read again.
    left : ``Out(2)``
        Which set is empty.
    o : ``Out(stream.Signature(answer_layout(params)))``

    Timing
    ------
    A beat is offered two cycles after the first one in which its set is done, then one each cycle;
    between packets one cycle passes.
    """

    def __init__(self, params: ButterflyParams):
        self.params = params
        bits = params.lanes * params.engines * 2 * params.state_bits
        super().__init__(
            {
                "done": In(2), "record": In(record_layout(params)), "exp": In(EXP_BITS * params.engines),
                "slot": Out(1), "reads": Out(1), "rows": Out(params.lanes * params.row_bits),
                "words": In(bits), "left": Out(2),
                "o": Out(stream.Signature(answer_layout(params))),
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        record = self.record
        moving = wire(m, ~self.o.valid | self.o.ready, "moving")
        held, held_last = Signal(), Signal()
        good = wire(m, record.err == 0, "good")
        ready = wire(m, self.done.bit_select(self.slot, 1) & ~(held & held_last), "ready")
        reads = wire(m, ready & moving, "reads_now")
        left = wire(m, moving & held & held_last, "left_now")
        rows = Rows(m, params, step_of(m, params, record.log2n), reads & good, left)
        m.d.comb += [self.reads.eq(reads), self.left.eq(left << self.slot)]
        with m.If(moving):
            m.d.sync += [held.eq(reads), held_last.eq(rows.ends | ~good)]
        with m.If(left):
            m.d.sync += self.slot.eq(~self.slot)
        lanes = self._lanes(m, rows, reads)
        answer = Signal(self.o.payload.shape(), reset_less=True)
        m.d.comb += self.o.payload.eq(answer)
        with m.If(moving):
            m.d.sync += self.o.valid.eq(held)
        bits = params.state_bits
        parts = [
            [lane.word_select(2 * engine + part, bits) for engine in range(params.engines)
             for lane in lanes]
            for part in range(2)
        ]  # fmt: skip
        with m.If(moving & held):
            m.d.sync += [
                answer.re.eq(Mux(good, Cat(*parts[0]), 0)),
                answer.im.eq(Mux(good & ~record.real, Cat(*parts[1]), 0)),
                answer.exp.eq(Mux(good, self.exp, 0)),
                answer.err.eq(record.err),
                answer.last.eq(held_last),
            ]
            if params.engines > 1:
                m.d.sync += answer.keep.eq(record.keep)
        return m

    def _lanes(self, m: Module, rows: Rows, reads: Value) -> list[Value]:
        """Read the rows; return by lane what the banks give."""
        params = self.params
        rule, count, bits = Rule(params), params.lane_bits, params.row_bits
        at = wire(m, rows.at, "at")
        mark = rule.mark(m, at)
        addresses: list[Value] = [at] * params.lanes
        words = [
            self.words.word_select(k, params.engines * 2 * params.state_bits)
            for k in range(params.lanes)
        ]
        turned = params.order == "natural" and params.banks == "xor"
        sizes: list[Value] = []
        if turned:
            turned_mark, addresses, sizes = self._reversed(m, rule, at, mark, reads)
            mark = wire(m, turned_mark, "mark_now")
        moves = [wire(m, v, "move") for v in rule.moves(m, mark, Const(0, 1), mark)]
        later = []
        for value in (*moves, *sizes):
            kept = Signal(value.shape(), name="kept", reset_less=True)
            with m.If(reads):
                m.d.sync += kept.eq(value)
            later.append(kept)
        m.d.comb += self.rows.eq(Cat(*(address[:bits] for address in addresses)))
        lanes = from_banks(m, rule, words, later[:3])
        if not turned:
            return lanes
        result = lanes
        for size, chosen in zip(self._sizes(), later[3:], strict=True):
            order = [_reversal(params, size, lane) for lane in range(params.lanes)]
            result = [
                now if order[lane] == lane and now is lanes[lane]
                else wire(m, Mux(chosen, lanes[order[lane]], now), "turned")
                for lane, now in enumerate(result)
            ]  # fmt: skip
        return result

    def _sizes(self) -> list[int]:
        """Return the sizes that differ in how lanes are reversed; the last stands for all above."""
        params = self.params
        return list(range(3, min(params.stages, 2 * params.lane_bits) + 1)) or [3]

    def _reversed(
        self, m: Module, rule: Rule, at: Value, mark: Value, reads: Value
    ) -> tuple[Value, list[Value], list[Value]]:
        """Return mark, addresses and which reversal of sizes, of transforms or else in order."""
        params, record = self.params, self.record
        count, bits = params.lane_bits, params.row_bits
        plain = Signal(bits, name="plain")
        with m.If(self.left.any()):
            m.d.sync += plain.eq(0)
        with m.Elif(reads):
            m.d.sync += plain.eq(plain + 1)
        sizes = self._sizes()
        log2n = record.log2n
        turns = wire(m, ~record.real, "turns")
        chosen = [wire(m, turns & (log2n == size), "chosen") for size in sizes[:-1]]
        chosen.append(wire(m, turns & (log2n >= sizes[-1]), "chosen"))
        # Above the bits that a lane chooses the row has the lowest of the beat's number.
        edge = step_of(m, params, log2n)
        inside = wire(m, (Cat(*reversed(list(edge)))[: bits + 1] - 1)[:bits], "inside")
        high = wire(m, Cat(Const(0, count), plain)[:bits] & inside, "high")
        low = wire(m, Mux(turns, at, 0)[:count] if bits > count else at & turns.replicate(bits))
        shared = wire(m, rule.mark(m, high) ^ low, "shared")
        own = Const(0, count)
        for size, bit in zip(sizes, chosen, strict=True):
            own = own | Mux(bit, self._image(shared, size), 0)
        own = wire(m, own, "own")
        addresses = []
        for bank in range(params.lanes):
            place: Value = Const(0, count)
            for size, bit in zip(sizes, chosen, strict=True):
                place = place | Mux(bit, _reversal(params, size, bank), 0)
            lane = wire(m, (place ^ own)[:count], "lane")
            turned = high | (lane & inside[:count] if bits >= count else lane[:bits] & inside)
            addresses.append(wire(m, Mux(turns, turned, at)[:bits], "address"))
        return Mux(turns, shared, mark), addresses, chosen

    def _image(self, value: Value, size: int) -> Value:
        """Return the reversal of a lane's number, bit by bit."""
        count = self.params.lane_bits
        columns = [_reversal(self.params, size, 1 << k) for k in range(count)]
        found = []
        for bit in range(count):
            terms = [value[k] for k in range(count) if columns[k] >> bit & 1]
            total: Value = Const(0, 1)
            for term in terms:
                total = total ^ term
            found.append(total)
        return Cat(*found)

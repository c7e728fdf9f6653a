# SPDX-License-Identifier: Apache-2.0
"""In which order the elements of a set of banks leave."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from hw.arith.wires import wire
from hw.butterfly.banks import Rule, from_banks
from hw.butterfly.params import ButterflyParams
from hw.butterfly.walk import Rows, step_of

__all__ = ["InOrder", "Singly", "Turned", "order_of"]


class InOrder:
    """Elements leave as the memory holds them, a row at once.

    Parameters
    ----------
    m : Module
    params : :class:`ButterflyParams`
    record : data.View
        What is known of the vector.
    reads, left : Value
        That a beat is read; that the vector has left.

    ``addresses`` are those of the banks, ``ends`` says whether the read is the last, ``full``
    whether it completes a beat.
    """

    def __init__(self, m: Module, params: ButterflyParams, record: Any, reads: Value, left: Value):
        self.m, self.params, self.rule = m, params, Rule(params)
        self.reads, self.left = reads, left
        self.step = step_of(m, params.row_bits, params.lane_bits, record.log2n)
        self.rows = Rows(m, params.row_bits, self.step, reads, left)
        self.turns = wire(m, ~record.real, "turns")
        self.size = record.log2n
        self.full: Value = Const(1, 1)
        self._begin()

    def _begin(self) -> None:
        at = wire(self.m, self.rows.at, "at")
        self.ends = self.rows.ends
        self.addresses = [at] * self.params.lanes
        self.moves = self._moves(self.rule.mark(self.m, at))

    def _moves(self, mark: Value) -> list[Signal]:
        moves = self.rule.moves(self.m, mark, Const(0, 1), mark)
        return [self._kept(move) for move in moves]

    def _kept(self, value: Value) -> Signal:
        """Return a value as it was at the latest read."""
        value = Value.cast(value)
        kept = Signal(value.shape(), name="kept", reset_less=True)
        with self.m.If(self.reads):
            self.m.d.sync += kept.eq(value)
        return kept

    def _inside(self) -> Value:
        """Return ones where addresses of the vector have bits."""
        bits = self.params.row_bits
        edge = wire(self.m, Cat(*reversed(list(self.step))), "edge")
        return wire(self.m, (edge - 1)[:bits], "inside")

    def _counted(self, bits: int) -> Signal:
        """Return the number of reads."""
        count = Signal(bits, name="plain")
        with self.m.If(self.left):
            self.m.d.sync += count.eq(0)
        with self.m.Elif(self.reads):
            self.m.d.sync += count.eq(count + 1)
        return count

    def lanes(self, words: list[Value], before: Sequence[Value]) -> list[Value]:
        """Return what the lanes of an answer become, of what the banks give and what they were."""
        return from_banks(self.m, self.rule, words, self.moves)


class Singly(InOrder):
    """Transforms leave in natural order, one element after the other."""

    def _begin(self) -> None:
        m, params, turns = self.m, self.params, self.turns
        count, bits = params.lane_bits, params.row_bits
        plain = self._counted(max(bits, count))
        elements = Rows(
            m, params.stages, step_of(m, params.stages, 0, self.size), self.reads, self.left
        )
        at = wire(m, Mux(turns, plain[:bits] & self._inside(), self.rows.at), "at")
        place = wire(m, plain[:count], "place")
        self.ends = wire(m, Mux(turns, elements.ends, self.rows.ends), "ends")
        self.full = ~turns | place.all() | self.ends
        self.addresses = [at] * params.lanes
        self.moves = self._moves(self.rule.mark(m, at))
        self._place, self._source = self._kept(place), self._kept(elements.at[:count])

    def lanes(self, words: list[Value], before: Sequence[Value]) -> list[Value]:
        m = self.m
        lanes = super().lanes(words, before)
        chosen = lanes
        for bit in self._source:
            pairs = zip(chosen[::2], chosen[1::2], strict=True)
            chosen = [wire(m, Mux(bit, b, a), "chosen") for a, b in pairs]
        found = []
        for number, (lane, was) in enumerate(zip(lanes, before, strict=True)):
            kept = Mux(self._place == 0, 0, was) if number else was
            one = Mux(self._place == number, chosen[0], kept)
            found.append(Mux(self.turns, one, lane))
        return found


class Turned(InOrder):
    """Transforms leave in natural order, as many elements at once as there are banks.

    The elements of a beat lie in as many rows: the lowest bits of a lane's number choose the row,
    and by the rule ``xor`` each moves the bank by another amount.
    """

    def _begin(self) -> None:
        m, params, turns = self.m, self.params, self.turns
        count, bits = params.lane_bits, params.row_bits
        at = wire(m, self.rows.at, "at")
        self.ends = self.rows.ends
        # The last of the sizes stands for all above.
        self.sizes = list(range(3, min(params.stages, 2 * count) + 1)) or [3]
        chosen = [wire(m, turns & (self.size == size), "chosen") for size in self.sizes[:-1]]
        chosen.append(wire(m, turns & (self.size >= self.sizes[-1]), "chosen"))
        inside = self._inside()
        # Above the bits that a lane chooses the row has the lowest of the beat's number.
        high = wire(m, Cat(Const(0, count), self._counted(bits))[:bits] & inside, "high")
        shared = wire(m, self.rule.mark(m, high) ^ at[:count], "shared")
        own = wire(m, self._of_sizes(chosen, lambda size: self._image(shared, size)), "own")
        self.addresses = []
        for bank in range(params.lanes):
            place = self._of_sizes(chosen, lambda size, bank=bank: self._turned(size, bank))
            lane = wire(m, (place ^ own)[:count], "lane")
            row = wire(m, high | (lane[: min(bits, count)] & inside), "row")
            self.addresses.append(wire(m, Mux(turns, row, at), "address"))
        self.moves = self._moves(wire(m, Mux(turns, shared, self.rule.mark(m, at)), "mark_now"))
        self._chosen = [self._kept(bit) for bit in chosen]

    def _of_sizes(self, chosen: list[Signal], value: Any) -> Value:
        found: Value = Const(0, self.params.lane_bits)
        for size, bit in zip(self.sizes, chosen, strict=True):
            found = found | Mux(bit, value(size), 0)
        return found

    def _turned(self, size: int, lane: int) -> int:
        """Return the bank of a lane but for what is shared; to turn twice changes nothing.

        The bits of the lane that do not choose the row are reversed within the bank's number.
        """
        count = self.params.lane_bits
        low, top = max(0, min(count, size - count)), min(count, size)
        chosen = lane & (1 << low) - 1
        bank = chosen & ~1 | chosen.bit_count() & 1 if low else 0
        for bit in range(low, count):
            bank |= (lane >> bit & 1) << (low + top - 1 - bit if bit < top else bit)
        return bank

    def _image(self, value: Value, size: int) -> Value:
        """Return what :meth:`_turned` makes of a lane that is not known yet."""
        count = self.params.lane_bits
        columns = [self._turned(size, 1 << k) for k in range(count)]
        rows = [[value[k] for k in range(count) if columns[k] >> bit & 1] for bit in range(count)]
        return Cat(*(Cat(*row).xor() for row in rows))

    def lanes(self, words: list[Value], before: Sequence[Value]) -> list[Value]:
        lanes = super().lanes(words, before)
        found = list(lanes)
        for size, chosen in zip(self.sizes, self._chosen, strict=True):
            for lane, now in enumerate(found):
                source = self._turned(size, lane)
                if source != lane or now is not lanes[lane]:
                    found[lane] = wire(self.m, Mux(chosen, lanes[source], now), "turned")
        return found


def order_of(params: ButterflyParams) -> type[InOrder]:
    """Return how vectors leave."""
    if params.order == "reversed":
        return InOrder
    return Turned if params.banks == "xor" else Singly

# SPDX-License-Identifier: Apache-2.0
"""Cells of the lookup engine: keys, and the sums that they look up."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.wideheap import WideHeap
from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.lookup_shape import LookupShape

__all__ = ["KeyDecoder", "LookupCell", "key_bits", "place_bits", "shifted"]


def key_bits(shape: LookupShape) -> int:
    """Return the bits of one key as a :class:`LookupCell` takes it."""
    return shape.group if shape.carry_chains else shape.entries + int(shape.half)


def place_bits(shape: LookupShape) -> int:
    """Return the bits of the number of a beat within its step."""
    return (shape.beats - 1).bit_length()


def shifted(m: Module, word: Value, place: Value, step: int, most: int, fill: Value) -> Value:
    """Return ``word * 2**(step * place)``, with ``fill`` in the bits below. ``word`` is signed.

    ``most`` is the largest shift that occurs.
    """
    width = len(word) + most
    for k, bit in enumerate(place):
        by = step << k
        lifted = Cat(fill.replicate(by), word).as_signed()
        word = wire(m, Mux(bit, lifted, word)[:width].as_signed(), f"shifted{k}")
    return word


class KeyDecoder(Cell):
    """A key as one line for each entry, for the logic gates of all rows.

    Parameters
    ----------
    shape : LookupShape

    Members
    -------
    key : ``In(group)``
    taken : ``In(1)``
        Without it nothing is looked up, which gives zero.
    lines : ``Out(key_bits(shape))``
        One for each entry; above them, with half tables, whether the entry counts negative.

    Timing
    ------
    Combinational.
    """

    def __init__(self, shape: LookupShape):
        self.shape = shape
        self.label = f"key_{'half' if shape.half else 'full'}{shape.group}"
        super().__init__({"key": In(shape.group), "taken": In(1), "lines": Out(key_bits(shape))})

    def body(self, platform: Any) -> Module:
        m, shape = Module(), self.shape
        lines: list[Value] = [self.taken]
        for number, bit in enumerate(self.key[:-1] if shape.half else self.key):
            pairs = [(line & ~bit, line & bit) for line in lines]
            both = wire(m, Cat(*(p[0] for p in pairs), *(p[1] for p in pairs)), f"bits{number}")
            lines = list(both)
        chosen = [lines[index] for index in shape.table.indices]
        if shape.half:
            chosen.append(~self.key[-1] & self.taken)
        m.d.comb += self.lines.eq(Cat(*chosen))
        return m


class LookupCell(Cell):
    """One sum of a tile, of what one column's keys look up in one row's tables.

    Parameters
    ----------
    shape : LookupShape
    acc_bits : int

    Members
    -------
    look : ``In(1)``
        Lets the lookups of a beat into their register. Used with ``pipeline`` 2 only.
    en : ``In(1)``
        Lets a beat into the sum.
    clr : ``In(1)``
        With ``en``: it starts a new sum. Never without.
    top : ``In(1)``
        The highest plane of the beat is the highest of all. Never without a beat.
    place : ``In``
        Number of the beat within its step, when it enters the sum.
    keys : ``In``
        Of each plane and table: lines of a :class:`KeyDecoder`, for carry chains the key itself.
    table : ``In``
        Of each table all entries, of half tables without the bit that all have in common.
    odd : ``In(shape.odd_bits)``
        That bit.
    share : ``In(shape.share_bits)``
        What the row adds, signed, when the beat enters the sum; zero without one.
    acc : ``Out(signed(acc_bits))``
        The sum.

    Timing
    ------
    ``acc`` holds a beat one cycle after its keys came, two with ``pipeline`` 2.
    """

    def __init__(self, shape: LookupShape, acc_bits: int):
        self.shape, self._acc_bits = shape, acc_bits
        self.label = f"lookup_{shape.label}_c{acc_bits}"
        super().__init__(
            {
                "look": In(1),
                "en": In(1),
                "clr": In(1),
                "top": In(1),
                "place": In(place_bits(shape)),
                "keys": In(shape.planes * shape.tables * key_bits(shape)),
                "table": In(shape.tables * shape.entries * shape.entry_bits),
                "odd": In(shape.odd_bits),
                "share": In(shape.share_bits),
                "acc": Out(signed(acc_bits)),
            }
        )

    def body(self, platform: Any) -> Module:
        m, shape = Module(), self.shape
        terms: list[tuple[Value, Value | None, int]] = []
        for plane in range(shape.planes):
            looked_up = [self._lookup(m, plane, table) for table in range(shape.tables)]
            if shape.average:
                looked_up = [self._average(m, plane, looked_up)]
            terms += [(word, carry, plane) for word, carry in looked_up]
        at_once = shape.beats == 1 and shape.pipeline < 2
        # With carry chains the share begins the sum of the beat, which is narrower than the whole.
        share = self.share.as_signed() if shape.share_bits else None
        early = share if at_once and shape.carry_chains else None
        if not at_once or shape.carry_chains:
            terms = [(*self._beat(m, terms, early), 0)]
        kept = self.acc & (~self.clr).replicate(self._acc_bits)
        heap: BitHeap
        if shape.carry_chains:
            heap = BitHeap(m, self._acc_bits, True)
        else:
            heap = WideHeap(m, kept, shape.bound)
        for word, carry, plane in terms:
            heap.add(word, plane, carry)
        if share is not None and early is None:
            heap.add(share)
        if shape.carry_chains:
            heap.add(kept.as_signed())  # last: the adders before it are narrower
        held = Signal(signed(self._acc_bits), reset_less=True)
        m.d.comb += self.acc.eq(held)
        total = heap.total()  # outside of the condition, which would gate every adder
        with m.If(self.en if shape.carry_chains else Const(1, 1)):
            m.d.sync += held.eq(total)
        return m

    def _lookup(self, m: Module, plane: int, table: int) -> tuple[Value, Value | None]:
        """Return what a key looks up, as a signed word and what is to be added to that."""
        shape = self.shape
        width, count = shape.entry_bits, shape.entries
        key = self.keys.word_select(plane * shape.tables + table, key_bits(shape))
        words = self.table.word_select(table, count * width)
        entries = [words.word_select(e, width) for e in range(count)]
        if shape.carry_chains:
            word, negative = self._indexed(entries, key)
        else:
            word, negative = self._lines(m, entries, key)
        highest = plane == shape.planes - 1
        if not shape.half:
            if shape.average or shape.zero_point is not None or not highest:
                return wire(m, word, "entry").as_signed(), None
            flipped = wire(m, word ^ self.top.replicate(width), "entry")
            return flipped.as_signed(), self.top
        flipped = wire(m, word ^ negative.replicate(width), "entry")
        if not shape.paired:
            return flipped.as_signed(), negative
        top = self.top if shape.zero_point is None and highest else Const(0, 1)
        carry = wire(m, Mux(self.odd[table], top, negative), "carry")
        return flipped.as_signed(), carry

    def _average(
        self, m: Module, plane: int, words: list[tuple[Value, Value | None]]
    ) -> tuple[Value, Value | None]:
        """Return as many times the average of a plane's lookups as there are, by pairs.

        The average of two is their sum, plus one, without its lowest bit: T-MAC (EuroSys 2025).
        """
        shape, width = self.shape, self.shape.entry_bits + self.shape.half
        while len(words) > 1:
            level: list[tuple[Value, Value | None]] = []
            for pair in zip(words[::2], words[1::2], strict=True):
                heap = BitHeap(m, width + 1, shape.carry_chains)
                heap.add_constant(1)
                for word, carry in pair:
                    heap.add(word, carry=carry)
                level.append((wire(m, Cat(heap.total())[1:], "average").as_signed(), None))
            words = level
        word, places = words[0][0], shape.tables.bit_length() - 1
        if shape.half or shape.zero_point is not None or plane != shape.planes - 1:
            return Cat(Const(0, places), word).as_signed(), None
        flipped = wire(m, Cat(word) ^ self.top.replicate(len(word)), "entry")
        return Cat(self.top.replicate(places), flipped).as_signed(), self.top

    def _lines(self, m: Module, entries: list[Value], key: Value) -> tuple[Value, Value]:
        """Return the entry whose line is 1, zero without, and whether it counts negative."""
        word: Value = Const(0, len(entries[0]))
        for line, entry in zip(key, entries, strict=False):
            word = word | entry & wire(m, line, "line").replicate(len(entry))
        return word, key[-1]

    def _indexed(self, entries: list[Value], key: Value) -> tuple[Value, Value]:
        """Return the entry with the index of the key, and whether it counts negative."""
        index = key[:-1] if self.shape.half else key
        level = [*([] if self.shape.half else [Const(0, len(entries[0]))]), *entries]
        for bit in index:
            level = [Mux(bit, b, a) for a, b in zip(level[::2], level[1::2], strict=True)]
        return level[0], ~key[-1]

    def _beat(
        self, m: Module, terms: list[tuple[Value, Value | None, int]], share: Value | None
    ) -> tuple[Value, Value | None]:
        """Return the sum of a beat and the share, if any, in its place."""
        shape = self.shape
        word, carry, _ = terms[0]
        if len(terms) > 1 or share is not None:
            most = shape.beat_most if share is None else shape.bound
            heap = BitHeap(m, 1 + most.bit_length(), shape.carry_chains)
            if share is not None:
                heap.add(share)
            for each, more, plane in terms:
                heap.add(each, plane, more)
            word, carry = heap.total(), None
        if shape.pipeline == 2:
            word = self._register(m, word)
            carry = None if carry is None else self._register(m, carry)
        most = (shape.beats - 1) * shape.planes
        if most:
            fill = Const(0, 1) if carry is None else carry
            word = shifted(m, word, self.place, shape.planes, most, fill)
        return word, carry

    def _register(self, m: Module, value: Value) -> Value:
        """Return ``value`` as it was at the lookup, for gates zero without a beat."""
        held = Signal(value.shape(), reset_less=True, name="looked_up")
        with m.If(self.look):
            m.d.sync += held.eq(value)
        if self.shape.carry_chains:
            return held
        taken = wire(m, Cat(held) & self.en.replicate(len(held)), "taken")
        return taken.as_signed() if value.shape().signed else taken

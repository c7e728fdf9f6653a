# SPDX-License-Identifier: Apache-2.0
"""Sums of activations times what their codes stand for, one after the other at a tile's end."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.recode import booth_digits, lookup, multiple
from hw.arith.select import lines
from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.book import BookKey
from hw.mpgemm.book_sums import SumRow, SumsShape
from hw.mpgemm.shape import Shape
from hw.mpgemm.writer import row_signature

__all__ = ["BookRing", "BookSums", "Drain"]


class Drain(Cell):
    """The end of one column: sums times their factors, one after the other, added.

    Parameters
    ----------
    shape : SumsShape
    factor_bits : int
    acc_bits : int

    Members
    -------
    en : ``In(1)``
        Lets a product into ``acc``.
    clr : ``In(1)``
        It starts a new one.
    sum : ``In(shape.bits)``
    factor : ``In(signed(factor_bits))``
    acc : ``Out(signed(acc_bits))``

    Timing
    ------
    ``acc`` holds a product one cycle after its sum came.
    """

    def __init__(self, shape: SumsShape, factor_bits: int, acc_bits: int):
        self.shape, self._acc_bits = shape, acc_bits
        kind = f"{'s' if shape.signed else 'u'}{shape.bits}x{factor_bits}"
        self.label = f"drain_{kind}_c{acc_bits}{'_chains' if shape.carry_chains else ''}"
        super().__init__(
            {
                "en": In(1),
                "clr": In(1),
                "sum": In(shape.bits),
                "factor": In(signed(factor_bits)),
                "acc": Out(signed(acc_bits)),
            }
        )

    def body(self, platform: Any) -> Module:
        m, bits = Module(), self._acc_bits
        held = Signal(signed(bits), reset_less=True)
        heap = BitHeap(m, bits, self.shape.carry_chains)
        heap.add((held & (~self.clr).replicate(bits)).as_signed())
        value = wire(m, self.sum.as_signed() if self.shape.signed else self.sum, "value")
        for digit in booth_digits(m, self.factor):
            row, carry = multiple(digit, value)
            heap.add(row, digit.weight, carry)
        total = heap.total()  # outside of the condition, which would gate every adder
        with m.If(self.en):
            m.d.sync += held.eq(total)
        m.d.comb += self.acc.eq(held)
        return m


class BookRing(Cell):
    """The book of one column, which comes entry by entry, and goes round entry by entry.

    Parameters
    ----------
    entries : int
    entry_bits : int

    Members
    -------
    load : ``In(1)``
        Lets the next entry in: ``entries`` of them, entry 0 first.
    turn : ``In(1)``
        The next entry comes out. Never with ``load``.
    entry : ``In(entry_bits)``
    first : ``Out(signed(entry_bits))``
        Entry 0 after loading and after ``entries`` turns.

    Timing
    ------
    One entry a cycle.
    """

    def __init__(self, entries: int, entry_bits: int):
        self._entries = entries
        self.label = f"book_ring{entries}x{entry_bits}"
        super().__init__(
            {
                "load": In(1),
                "turn": In(1),
                "entry": In(entry_bits),
                "first": Out(signed(entry_bits)),
            }
        )

    def body(self, platform: Any) -> Module:
        m, width = Module(), len(self.entry)
        book = [Signal(width, name=f"e{k}", reset_less=True) for k in range(self._entries)]
        with m.If(self.load | self.turn):
            m.d.sync += Cat(*book).eq(Cat(*book[1:], Mux(self.load, self.entry, book[0])))
        m.d.comb += self.first.eq(book[0])
        return m


class BookSums(wiring.Component):
    """A core without products in its steps: they come at a tile's end, one a column and cycle.

    Every cell adds each activation to the sum of its weight's factor. When the tile ends, its rows
    follow each other: each sum of a row is multiplied with its factor and added, in all columns at
    once. Steps wait until the last sum has been read.

    Parameters
    ----------
    shape : SumsShape
    frame : :class:`~hw.mpgemm.shape.Shape`
    entry_bits : int
        Bits of a factor that comes with the job, 0 where factors are the book's.
    pipeline : int
        1: sums are registered before they are multiplied.

    Members
    -------
    i : ``In(stream.Signature({act, wgt, first, last[, scale, load]}))``
        Steps; with ``load`` no step, but an entry of every column's book in ``scale``.
    o : ``Out(row_signature(frame))``

    Timing
    ------
    One step per cycle within a tile. With E factors, row ``r`` is valid ``E * (r + 1) + 1 +
    pipeline`` cycles after the tile's last step was accepted; in ``E * rows - 1`` cycles after that
    step none is accepted.
    """

    def __init__(self, shape: SumsShape, frame: Shape, entry_bits: int = 0, pipeline: int = 0):
        self.shape, self._frame = shape, frame
        self._entry_bits, self._pipeline = entry_bits, pipeline
        self.latency = shape.drain(frame.rows, pipeline)["first"]
        self.tiles_inside = 2 + pipeline
        layout: dict[str, Any] = {
            "act": frame.act_bits,
            "wgt": frame.wgt_bits,
            "first": 1,
            "last": 1,
        }
        if entry_bits:
            layout |= {"scale": frame.scale_bits, "load": 1}
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(layout))),
                "o": Out(row_signature(frame)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, shape, frame, step = Module(), self.shape, self._frame, self.i.payload
        entries, load = shape.book.entries, step.load if self._entry_bits else Const(0, 1)
        moving = wire(m, ~self.o.valid | self.o.ready, "moving")
        reading = Signal()
        entry, row = Signal(range(entries)), Signal(range(frame.rows))
        closes_row = wire(m, entry == entries - 1, "closes_row")
        closes = wire(m, closes_row & (row == frame.rows - 1), "closes")
        read = wire(m, reading & moving, "read")
        m.d.comb += self.i.ready.eq(~reading | closes & moving)
        accepted = wire(m, self.i.valid & self.i.ready, "accepted")
        taken = wire(m, accepted & ~load, "taken")
        with m.If(read):
            m.d.sync += entry.eq(Mux(closes_row, 0, entry + 1))
            with m.If(closes_row):
                m.d.sync += row.eq(Mux(closes, 0, row + 1))
        with m.If(self.i.ready):
            m.d.sync += reading.eq(taken & step.last)

        sums = self._rows(m, taken)
        entry_lines, row_lines = lines(m, entry, entries - 1), lines(m, row, frame.rows - 1)
        factors = self._factors(m, entry, accepted & load, read)
        words = []
        for c in range(frame.columns):
            each = [_one_of(m, row_lines, [s[c][e] for s in sums]) for e in range(entries)]
            words.append(_one_of(m, entry_lines, each))
        en, first, last = read, wire(m, entry == 0, "opens_row"), closes_row
        if self._pipeline:
            flags = Signal(3)
            with m.If(moving):
                m.d.sync += flags.eq(Cat(read, first, last))
            words = [_held(m, read, word, f"sum{c}") for c, word in enumerate(words)]
            factors = [_held(m, read, f, f"factor{c}").as_signed() for c, f in enumerate(factors)]
            en, first, last = wire(m, flags[0] & moving, "adds"), flags[1], flags[2]
        accs = []
        for c, word in enumerate(words):
            factor = factors[c % len(factors)]
            drain = Drain(shape, len(factor), frame.acc_bits)
            m.submodules[f"drain{c}"] = drain
            m.d.comb += [
                drain.en.eq(en),
                drain.clr.eq(first),
                drain.sum.eq(word),
                drain.factor.eq(factor),
            ]
            accs.append(drain.acc)
        with m.If(moving):
            m.d.sync += self.o.valid.eq(en & last)
        m.d.comb += Value.cast(self.o.payload.acc).eq(Cat(*accs))
        return m

    def _rows(self, m: Module, taken: Value) -> list[list[list[Value]]]:
        """Return the sums: of each row, column and factor."""
        shape, frame, step = self.shape, self._frame, self.i.payload
        keys = []
        for number in range(frame.columns * shape.lanes):
            m.submodules[f"key{number}"] = key = BookKey(shape.book)
            m.d.comb += key.key.eq(step.wgt.word_select(number, shape.book.bits))
            m.d.comb += key.taken.eq(taken)
            keys.append(key.lines)
        named = wire(m, Cat(*keys), "named")
        sums = []
        for r in range(frame.rows):
            m.submodules[f"row{r}"] = row = SumRow(shape, frame.columns)
            m.d.comb += [
                row.en.eq(taken),
                row.clr.eq(taken & step.first),
                row.act.eq(step.act.word_select(r, len(row.act))),
                row.lines.eq(named),
            ]
            sums.append([[row.sums.word_select(c * shape.book.entries + e, shape.bits)
                          for e in range(shape.book.entries)]
                         for c in range(frame.columns)])  # fmt: skip
        return sums

    def _factors(self, m: Module, entry: Value, load: Value, turn: Value) -> list[Value]:
        """Return the factor of every column's sum, or that of all."""
        frame, book = self._frame, self.shape.book
        if not self._entry_bits:
            bits = 1 + max(map(int.bit_length, book.factors))
            table = [factor & (1 << bits) - 1 for factor in book.factors]
            factor = wire(m, lookup(table, entry, bits), "factor")
            return [factor.as_signed()]
        factors = []
        for c in range(frame.columns):
            m.submodules[f"book{c}"] = ring = BookRing(book.entries, self._entry_bits)
            m.d.comb += [
                ring.load.eq(load),
                ring.turn.eq(turn),
                ring.entry.eq(self.i.payload.scale.word_select(c, self._entry_bits)),
            ]
            factors.append(ring.first)
        return factors


def _one_of(m: Module, chosen: list[Value], words: list[Value]) -> Value:
    """Return the word whose line is 1."""
    if len(words) == 1:
        return words[0]
    result: Value = Const(0, len(words[0]))
    for line, word in zip(chosen, words, strict=True):
        result = result | word & line.replicate(len(word))
    return wire(m, result, "chosen")


def _held(m: Module, en: Value, value: Value, name: str) -> Value:
    """Return ``value`` as it was with the last ``en``."""
    held = Signal(len(value), reset_less=True, name=name)
    with m.If(en):
        m.d.sync += held.eq(value)
    return held

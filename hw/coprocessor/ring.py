# SPDX-License-Identifier: Apache-2.0
"""A ring of words in block RAM: filled by reads of memory, read item by item, replayed."""

from functools import partial
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.arith.wires import wire
from hw.axi.dma import read_beats
from hw.coprocessor.choice import own
from hw.coprocessor.secded import SecdedDecoder, check_bits, encode

__all__ = ["REPLAYS", "Ring"]

#: What is read again and again: all of it for each column tile, what one column tile needs for each
#: row tile, or nothing.
REPLAYS = ("columns", "rows", "never")


class Ring(wiring.Component):
    """Banks of words that are written one by one and read together.

    Parameters
    ----------
    width : int
        Bits of a beat that comes.
    banks : int
    word : int
        Bits of a word of a bank.
    items : tuple of int
        Bits of an item as each engine takes it, of which a word holds one or more. Powers of two
        times each other, ``word`` and ``width``.
    depth : int
        Words of a bank, a power of two.
    tile : (int, int)
        Rows and columns of a tile of C.
    count_bits, size_bits : int
        Bits of ``last_item``; of ``m`` and ``n``.
    replay : str
        One of :data:`REPLAYS`.
    protected : bool
        Whether words have check bits, see :mod:`hw.coprocessor.secded`.

    Members
    -------
    beat : ``In(read_beats(width))``
        Beats of one bank after the other: ``last`` ends those of a bank.
    bank : ``In``, ``completes`` : ``In(1)``
        With ``beat``: whose it is, and whether all other banks have this part already.
    start : ``In(1)``
        A job begins. ``m``, ``n`` and ``last_item`` are its sizes, ``choice`` the engine that it is
        for; they stay until it is done.
    last_item : ``In(count_bits)``
        Items of each pass over a tile, less one.
    streams : ``In(1)``
        What is replayed comes again, as there is no room for all of it.
    items : ``Out(stream.Signature({items, last}))``
        An item of each bank, bank 0's low, each in the room that the largest takes. ``last`` ends a
        column tile.
    free : ``Out``
        Words below this place may be overwritten; places count modulo ``2 * depth``.
    active : ``Out(1)``
        There are words left to read.
    left_n : ``Out(size_bits)``
        Columns of C that are left, those of the tile that is read included.
    corrected, detected : ``Out(1)``
        For one cycle: a word that was read had an error, that was corrected or was not.

    Timing
    ------
    One beat and one item per cycle. A word can be read in the cycle after its last beat came, with
    ``protected`` one later. Errors are told two cycles after the read.
    """

    def __init__(
        self,
        *,
        width: int,
        banks: int,
        word: int,
        items: tuple[int, ...],
        depth: int,
        tile: tuple[int, int],
        count_bits: int,
        size_bits: int = 16,
        replay: str,
        protected: bool = False,
    ):
        self.width, self.banks, self.word, self.sizes = width, banks, word, items
        self.depth, self.tile, self.replay = depth, tile, replay
        self.protected, self._size_bits = protected, size_bits
        self.place = exact_log2(depth) + 1
        super().__init__(
            {
                "beat": In(read_beats(width)),
                "bank": In(range(banks)),
                "completes": In(1),
                "start": In(1),
                "m": In(size_bits),
                "n": In(size_bits),
                "last_item": In(count_bits),
                "choice": In(range(len(items))),
                "streams": In(1),
                "items": Out(
                    stream.Signature(data.StructLayout({"items": banks * max(items), "last": 1}))
                ),
                "free": Out(self.place),
                "active": Out(1),
                "left_n": Out(size_bits),
                "corrected": Out(1),
                "detected": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._left_m = Signal(self._size_bits, name="left_m")
        filled = Signal(self.place)  # words below are complete in all banks
        ports = self._memories(m, filled)
        take, place, tail, closes = self._places(m, filled)
        for port in ports:
            m.d.comb += [port.en.eq(take), port.addr.eq(place)]

        held, last = Signal(), Signal()
        unit = min(self.sizes)
        per_word = self.word // unit
        stride = own(m, self.choice, [size // unit for size in self.sizes], "stride")
        index, end = Signal(range(per_word)), Signal(range(per_word))
        over = wire(m, self.items.ready & (index == end), "over")
        m.d.comb += [
            self._moves.eq(~held | over),
            self.items.valid.eq(held),
            self.items.payload.last.eq(last & (index == end)),
        ]
        with m.If(self.items.ready & held):
            m.d.sync += index.eq(index + stride)
        with m.If(self._moves):
            m.d.sync += [held.eq(take), index.eq(0)]
        with m.If(take):
            m.d.sync += [last.eq(closes), end.eq(tail)]
        parts = self.word // self.width
        items = []

        def pick(word: Value, size: int) -> Value:
            if size == self.word:
                return word
            place = word.word_select(index >> exact_log2(size // unit), size)
            return Cat(place, Const(0, max(self.sizes) - size))

        words = self._checked(m, ports, take)
        for bank in range(self.banks):
            word = Cat(*words[bank * parts :][:parts])
            items.append(own(m, self.choice, self.sizes, f"item{bank}", partial(pick, word)))
        m.d.comb += self.items.payload.items.eq(Cat(*items))
        return m

    def _memories(self, m: Module, filled: Signal) -> list[Any]:
        """Add the memories and what writes them; return their read ports."""
        parts = self.word // self.width
        came, place, base = Signal(), Signal(self.place), Signal(self.place)
        beat = Signal(self.beat.payload.shape(), reset_less=self.protected)
        bank, completes = Signal.like(self.bank), Signal()
        # Check bits take a cycle of their own.
        domain = m.d.sync if self.protected else m.d.comb
        domain += [
            came.eq(self.beat.valid),
            beat.eq(self.beat.payload),
            bank.eq(self.bank),
            completes.eq(self.completes),
        ]
        part = Signal(range(parts))
        ends = wire(m, beat.last | (part == parts - 1), "ends_word")
        after = wire(m, (place + 1)[: self.place], "after")
        with m.If(came):
            m.d.sync += part.eq(Mux(ends, 0, part + 1))
            with m.If(ends):
                m.d.sync += place.eq(after)
            with m.If(ends & completes):
                m.d.sync += filled.eq(after)
            with m.If(beat.last):
                with m.If(completes):
                    m.d.sync += base.eq(after)
                with m.Else():
                    m.d.sync += place.eq(base)
        ports = []
        checks = check_bits(self.width) if self.protected else 0
        code = wire(m, encode(beat.data), "code") if self.protected else Const(0, 0)
        for number in range(self.banks * parts):
            memory = Memory(shape=self.width + checks, depth=self.depth, init=[])
            m.submodules[f"bank{number // parts}_{number % parts}"] = memory
            port = memory.write_port()
            mine = (bank == number // parts) & (part == number % parts)
            m.d.comb += [
                port.addr.eq(place[:-1]),
                port.data.eq(Cat(beat.data, code)),
                port.en.eq(came & mine),
            ]
            ports.append(memory.read_port())
        return ports

    def _checked(self, m: Module, ports: list[Any], take: Value) -> list[Value]:
        """Return what the ports read, corrected."""
        if not self.protected:
            return [port.data for port in ports]
        parts, words, faults = self.word // self.width, [], []
        # Rows that a tile does not have were not read from memory.
        came, there = Signal(name="read"), Signal(self.banks)
        m.d.sync += came.eq(take)
        with m.If(take):
            m.d.sync += there.eq(Cat(self._left_m > bank for bank in range(self.banks)))
        for number, port in enumerate(ports):
            decoder = SecdedDecoder(self.width)
            m.submodules[f"decoder{number // parts}_{number % parts}"] = decoder
            m.d.comb += decoder.word.eq(port.data)
            words.append(decoder.data)
            counts = came & there[number // parts]
            faults.append((decoder.corrected & counts, decoder.detected & counts))
        m.d.sync += [
            side.eq(Cat(flags).any())
            for side, flags in zip(
                (self.corrected, self.detected), zip(*faults, strict=True), strict=True
            )
        ]
        return words

    def _places(self, m: Module, filled: Signal) -> tuple[Value, Value, Value, Value]:
        """Walk over what is read, word by word.

        Return whether a word is read now, at which address, its last item, and whether it ends a
        column tile.
        """
        rows, columns = self.tile
        words = own(
            m,
            self.choice,
            self.sizes,
            "last_word",
            lambda size: self.last_item[exact_log2(self.word // size) :],
        )
        left = Signal(len(words))
        left_m, left_n = self._left_m, self.left_n
        begin, place = Signal(self.place), Signal(self.place)
        self._moves = Signal(name="moves")
        closes = wire(m, ~left.any(), "closes_k")
        closes_m = wire(m, left_m <= rows, "closes_m")
        closes_n = wire(m, left_n <= columns, "closes_n")
        closes_tile = wire(m, closes & closes_m, "closes_tile")
        take = wire(m, self.active & self._moves & (place != filled), "take")
        if self.replay == "columns":
            again, stays = closes_tile & ~closes_n & ~self.streams, ~closes_n & ~self.streams
        elif self.replay == "rows":
            again, stays = closes & ~closes_m & ~self.streams, ~closes_m & ~self.streams
        else:
            again = stays = Value.cast(0)
        after = wire(m, (place + 1)[: self.place], "after_read")
        with m.If(take):
            m.d.sync += [place.eq(Mux(again, begin, after)), left.eq(left - 1)]
            with m.If(closes):
                m.d.sync += [left.eq(words), left_m.eq(left_m - rows)]
            with m.If(closes_tile):
                m.d.sync += [left_m.eq(self.m), left_n.eq(left_n - columns)]
                if self.replay == "rows":
                    m.d.sync += begin.eq(after)
                with m.If(closes_n):
                    m.d.sync += self.active.eq(0)
        with m.If(self.start):
            m.d.sync += [
                left.eq(words),
                left_m.eq(self.m),
                left_n.eq(self.n),
                begin.eq(place),
                self.active.eq(1),
            ]
        m.d.sync += self.free.eq(Mux(stays, begin, place))
        tail = own(m, self.choice, self.sizes, "tail", lambda size: self._tail(closes, size))
        return take, place[:-1], tail, closes_tile

    def _tail(self, closes: Value, size: int) -> Value:
        """Return the place of a word's last item, in units of the smallest item."""
        split, step = exact_log2(self.word // size), exact_log2(size // min(self.sizes))
        if not split:
            return Value.cast(0)
        return Mux(closes, self.last_item[:split], (1 << split) - 1) << step

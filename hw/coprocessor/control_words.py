# SPDX-License-Identifier: Apache-2.0
"""The direct descriptor and the one that was fetched, word by word."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.axi.bus import Bus
from hw.axi.dma import read_beats
from hw.spec.coprocessor import DESCRIPTOR_WORDS

__all__ = ["WORDS_BITS", "DescriptorWords"]

WORDS_BITS = 6  #: Of an address in the window of the direct descriptor.


def _parities(word: Value) -> Value:
    """Return the parity of each byte."""
    return Cat(word.word_select(k, 8).xor() for k in range(len(word) // 8))


class DescriptorWords(wiring.Component):
    """Keep 16 words that are written over the bus, and 16 that came from memory.

    Both are in one memory of 1024 bits, whose only read port serves the bus and the reader.
    Its read takes a cycle, so that it can be a block RAM. Once the words were given out, the next
    descriptor can be written.

    Parameters
    ----------
    data_width : int
        Bits of a beat.
    protected : bool
        Whether there is a bit of parity for each byte.

    Members
    -------
    bus : ``In(Bus(WORDS_BITS))``
        Accesses of the window of ``DIRECT0`` to ``DIRECT15``.
    busy : ``In(1)``
        While high, writes over the bus are refused; while ``wipe`` is, it is.
    beats : ``In(read_beats(data_width))``
        A descriptor from memory.
    fetched : ``Out(1)``
        High with its last beat.
    start, direct : ``In(1)``, ``In(1)``
        Begin to give out the words, those that were written over the bus if ``direct``.
    valid, index, word, last : ``Out(1)``, ``Out(4)``, ``Out(32)``, ``Out(1)``
        A word, which it is, and whether it is the last of 16.
    clear : ``In(1)``
        Forget a part of a descriptor that has come.
    tag : ``Out(16)``
        That of the descriptor that was written over the bus.
    broken : ``Out(1)``
        With ``valid``: a byte of the word has the wrong parity. Low unless ``protected``.
    wipe : ``In(1)``
        While high, the words written over the bus become 0, all of them after 16 cycles.

    Timing
    ------
    ``ack`` comes in the cycle after ``request``, and ``value`` straight from the memory; a write
    waits while words that were written over the bus are given out, and while a beat comes. A word a
    cycle, from the second cycle after ``start``, but none in the cycle after one with ``request``.
    """

    def __init__(self, data_width: int, protected: bool = False):
        self.data_width, self.protected = data_width, protected
        super().__init__(
            {
                "bus": In(Bus(WORDS_BITS)),
                "busy": In(1),
                "beats": In(read_beats(data_width)),
                "fetched": Out(1),
                "start": In(1),
                "direct": In(1),
                "valid": Out(1),
                "index": Out(4),
                "word": Out(32),
                "last": Out(1),
                "clear": In(1),
                "tag": Out(16),
                "broken": Out(1),
                "wipe": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, bus, beats = Module(), self.bus, self.beats
        width = min(self.data_width, 32 * DESCRIPTOR_WORDS)
        each = width // 32
        rows, low = DESCRIPTOR_WORDS // each, exact_log2(each)
        m.submodules.store = store = Memory(shape=width, depth=2 * rows, init=[])
        read, write = store.read_port(), store.write_port(granularity=8)

        place = Signal(4)  # of the beat that comes next, in words
        running, direct = Signal(), Signal()
        following, number = Signal(4), Signal(4)  # of the next word, of the one that was read
        asked = bus.request
        wanted = Mux(asked, bus.address[2:], following)
        from_bus = asked | direct
        m.d.comb += [
            read.addr.eq(Cat(wanted[low:], ~from_bus)),
            self.word.eq(read.data.word_select(number[:low], 32)),
            self.index.eq(number),
            self.last.eq(self.valid & (number == DESCRIPTOR_WORDS - 1)),
            self.fetched.eq(beats.valid & beats.payload.last),
        ]
        m.d.sync += [self.valid.eq(running & ~asked & ~self.start), number.eq(wanted)]
        with m.If(running & ~asked):
            m.d.sync += following.eq(following + 1)
            with m.If(following == DESCRIPTOR_WORDS - 1):
                m.d.sync += running.eq(0)
        with m.If(self.start):
            m.d.sync += [running.eq(1), following.eq(0), direct.eq(self.direct)]

        error = bus.address[:2].any() | bus.write & self.busy
        held, waits, into = Signal(), Signal(), bus.address[2:]
        writes = (bus.request | held) & bus.write & ~error
        m.d.comb += waits.eq(writes & (beats.valid | running & direct))
        m.d.sync += held.eq(waits)
        with m.If(beats.valid):
            m.d.comb += [write.addr.eq(Cat(place[low:], 1)), write.data.eq(beats.payload.data)]
            m.d.comb += write.en.eq(~0)
            m.d.sync += place.eq(place + each)
        with m.Elif(self.wipe):
            m.d.comb += [write.addr.eq(Cat(place[low:], 0)), write.en.eq(~0)]
            m.d.sync += place.eq(place + each)
        with m.Elif(writes & ~waits):
            m.d.comb += [
                write.addr.eq(Cat(into[low:], 0)),
                write.data.eq(bus.data.replicate(each)),
                write.en.word_select(into[:low], 4).eq(bus.strobe),
            ]
            with m.If(into == DESCRIPTOR_WORDS - 1):
                for k in range(2):
                    with m.If(bus.strobe[k]):
                        m.d.sync += self.tag.word_select(k, 8).eq(bus.data.word_select(k, 8))
        if self.protected:
            m.submodules.parity = parity = Memory(shape=width // 8, depth=2 * rows, init=[])
            kept, marks = parity.read_port(), parity.write_port(granularity=1)
            m.d.comb += [
                kept.addr.eq(read.addr),
                marks.addr.eq(write.addr),
                marks.en.eq(write.en),
                marks.data.eq(_parities(write.data)),
                self.broken.eq(
                    self.valid & (kept.data.word_select(number[:low], 4) != _parities(self.word))
                ),
            ]
        with m.If(self.wipe):
            m.d.sync += self.tag.eq(0)
        with m.If(self.clear):
            m.d.sync += place.eq(0)
        shown = Signal()
        m.d.sync += [
            bus.ack.eq((bus.request | held) & ~waits),
            bus.error.eq((bus.request | held) & error),
            shown.eq(bus.request & ~bus.write & ~error),
        ]
        m.d.comb += bus.value.eq(Mux(shown, self.word, 0))
        return m

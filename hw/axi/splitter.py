# SPDX-License-Identifier: Apache-2.0
"""From a command of any length to bursts that AXI4 allows."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.axi.axi4 import PAGE
from hw.axi.dma import command

__all__ = ["MAX_BYTES", "BurstSplitter", "burst"]

MAX_BYTES = (1 << 32) - 1  #: Longest command that :func:`hw.axi.dma.command` has room for.


def burst(addr_bits: int, data_width: int) -> data.StructLayout:
    """Return the layout of a burst.

    ``word`` is its address in bus words, ``len`` its words less one; ``first`` and ``last`` tell
    whether it is the command's first and last. Of the whole command, ``offset`` and ``end`` are the
    places of its first and last byte in their words, and ``spill`` tells whether it touches one
    word more than it has beats.
    """
    place = exact_log2(data_width // 8)
    return data.StructLayout(
        {
            "word": addr_bits - place,
            "len": 8,
            "first": 1,
            "last": 1,
            "offset": place,
            "end": place,
            "spill": 1,
        }
    )


class BurstSplitter(wiring.Component):
    """Cut commands at the limit of a burst's length and at every 4 KiB.

    Parameters
    ----------
    addr_bits, data_width : int
        Of the bus.
    max_burst : int
        Words of the longest burst, a power of two. No burst is longer than 4 KiB either.
    max_bytes : int
        Bytes of the longest command; the fewer, the smaller.

    Members
    -------
    i : ``In(command(addr_bits))``
        At least one byte each.
    o : ``Out(stream.Signature(burst(addr_bits, data_width)))``
        The bursts of all words that hold a byte of the command, in order, each as long as the
        limits and the command allow.
    clear : ``In(1)``
        Forget what is left of the command.

    Timing
    ------
    One burst per cycle, the first one a cycle after its command. ``i.ready`` depends on
    ``o.ready``, so that the next command comes in while the last burst leaves.
    """

    def __init__(self, addr_bits: int, data_width: int, max_burst: int, max_bytes: int = MAX_BYTES):
        self.addr_bits, self.data_width, self.max_bytes = addr_bits, data_width, max_bytes
        self.max_burst = min(max_burst, 8 * PAGE // data_width)
        self._layout = burst(addr_bits, data_width)
        super().__init__(
            {
                "i": In(command(addr_bits)),
                "o": Out(stream.Signature(self._layout)),
                "clear": In(1),
            }
        )
        place = exact_log2(data_width // 8)
        # Named here, so that a proof can say how they hang together.
        self._active = Signal()
        self._word = Signal(addr_bits - place)
        most = max_bytes + 2 * (data_width // 8 - 1) >> place
        self._left = Signal(range(max(most, self.max_burst) + 1))  #: words
        self._cap = Signal(range(self.max_burst + 1))  #: words that fit a burst from here

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        active, word, left, cap = self._active, self._word, self._left, self._cap
        place = exact_log2(self.data_width // 8)
        low = exact_log2(self.max_burst)
        page = exact_log2(PAGE) - place
        given, out = self.i.payload, self.o.payload
        size = given.bytes[: self.max_bytes.bit_length()]
        first, offset, end, spill = (
            Signal(self._layout[name].shape, name=f"{name}_kept")
            for name in ("first", "offset", "end", "spill")
        )

        final = Signal()
        m.d.comb += [
            # Narrow, unlike left <= cap.
            final.eq(~left[len(cap) :].any() & (left[: len(cap)] <= cap)),
            out.word.eq(word),
            out.len.eq((Mux(final, left, cap) - 1)[: low + 1]),
            out.first.eq(first),
            out.last.eq(final),
            out.offset.eq(offset),
            out.end.eq(end),
            out.spill.eq(spill),
            self.o.valid.eq(active),
            self.i.ready.eq(~active | self.o.ready & final),
        ]

        # A burst that is not the last one is full or ends with its page: either way the next one
        # starts in the next block of max_burst words, at the same place or, in a new page, at 0.
        near = word[low:page].all() if page > low else 1
        after = Cat(Mux(near, 0, word[:low])[:low], (word[low:] + 1)[: len(word) - low])
        at, shift = given.addr[place:], given.addr[:place]
        reach = Signal(range(2 * self.data_width // 8))  # place of the last byte of the first beat
        m.d.comb += reach.eq(shift + (size - 1)[:place])
        with m.If(self.i.valid & self.i.ready):
            rounded = shift + (self.data_width // 8 - 1)
            m.d.sync += [
                active.eq(1),
                first.eq(1),
                word.eq(at),
                cap.eq(self._room(at, low, page)),
                left.eq((size + rounded) >> place),
                offset.eq(shift),
                end.eq(reach[:place]),
                spill.eq(reach[place]),
            ]
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += [
                active.eq(~final),
                first.eq(0),
                word.eq(after),
                cap.eq(self._room(after, low, page)),
                left.eq(left - cap),
            ]
        with m.If(self.clear):
            m.d.sync += active.eq(0)
        return m

    def _room(self, word: Any, low: int, page: int) -> Any:
        """Return the words from ``word`` to the end of its page, or ``max_burst`` if less."""
        near = word[low:page].all() if page > low else 1
        return Mux(near, self.max_burst - word[:low], self.max_burst)

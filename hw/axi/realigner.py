# SPDX-License-Identifier: Apache-2.0
"""From bus words to beats that begin with the first byte asked for."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.axi.dma import read_beats

__all__ = ["Realigner"]


class Realigner(wiring.Component):
    """Shift the words of commands down to the place of their first byte.

    A word is held until its successor is here or, if it is the last of its command, for one cycle:
    so each word makes room for the next one, and a command's tail leaves while the next command's
    first word comes in.

    Parameters
    ----------
    data_width : int
    align : int
        Bytes of which every offset is a multiple; less than a word.

    Members
    -------
    i : ``In(stream)``, always ready
        Words: ``data``, ``final`` (last word of its command), and of the command ``offset`` and
        ``spill`` as in :func:`hw.axi.splitter.burst`.
    o : ``Out(read_beats(data_width))``
    clear : ``In(1)``
        Forget everything.

    Timing
    ------
    A word per cycle. A beat comes two cycles after the last word it takes bytes from if that is
    the last of its command and begins the beat, else one. Outputs are registers.
    """

    def __init__(self, data_width: int, align: int):
        self.data_width, self.align = data_width, align
        place = exact_log2(data_width // 8)
        fields = {"data": data_width, "final": 1, "offset": place, "spill": 1}
        self._words = data.StructLayout(fields)
        super().__init__(
            {
                "i": In(stream.Signature(self._words, always_ready=True)),
                "o": Out(read_beats(data_width)),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        new, out = self.i.payload, self.o.payload
        old = Signal(self._words)
        pending = Signal()  # the word that is held begins a beat that has not left
        leaves, alone = Signal(), Signal()
        grain = exact_log2(self.align)
        steps = Cat(Const(0, 3 + grain), old.offset[grain:])
        m.d.comb += [
            alone.eq(new.final & new.spill),  # its bytes all belong to the beat before
            leaves.eq(pending & (old.final | self.i.valid)),
        ]
        m.d.sync += [
            self.o.valid.eq(leaves & ~self.clear),
            out.data.eq(Cat(old.data, new.data) >> steps),
            out.last.eq(old.final | alone),
        ]
        with m.If(self.i.valid):
            m.d.sync += [old.eq(new), pending.eq(~alone)]
        with m.Elif(leaves):
            m.d.sync += pending.eq(0)
        with m.If(self.clear):
            m.d.sync += pending.eq(0)
        return m

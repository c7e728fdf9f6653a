# SPDX-License-Identifier: Apache-2.0
"""Words to beats of an AXI4-Stream."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.axi.axis import axis

__all__ = ["BeatAssembler"]


class BeatAssembler(wiring.Component):
    """Fill a beat with words of 32 bits, the first one lowest.

    Parameters
    ----------
    bits : int
        Of the beat.

    Members
    -------
    words, both, last : ``In(64)``, ``In(1)``, ``In(1)``
        One word, or two; whether the beat that they fill is the last of its packet.
    push : ``In(1)``
        Take them; ignored without ``room``.
    room : ``Out(1)``
        There is room for two words, or for one without ``both``.
    o : ``Out(axis(bits))``

    Timing
    ------
    A word or two per cycle; a beat is offered in the cycle after its last word came. What a push
    has too many for its beat is dropped.
    """

    def __init__(self, bits: int):
        self.bits = bits
        super().__init__(
            {
                "words": In(64),
                "both": In(1),
                "last": In(1),
                "push": In(1),
                "room": Out(1),
                "o": Out(axis(bits)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, count = Module(), -(-self.bits // 32)
        held = [Signal(32, name=f"held{k}", reset_less=True) for k in range(count)]
        filled = Signal(range(count + 1))
        takes = wire(m, self.push & self.room, "takes")
        after = wire(m, filled + 1 + self.both, "after")
        m.d.comb += [
            self.room.eq(~self.o.valid),
            self.o.payload.tdata.eq(Cat(*held)),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(takes):
            m.d.sync += filled.eq(after)
            with m.If(after >= count):
                m.d.sync += [filled.eq(0), self.o.valid.eq(1), self.o.payload.tlast.eq(self.last)]
            for k, word in enumerate(held):
                with m.If((filled == k) | self.both & (filled + 1 == k)):
                    m.d.sync += word.eq(Mux(filled == k, self.words[:32], self.words[32:]))
        return m

# SPDX-License-Identifier: Apache-2.0
"""The ring of descriptors: how many are pending, and where each of them and its record lie."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.spec.coprocessor import DESCRIPTOR_BYTES, MAX_QUEUE, RECORD_BYTES

__all__ = ["Ring", "ring_signature"]

_ENTRY, _RECORD = exact_log2(DESCRIPTOR_BYTES), exact_log2(RECORD_BYTES)


def ring_signature(addr_bits: int) -> wiring.Signature:
    """Return the members of :class:`Ring`."""
    return wiring.Signature(
        {
            "base": In(64),
            "size": In(32),
            "head": In(16),
            "consume": In(1),
            "tail": Out(16),
            "pending": Out(16),
            "overflow": Out(1),
            "bad": Out(1),
            "ready": Out(1),
            "low": Out(1),
            "locate": In(1),
            "of_record": In(1),
            "recording": In(1),
            "located": Out(1),
            "address": Out(addr_bits),
            "beyond": Out(1),
        }
    )


class Ring(wiring.Component):
    """Indices into the ring, and addresses.

    Parameters
    ----------
    addr_bits : int
        Bits of an address on the bus.

    Members
    -------
    base, size, head : ``In(64)``, ``In(32)``, ``In(16)``
        QBASE, QSIZE and QHEAD.
    consume : ``In(1)``
        A descriptor was consumed, for one cycle.
    tail : ``Out(16)``
        QTAIL.
    pending, overflow, bad : ``Out(16)``, ``Out(1)``, ``Out(1)``
        Descriptors in the ring; more than it has room for; QBASE or QSIZE cannot be.
    ready : ``Out(1)``
        Some are pending, and neither ``overflow`` nor ``bad``.
    low : ``Out(1)``
        High with ``consume`` when that was the last one.
    locate, of_record : ``In(1)``, ``In(1)``
        Work out the address of the descriptor at ``tail``, or of its record.
    recording : ``In(1)``
        Whether an address of a descriptor needs one of its record too.
    located, address, beyond : ``Out(1)``, ``Out(addr_bits)``, ``Out(1)``
        ``located`` is high for one cycle, from which on the others are right: the address, and
        whether the bus does not have it.

    Timing
    ------
    ``pending``, ``overflow`` and ``bad`` follow what they are made of by a cycle. An address takes
    three or four cycles.
    """

    def __init__(self, addr_bits: int):
        self.addr_bits = addr_bits
        super().__init__(ring_signature(addr_bits))

    def elaborate(self, platform: Any) -> Module:
        m, bits = Module(), self.addr_bits
        size, base = self.size, self.base
        pending, after = Signal(16), Signal(16)
        m.d.comb += [
            pending.eq(self.head - self.tail),
            after.eq(self.tail + 1),
            self.low.eq(self.consume & (after == self.head)),
        ]
        with m.If(self.consume):
            m.d.sync += self.tail.eq(after)
        m.d.sync += [
            self.pending.eq(pending),
            self.overflow.eq(pending > size),
            self.bad.eq(
                base[:_ENTRY].any() | (size == 0) | (size & (size - 1)).any() | (size > MAX_QUEUE)
            ),
        ]

        # What reaches beyond the bus has to show, with narrow buses too.
        total = Signal(max(bits, 32) + 1)
        left, addend, place = Signal(3), Signal(16 + _ENTRY), Signal(16)
        start, outside, beyond = Signal(len(total)), total[bits:].any(), Signal()
        m.d.comb += [
            place.eq(self.tail & (size - 1)),
            start.eq(base[:bits]),
            self.address.eq(total),
            self.located.eq(left[-1]),
            self.ready.eq(self.pending.any() & ~self.overflow & ~self.bad),
            self.beyond.eq(outside | beyond),
        ]
        with m.If(left[0]):  # the end of the ring is there
            m.d.comb += [start.eq(total), addend.eq(place << _RECORD)]
            m.d.sync += left.eq(Mux(self.of_record, 0b100, 0b010))
        with m.Elif(left[1]):
            m.d.comb += addend.eq(place << _ENTRY)
            m.d.sync += [left.eq(0b100), beyond.eq(beyond | self.recording & outside)]
        with m.Elif(left[2]):
            m.d.sync += left.eq(0)
        with m.Else():
            m.d.comb += addend.eq(size[:16] << _ENTRY)
        with m.If(self.locate | left[:2].any()):
            m.d.sync += total.eq(start + addend)
        with m.If(self.locate):
            m.d.sync += [left.eq(0b001), beyond.eq(base[bits:].any())]
        return m

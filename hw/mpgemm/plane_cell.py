# SPDX-License-Identifier: Apache-2.0
"""One sum of products, made by counting the ones of pairs of bit planes."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.wideheap import WideHeap
from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.lookup_cells import shifted
from hw.mpgemm.plane_shape import PlaneShape

__all__ = ["PlaneCell"]

#: Pairs of bits that two look-up tables of an FPGA count.
_COUNTED = 3


class PlaneCell(Cell):
    """One sum of a tile: counts of the bits that planes have in common, or do not.

    A pair of planes of weights ``2**i`` and ``2**j`` adds ``2**(i+j)`` for each lane where both
    bits are 1. Where the pair is negative it adds as much where they are not, less a constant. Bits
    that are -1 and +1 add ``2**(i+j+1)`` where they are equal, less a constant, and all lanes of
    the step together what is left. Then all bits of weight and activation are 0 where there is no
    product, and the constant goes with that: a step that is not taken adds zero.

    Where planes come beat by beat, a beat's count is shifted to its place. A plane that is negative
    in the last beat only is counted apart, and then inverted, with a carry.

    Parameters
    ----------
    shape : PlaneShape
    acc_bits : int

    Members
    -------
    en : ``In(1)``
        Lets a step, or a beat, into the sum; used with carry chains or registers only.
    clr : ``In(1)``
        It starts a new sum. Never without a step.
    act : ``In(act.bits * lanes)``
        Plane after plane, plane 0 first; zero without a step.
    wgt : ``In(shape.per_beat * lanes)``
        The same.
    share : ``In(shape.share_bits)``
        What is added besides, signed: with ``bipolar`` to the count, else to the sum.
    look : ``In(1)``
        Lets a count into its register. Present with ``pipeline``.
    top : ``In(1)``
        What is counted is the last beat of its step. Never without a beat. Present where
        ``shape.switched``, as ``carry``.
    carry : ``In(1)``
        The same of what enters the sum.
    place : ``In(shape.place_bits)``
        Number of the beat that enters the sum within its step. Present with several beats.
    acc : ``Out(signed(acc_bits))``

    Timing
    ------
    ``acc`` holds a step one cycle after it came, two with ``pipeline``.

    Source: ABQ-LLM for the counting; Baugh and Wooley, "A two's complement parallel array
    multiplication algorithm" (1973), for the constants.
    """

    def __init__(self, shape: PlaneShape, acc_bits: int):
        self.shape, self._acc_bits = shape, acc_bits
        self.label = f"{shape.label}_c{acc_bits}"
        members: dict[str, Any] = {
            "en": In(1),
            "clr": In(1),
            "act": In(shape.act.bits * shape.lanes),
            "wgt": In(shape.per_beat * shape.lanes),
            "share": In(shape.share_bits),
        }
        if shape.pipeline:
            members["look"] = In(1)
        if shape.switched:
            members |= {"top": In(1), "carry": In(1)}
        if shape.beats > 1:
            members["place"] = In(shape.place_bits)
        super().__init__({**members, "acc": Out(signed(acc_bits))})

    def body(self, platform: Any) -> Module:
        m, shape = Module(), self.shape
        kept = self.acc & (~self.clr).replicate(self._acc_bits)
        if shape.carry_chains:
            heap = BitHeap(m, self._acc_bits, True)
            heap.add(kept.as_signed())
        else:
            heap = WideHeap(m, kept, shape.bound)
        if shape.direct:
            self._counts(m, heap, range(shape.bits))
        else:
            heap.add(*self._beat(m))
        if shape.share_bits and (shape.direct or not shape.bipolar):
            heap.add(self.share.as_signed())
        held = Signal(signed(self._acc_bits), reset_less=True)
        m.d.comb += self.acc.eq(held)
        total = heap.total()  # outside of the condition, which would gate every adder
        with m.If(self.en if shape.carry_chains else Const(1, 1)):
            m.d.sync += held.eq(total)
        return m

    def _beat(self, m: Module) -> tuple[Value, int, Value | None]:
        """Return the count of a beat, in its place, its weight, and what is to be added to it."""
        shape, highest = self.shape, self.shape.per_beat - 1
        lower = range(highest if shape.switched else shape.per_beat)
        carry = Const(0, 1)
        word: Value = Const(0, 1)
        if shape.switched:
            most = shape.lanes * shape.act.max_int
            plane = self._sum(m, BitHeap(m, *self._size(most)), range(highest, shape.per_beat))
            plane = plane if shape.act.signed else Cat(plane, 0)
            word = wire(m, plane ^ self.top.replicate(len(plane)), "switched").as_signed()
        if lower:
            extra = shape.switched and not shape.act.signed
            width, chains = self._size(shape.beat_most)
            heap = BitHeap(m, width + extra, chains)
            if shape.switched:
                heap.add(word, highest, self.top)
            if shape.bipolar:
                heap.add(self.share.as_signed())
            word = self._sum(m, heap, lower)
        elif shape.switched:
            carry = self.carry
        word = wire(m, word, "count")
        word = word.as_signed() if shape.counts_negative or shape.switched else word
        if shape.pipeline:
            word = self._register(m, word)
        if shape.beats > 1:
            most = (shape.beats - 1) * shape.per_beat
            word = word if word.shape().signed else Cat(word, 0).as_signed()
            word = shifted(m, word, self.place, shape.per_beat, most, carry)
        return word, 0, carry if not lower else None

    def _size(self, most: int) -> tuple[int, bool]:
        """Return the bits of a count of this magnitude, and whether it is made of chains."""
        return most.bit_length() + int(self.shape.counts_negative), self.shape.carry_chains

    def _sum(self, m: Module, heap: BitHeap, planes: range) -> Value:
        """Return the sum of a heap and of pairs with planes of the beat, the first of weight 1."""
        self._counts(m, heap, planes)
        return wire(m, Cat(heap.total()), "sum")

    def _register(self, m: Module, word: Value) -> Value:
        """Return ``word`` as it was counted, for gates zero without a beat."""
        held = Signal(word.shape(), reset_less=True, name="counted")
        with m.If(self.look):
            m.d.sync += held.eq(word)
        if self.shape.carry_chains:
            return held
        taken = wire(m, Cat(held) & self.en.replicate(len(held)), "taken")
        return taken.as_signed() if word.shape().signed else taken

    def _counts(self, m: Module, heap: BitHeap, planes: range) -> None:
        """Add what is counted of pairs with planes of the beat, the first of weight 1."""
        shape = self.shape
        heap.add_constant(-(shape.constant(planes) >> planes.start))
        for i in range(shape.act.bits):
            for j in planes:
                pairs = self._pairs(m, i, j)
                self._count(m, heap, pairs, i + j - planes.start + int(shape.bipolar))

    def _pairs(self, m: Module, act_plane: int, plane: int) -> Value:
        """Return the bits to be counted of two planes, a bit a lane."""
        act = self.act.word_select(act_plane, self.shape.lanes)
        weight = self.wgt.word_select(plane, self.shape.lanes)
        if self.shape.bipolar:
            return wire(m, ~(act ^ weight), "equal")
        both = act & weight
        return wire(m, ~both if self.shape.negative(act_plane, plane) else both, "both")

    def _count(self, m: Module, heap: BitHeap, bits: Value, weight: int) -> None:
        if not self.shape.carry_chains:
            for bit in bits:
                heap.add(bit, weight)
            return
        for start in range(0, len(bits), _COUNTED):
            few = bits[start : start + _COUNTED]
            heap.add(wire(m, sum(few[1:], few[0])[: len(few).bit_length()], "count"), weight)

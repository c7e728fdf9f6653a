# SPDX-License-Identifier: Apache-2.0
"""Sums of products by counting the ones of pairs of bit planes."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.constants import add_multiple
from hw.arith.wideheap import WideHeap
from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.decoded import DecodedRows
from hw.mpgemm.lookup_cells import shifted
from hw.mpgemm.plane_shape import PlaneShape
from hw.mpgemm.shape import Shape

__all__ = ["PlaneCell", "PlaneRow", "PlaneRows"]

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


class PlaneRow(Cell):
    """One row of a tile: the planes of its activations, and its sums.

    Parameters
    ----------
    shape : PlaneShape
    columns : int
    acc_bits : int

    Members
    -------
    en : ``In(pipeline + 1)``
        A bit for each stage; the highest lets a step into the sums.
    clr : ``In(1)``
        That step starts new sums.
    act : ``In(lanes codes)``
    wgt : ``In``
        As of :meth:`PlaneRows.decode`.
    sums : ``Out(columns * acc_bits)``

    Timing
    ------
    ``pipeline + 1`` cycles from ``act`` to ``sums``.
    """

    def __init__(self, shape: PlaneShape, columns: int, acc_bits: int):
        self.shape, self._columns, self._acc_bits = shape, columns, acc_bits
        self.label = f"row{columns}_{shape.label}_c{acc_bits}"
        super().__init__(
            {
                "en": In(shape.pipeline + 1),
                "clr": In(1),
                "act": In(shape.lanes * shape.act.bits),
                "wgt": In(columns * shape.per_beat * shape.lanes + sum(_beside(shape).values())),
                "sums": Out(columns * acc_bits),
            }
        )

    def body(self, platform: Any) -> Module:
        m, shape, bits = Module(), self.shape, self._acc_bits
        beside, at = {}, self._columns * shape.per_beat * shape.lanes
        for name, size in _beside(shape).items():
            beside[name] = self.wgt[at : at + size]
            at += size
        look, en = self.en[-1 - min(shape.pipeline, 1)], self.en[-1]
        act: Value = self.act
        if shape.pipeline == 2:
            held = Signal(len(act), reset_less=True, name="act_held")
            with m.If(self.en[0]):
                m.d.sync += held.eq(act)
            act = held
        if shape.bipolar or (shape.direct and shape.zero):
            act = wire(m, act & look.replicate(len(act)), "act_taken")
        planes = [act[plane :: shape.act.bits] for plane in range(shape.act.bits)]
        share = beside.get("share", Const(0, 0))
        if shape.zero:
            share = self._zero_share(m, act)
            if not shape.direct:
                share = self._later(m, share, look & beside.get("low", Const(1, 1)), look)
        carry = beside.get("carry", Const(0, 1))
        if shape.switched and shape.pipeline:
            carry = wire(m, carry & en, "carry_taken")
        starts = wire(m, self.clr & en, "starts")
        for c in range(self._columns):
            m.submodules[f"column{c}"] = cell = PlaneCell(shape, bits)
            m.d.comb += [
                cell.en.eq(en),
                cell.clr.eq(starts),
                cell.act.eq(Cat(*planes)),
                cell.wgt.eq(self.wgt.word_select(c, len(cell.wgt))),
                cell.share.eq(share),
                self.sums.word_select(c, bits).eq(cell.acc),
            ]
            if shape.pipeline:
                m.d.comb += cell.look.eq(look)
            if shape.switched:
                m.d.comb += [cell.top.eq(beside["top"]), cell.carry.eq(carry)]
            if shape.beats > 1:
                m.d.comb += cell.place.eq(beside["place"])
        return m

    def _zero_share(self, m: Module, act: Value) -> Value:
        """Return what the zero point of the weights takes off all sums of the row."""
        shape = self.shape
        size = 1 + (shape.lanes * shape.act.max_int).bit_length()
        total = BitHeap(m, size, shape.carry_chains)
        for lane in range(shape.lanes):
            code = act.word_select(lane, shape.act.bits)
            total.add(code.as_signed() if shape.act.signed else code)
        heap = BitHeap(m, shape.share_bits, shape.carry_chains)
        add_multiple(m, heap, total.total(), -shape.zero)
        return wire(m, Cat(heap.total()), "zero_share")

    def _later(self, m: Module, share: Value, counts: Value, look: Value) -> Value:
        """Return ``share`` when its beat enters the sums, zero where it does not count."""
        share = wire(m, share & counts.replicate(len(share)), "share_counted")
        if not self.shape.pipeline:
            return share
        held = Signal(len(share), reset_less=True, name="share_held")
        with m.If(look):
            m.d.sync += held.eq(share)
        return wire(m, held & self.en[-1].replicate(len(held)), "share_taken")


class PlaneRows(DecodedRows):
    """Rows of counters, for :class:`~hw.mpgemm.decoded.Decoded`."""

    def __init__(self, planes: PlaneShape, shape: Shape):
        super().__init__(shape, planes.pipeline + 1)
        self.planes = planes
        self.weights_stage = max(planes.pipeline - 1, 0)
        self.decoded_bits = shape.wgt_bits + sum(_beside(planes).values())

    def new_row(self) -> PlaneRow:
        """Return a new row."""
        return PlaneRow(self.planes, self.shape.columns, self.sum_bits)

    def decode(self, m: Module, word: Value, taken: Value) -> Value:
        """Return the planes to be counted, zero without a step, and what goes beside them."""
        planes, at = self.planes, self.shape.wgt_bits
        keep = taken.replicate(planes.lanes)
        if planes.bipolar:
            keep = wire(m, word[at : at + planes.lanes] & keep, "lanes_taken")
            at += planes.lanes
        words = []
        for number in range(self.shape.columns * planes.per_beat):
            plane = word.word_select(number, planes.lanes)
            if planes.shifted and number % planes.per_beat == planes.per_beat - 1:
                plane = ~plane
            words.append(plane & keep)
        if planes.bipolar:
            words.append(self._lanes_share(m, keep))
        if planes.beats > 1:
            words += self._places(m, word[at], word[at + 1] & taken, taken)
        return wire(m, Cat(*words), "planes")

    def _lanes_share(self, m: Module, keep: Value) -> Value:
        """Return what the lanes of a beat add to all sums: each the largest product."""
        planes = self.planes
        lanes = BitHeap(m, planes.lanes.bit_length(), planes.carry_chains)
        for lane in keep:
            lanes.add(lane)
        count = wire(m, Cat(lanes.total(), Const(0, 1)).as_signed(), "lanes")
        heap = BitHeap(m, planes.share_bits, planes.carry_chains)
        add_multiple(m, heap, count, planes.beat_most // planes.lanes)
        return wire(m, Cat(heap.total()), "lanes_share")

    def _places(self, m: Module, low: Value, top: Value, taken: Value) -> list[Value]:
        """Return the position of a beat within its step, as of :func:`_beside`."""
        planes = self.planes
        count = Signal(planes.place_bits)
        # A job that fails leaves a step behind: only its first beat says where the next one is.
        place = wire(m, count & (~low).replicate(len(count)), "place")
        with m.If(taken):
            m.d.sync += count.eq(place + 1)
        here = {"low": low, "top": top, "carry": top, "place": place}
        if planes.pipeline:
            for name in ("carry", "place"):
                held = Signal(len(here[name]), reset_less=True, name=f"{name}_held")
                with m.If(taken):
                    m.d.sync += held.eq(here[name])
                here[name] = held
        return [here[name] for name in _beside(planes) if name in here]


def _beside(shape: PlaneShape) -> dict[str, int]:
    """Return the bits of what goes beside the planes of a beat, by names, in their order.

    ``share`` is that of all sums, ``low`` marks the first beat of a step; the others are members of
    :class:`PlaneCell`.
    """
    bits = {"share": shape.share_bits} if shape.bipolar else {}
    if shape.beats > 1:
        if shape.zero:
            bits["low"] = 1
        if shape.switched:
            bits |= {"top": 1, "carry": 1}
        bits["place"] = shape.place_bits
    return bits

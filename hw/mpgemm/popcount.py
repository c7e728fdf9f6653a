# SPDX-License-Identifier: Apache-2.0
"""Rows of sums that count the ones of pairs of bit planes, and the planes for them."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.constants import add_multiple
from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.decoded import DecodedRows
from hw.mpgemm.plane_cell import PlaneCell
from hw.mpgemm.plane_shape import PlaneShape
from hw.mpgemm.shape import Shape

__all__ = ["PlaneRow", "PlaneRows"]


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

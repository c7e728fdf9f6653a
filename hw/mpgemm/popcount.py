# SPDX-License-Identifier: Apache-2.0
"""Sums of products by counting the ones of pairs of bit planes."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.constants import add_multiple
from hw.arith.wideheap import WideHeap
from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.shape import Shape
from hw.spec.formats import IntFormat

__all__ = ["PlaneCell", "PlaneRow", "PlaneRows", "PlaneShape"]

#: Pairs of bits that two look-up tables of an FPGA count.
_COUNTED = 3


@dataclass(frozen=True)
class PlaneShape:
    """What decides the logic of a row of counters, but for the width of its sums."""

    bits: int  #: Bit planes of the weights.
    lanes: int  #: Products of a step.
    act: IntFormat
    scheme: str  #: ``twos``, ``offset`` or ``bipolar``.
    zero_point: int | None = None  #: With ``offset``: what to take off, half of the codes for None.
    carry_chains: bool = False

    @property
    def bipolar(self) -> bool:
        """Whether bits are digits -1 and +1."""
        return self.scheme == "bipolar"

    @property
    def shifted(self) -> bool:
        """Whether weights are two's complement but for their top bit."""
        half = 1 << self.bits - 1
        return self.scheme == "offset" and self.zero_point in (None, half)

    @property
    def signed(self) -> bool:
        """Whether the top plane of the weights, as they are counted, is negative."""
        return self.scheme == "twos" or self.shifted

    @property
    def max_weight(self) -> int:
        """Largest magnitude of a weight."""
        if self.bipolar:
            return (1 << self.bits) - 1
        if self.signed:
            return 1 << self.bits - 1
        assert self.zero_point is not None
        return max(self.zero_point, (1 << self.bits) - 1 - self.zero_point)

    @property
    def zero(self) -> int:
        """What the sum of a row's activations has to be multiplied with, and taken off."""
        return 0 if self.signed or self.bipolar else self.zero_point or 0

    @property
    def row_most(self) -> int:
        """Largest magnitude of what a row adds to all its sums in a step."""
        return self.zero * self.lanes * self.act.max_int

    @property
    def share_bits(self) -> int:
        """Bits of what all sums, or those of a row, have in common; signed; 0 for nothing."""
        most = self.lanes * self.most if self.bipolar else self.row_most
        return 1 + most.bit_length() if most else 0

    @property
    def most(self) -> int:
        """Largest magnitude of a product."""
        return self.max_weight * self.act.max_int

    @property
    def constant(self) -> int:
        """What the counted ones have to be reduced by: see :meth:`negative`."""
        if self.bipolar:
            return 2 * self.lanes * self.most
        pairs = [(i, j) for i in range(self.act.bits) for j in range(self.bits)]
        return self.lanes * sum(1 << i + j for i, j in pairs if self.negative(i, j))

    def negative(self, act_plane: int, plane: int) -> bool:
        """Whether a pair of planes counts negative: then its zeros are counted instead."""
        top_act = self.act.signed and not self.bipolar and act_plane == self.act.bits - 1
        top = self.signed and plane == self.bits - 1
        return top_act != top

    @property
    def bound(self) -> int:
        """Largest magnitude of what one step adds to a sum."""
        return self.lanes * self.most

    @property
    def label(self) -> str:
        """What decides the logic, as part of a name."""
        kind = "shifted" if self.shifted else self.scheme
        zero = f"_z{self.zero}" if self.zero else ""
        chains = "_chains" if self.carry_chains else ""
        return f"planes{self.bits}x{self.lanes}_{self.act.name}_{kind}{zero}{chains}"


class PlaneCell(Cell):
    """One sum of a tile: counts of the bits that planes have in common, or do not.

    A pair of planes of weights ``2**i`` and ``2**j`` adds ``2**(i+j)`` for each lane where both
    bits are 1. Where the pair is negative it adds as much where they are not, less a constant. Bits
    that are -1 and +1 add ``2**(i+j+1)`` where they are equal, less a constant, and all lanes of
    the step together what is left. Then all bits of weight and activation are 0 where there is no
    product, and the constant goes with that: a step that is not taken adds zero.

    Parameters
    ----------
    shape : PlaneShape
    acc_bits : int

    Members
    -------
    en : ``In(1)``
        Lets a step into the sum; used with carry chains only.
    clr : ``In(1)``
        It starts a new sum. Never without a step.
    act : ``In(act.bits * lanes)``
        Plane after plane, plane 0 first; zero without a step.
    wgt : ``In(bits * lanes)``
        The same.
    share : ``In(shape.share_bits)``
        What is added besides, signed.
    acc : ``Out(signed(acc_bits))``

    Timing
    ------
    ``acc`` holds a step one cycle after it came.

    Source: ABQ-LLM for the counting; Baugh and Wooley, "A two's complement parallel array
    multiplication algorithm" (1973), for the constants.
    """

    def __init__(self, shape: PlaneShape, acc_bits: int):
        self.shape, self._acc_bits = shape, acc_bits
        self.label = f"{shape.label}_c{acc_bits}"
        super().__init__(
            {
                "en": In(1),
                "clr": In(1),
                "act": In(shape.act.bits * shape.lanes),
                "wgt": In(shape.bits * shape.lanes),
                "share": In(shape.share_bits),
                "acc": Out(signed(acc_bits)),
            }
        )

    def body(self, platform: Any) -> Module:
        m, shape = Module(), self.shape
        kept = self.acc & (~self.clr).replicate(self._acc_bits)
        if shape.carry_chains:
            heap = BitHeap(m, self._acc_bits, True)
            heap.add(kept.as_signed())
        else:
            heap = WideHeap(m, kept, shape.bound)
        heap.add_constant(-shape.constant)
        for i in range(shape.act.bits):
            for j in range(shape.bits):
                pairs = self._pairs(m, i, j)
                self._count(m, heap, pairs, i + j + int(shape.bipolar))
        if shape.share_bits:
            heap.add(self.share.as_signed())
        held = Signal(signed(self._acc_bits), reset_less=True)
        m.d.comb += self.acc.eq(held)
        with m.If(self.en if shape.carry_chains else Const(1, 1)):
            m.d.sync += held.eq(heap.total())
        return m

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
    en, clr : ``In(1)``
        A step comes; it starts new sums.
    act : ``In(lanes codes)``
    wgt : ``In``
        Planes of all columns, zero without a step; above them for ``bipolar`` the share.
    sums : ``Out(columns * acc_bits)``

    Timing
    ------
    One cycle.
    """

    def __init__(self, shape: PlaneShape, columns: int, acc_bits: int):
        self.shape, self._columns, self._acc_bits = shape, columns, acc_bits
        self.label = f"row{columns}_{shape.label}_c{acc_bits}"
        share = shape.share_bits if shape.bipolar else 0
        super().__init__(
            {
                "en": In(1),
                "clr": In(1),
                "act": In(shape.lanes * shape.act.bits),
                "wgt": In(columns * shape.bits * shape.lanes + share),
                "sums": Out(columns * acc_bits),
            }
        )

    def body(self, platform: Any) -> Module:
        m, shape, bits = Module(), self.shape, self._acc_bits
        act = self.act
        if shape.bipolar or shape.zero:
            act = wire(m, act & self.en.replicate(len(act)), "act_taken")
        planes = [act[plane :: shape.act.bits] for plane in range(shape.act.bits)]
        share: Value = self.wgt[self._columns * shape.bits * shape.lanes :]
        if shape.zero:
            share = self._zero_share(m, act)
        starts = wire(m, self.clr & self.en, "starts")
        for c in range(self._columns):
            m.submodules[f"column{c}"] = cell = PlaneCell(shape, bits)
            m.d.comb += [
                cell.en.eq(self.en),
                cell.clr.eq(starts),
                cell.act.eq(Cat(*planes)),
                cell.wgt.eq(self.wgt.word_select(c, len(cell.wgt))),
                cell.share.eq(share),
                self.sums.word_select(c, bits).eq(cell.acc),
            ]
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


class PlaneRows:
    """Rows of counters, for :class:`~hw.mpgemm.decoded.Decoded`."""

    cell_latency = 1

    def __init__(self, planes: PlaneShape, shape: Shape):
        self.planes, self.shape, self.sum_bits = planes, shape, shape.acc_bits
        self.decoded_bits = shape.wgt_bits + (planes.share_bits if planes.bipolar else 0)

    def new_row(self) -> PlaneRow:
        """Return a new row."""
        return PlaneRow(self.planes, self.shape.columns, self.sum_bits)

    def split(self, word: Value) -> tuple[Value, Value]:
        """Return the sum, and that it is no NaN."""
        return word, Const(0, 1)

    def decode(self, m: Module, word: Value, taken: Value) -> Value:
        """Return the planes to be counted, and what all sums have in common."""
        planes, size = self.planes, self.shape.wgt_bits
        keep = taken.replicate(planes.lanes)
        if planes.bipolar:
            keep = wire(m, word[size:] & keep, "lanes_taken")
        words = []
        for number in range(self.shape.columns * planes.bits):
            plane = word.word_select(number, planes.lanes)
            if planes.shifted and number % planes.bits == planes.bits - 1:
                plane = ~plane
            words.append(plane & keep)
        if planes.bipolar:
            words.append(self._lanes_share(m, keep))
        return wire(m, Cat(*words), "planes")

    def _lanes_share(self, m: Module, keep: Value) -> Value:
        """Return what the lanes of a step add to all sums: each the largest product."""
        planes = self.planes
        lanes = BitHeap(m, planes.lanes.bit_length(), planes.carry_chains)
        for lane in keep:
            lanes.add(lane)
        count = wire(m, Cat(lanes.total(), Const(0, 1)).as_signed(), "lanes")
        heap = BitHeap(m, planes.share_bits, planes.carry_chains)
        add_multiple(m, heap, count, planes.most)
        return wire(m, Cat(heap.total()), "lanes_share")

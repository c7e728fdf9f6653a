# SPDX-License-Identifier: Apache-2.0
"""Datapath for weights with pruned bit columns, a column a step.

Of a column of weight bits either the ones or the zeros are few: the activations at the ones are
added, or those at the zeros subtracted from the sum of all. So four adders' inputs serve eight
activations. Source: BitVert, "Bi-directional bit-level sparsity" (2024).
"""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.recode import Digit, multiple
from hw.arith.wires import wire
from hw.cell import Cell
from hw.pe.params import PEParams

__all__ = ["BitColumns", "Column", "GroupSums"]

_SUB = 8  #: Activations of a sub-group.
_SLOTS = 4  #: Those of them that are added in a step.
_SUM_BITS = 11  #: Of the sum of a sub-group.
_WINDOW = 5  #: Neighbours among which a slot chooses.
_DIGITS = 4  #: Booth digits of the constant.
_LARGEST = 192  #: Magnitude of a weight: 128 and a constant of 64.


class Column(Cell):
    """Sum of the activations of a sub-group at the ones of a column of weight bits.

    Parameters
    ----------
    carry_chains : bool
        Add with the carry chains of an FPGA.

    Members
    -------
    bits : ``In(8)``
    a : ``In(64)``
        Activations, int8, the first in the low bits.
    total : ``In(signed(11))``
        Their sum.
    p : ``Out(signed(11))``

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, carry_chains: bool = False):
        self.carry_chains = carry_chains
        self.label = f"bbs_column{'_chains' if carry_chains else ''}"
        super().__init__(
            {
                "bits": In(_SUB),
                "a": In(64),
                "total": In(signed(_SUM_BITS)),
                "p": Out(signed(_SUM_BITS)),
            }
        )

    def body(self, platform: Any) -> Module:
        m = Module()
        # With each half sorted, more than four ones are more than k and more than 3 - k.
        low, high = (_sorted(m, list(self.bits[k : k + 4])) for k in (0, 4))
        inverted = wire(m, Cat(low[k] & high[3 - k] for k in range(4)).any(), "inverted")
        left = list(wire(m, self.bits ^ inverted.replicate(_SUB), "ones"))
        heap = BitHeap(m, 10, self.carry_chains)
        for slot in range(_SLOTS):
            word: Value = Const(0, 8)
            before: Value = Const(0, 1)
            for place in range(slot, slot + _WINDOW):
                taken = wire(m, left[place] & ~before, "taken")
                before = wire(m, before | left[place], "before")
                left[place] = wire(m, left[place] & ~taken, "left")
                word = word | self.a.word_select(place, 8) & taken.replicate(8)
            heap.add(word.as_signed())
        part = heap.total()
        signed_part = (Cat(part) ^ inverted.replicate(10)).as_signed()
        whole = (Cat(self.total) & inverted.replicate(_SUM_BITS)).as_signed()
        sums = BitHeap(m, _SUM_BITS, self.carry_chains)
        sums.add(whole)
        sums.add(signed_part, carry=inverted)
        m.d.comb += self.p.eq(sums.total())
        return m


def _sorted(m: Module, bits: list[Value]) -> list[Value]:
    """Return four bits with the ones first."""
    for i, j in ((0, 1), (2, 3), (0, 2), (1, 3), (1, 2)):
        either, both = wire(m, bits[i] | bits[j], "either"), wire(m, bits[i] & bits[j], "both")
        bits[i], bits[j] = either, both
    return bits


class GroupSums(Cell):
    """Sums of the activations of each sub-group; one serves any number of :class:`BitColumns`.

    Parameters
    ----------
    lanes : int
        A multiple of 8.
    carry_chains : bool
        Add with the carry chains of an FPGA.

    Members
    -------
    a : ``In(8 * lanes)``
        Activations, int8, lane 0 in the low bits.
    sums : ``Out(11 * lanes/8)``
        Signed sums of 8 neighbours each, the first in the low bits.

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, lanes: int, carry_chains: bool = False):
        self.carry_chains = carry_chains
        self.label = f"bbs_sums_l{lanes}{'_chains' if carry_chains else ''}"
        super().__init__({"a": In(8 * lanes), "sums": Out(_SUM_BITS * (lanes // _SUB))})

    def body(self, platform: Any) -> Module:
        m = Module()
        sums = []
        for group in _words(self.a, 8 * _SUB):
            heap = BitHeap(m, _SUM_BITS, self.carry_chains)
            for word in _words(group, 8):
                heap.add(word.as_signed())
            sums.append(heap.total())
        m.d.comb += self.sums.eq(Cat(sums))
        return m


class BitColumns(Cell):
    """Add one column of weight bits, times the activations, to an exact sum.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`

    Members
    -------
    en : ``In(1)``
        Take this step.
    clr : ``In(1)``
        With ``en``: this step starts a new sum.
    step : ``In``
        Number of the column, that of the lowest bits first.
    a, w : ``In``
        Activations, int8, and stored weights, lane 0 in the low bits, the same in every step.
    sums : ``In``
        What :class:`GroupSums` makes of ``a``.
    r : ``In(2)``
        Redundant columns among the pruned ones.
    c : ``In(signed(7))``
        What is added to every weight.
    acc : ``Out(signed)``
        The sum so far, exact.

    Timing
    ------
    ``acc`` holds a step one cycle after it.
    """

    def __init__(self, params: PEParams):
        self.params = params
        self.zero_columns = params.zero_columns or 0
        self.columns = columns = _SUB - self.zero_columns
        products = params.max_k * 128 * _LARGEST
        self.width = max(params.acc_bits or 0, 1 + products.bit_length())
        chains = "_chains" if params.carry_chains else ""
        self.label = f"bbs_l{params.lanes}_z{self.zero_columns}_c{self.width}{chains}"
        super().__init__(
            {
                "en": In(1),
                "clr": In(1),
                "step": In((columns - 1).bit_length()),
                "a": In(8 * params.lanes),
                "w": In(columns * params.lanes),
                "sums": In(_SUM_BITS * (params.lanes // _SUB)),
                "r": In(2),
                "c": In(signed(7)),
                "acc": Out(signed(self.width)),
            }
        )

    def body(self, platform: Any) -> Module:
        m = Module()
        chains, lanes = self.params.carry_chains, self.params.lanes
        bits = [w.bit_select(self.step, 1) for w in _words(self.w, self.columns)]
        beat = BitHeap(m, 10 + lanes.bit_length(), chains)
        whole = BitHeap(m, 8 + lanes.bit_length(), chains)
        for start, total in zip(range(0, lanes, _SUB), _words(self.sums, _SUM_BITS), strict=True):
            m.submodules[f"column{start}"] = column = Column(chains)
            m.d.comb += [
                column.bits.eq(Cat(bits[start : start + _SUB])),
                column.a.eq(self.a[8 * start : 8 * (start + _SUB)]),
                column.total.eq(total),
            ]
            beat.add(column.p)
            whole.add(total.as_signed())
        heap = BitHeap(m, self.width, chains)
        top = wire(m, self.step == self.columns - 1, "top")
        _add_shifted(m, heap, beat.total(), top, self._place(m))
        for row, negative, shift in self._constant(m, whole.total()):
            _add_shifted(m, heap, row, negative, shift)
        kept = self.acc & (~self.clr).replicate(self.width)
        if chains:
            following = kept.as_signed() + heap.total()
        else:
            heap.add(kept)
            following = heap.total()
        with m.If(self.en):
            m.d.sync += self.acc.eq(following)
        return m

    def _place(self, m: Module) -> Value:
        """Return the weight of the column: its number, and the pruned ones below it."""
        pruned = self.zero_columns
        below = [pruned - min(r, pruned) for r in range(4)]
        if not any(below):
            return self.step
        base = Mux(
            self.r[1], Mux(self.r[0], below[3], below[2]), Mux(self.r[0], below[1], below[0])
        )
        return wire(m, (self.step + base)[:3], "place")

    def _constant(self, m: Module, whole: Value) -> list[tuple[Value, Value, Value]]:
        """Return (row, whether it is to be negated, shift) for this step's part of ``c * whole``.

        A Booth digit a step, two a step where there are fewer than four steps.
        """
        each = 1 if self.columns >= _DIGITS else 2
        rows = []
        for number in range(each):
            starts = [2 * (each * k + number) for k in range(self.columns)]
            bits = [Const(0, 1), *self.c, *[self.c[-1]] * (2 * each * self.columns)]
            low, mid, high = (
                wire(m, Cat(bits[start + k] for start in starts).bit_select(self.step, 1))
                for k in range(3)
            )
            one = wire(m, low ^ mid, "one")
            row, _ = multiple(Digit(0, one, wire(m, (mid ^ high) & ~one, "two"), None), whole)
            at = self.step[:2] if each == 1 else self.step[:1]
            shift = Cat(Const(0, 1), at) if each == 1 else Cat(Const(0, 1), Const(number, 1), at)
            rows.append((wire(m, row, "digit"), high, shift))
        return rows


def _words(word: Value, bits: int) -> list[Value]:
    return [word[k : k + bits] for k in range(0, len(word), bits)]


def _add_shifted(m: Module, heap: BitHeap, word: Value, negative: Value, shift: Value) -> None:
    """Add ``word << shift``, or its negative: the complement, filled from below with ones."""
    most = (1 << len(shift)) - 1
    bits = Cat(Const(0, most), word) ^ negative.replicate(most + len(word))
    filled = wire(m, bits.as_signed(), "filled")
    heap.add((filled << shift)[most:].as_signed(), carry=negative)

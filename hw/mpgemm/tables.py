# SPDX-License-Identifier: Apache-2.0
"""Tables of the sums that a group of activations can make with weights of one bit."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Value
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.aligned import Activation

__all__ = ["TableBuilder", "TableShape"]


@dataclass(frozen=True)
class TableShape:
    """What decides the entries of a table.

    A half table holds ``T[p] = a[g-1] + sum(a[i] if p[i] else -a[i] for i < g-1)``, entry 0 first.
    Its other half is the same with the sign changed. All entries are even, or all odd; the last
    one is the sum of the activations. A full table holds ``U[p] = sum(a[i] for i where p[i])`` for
    ``p`` from 1.

    Source: LUT Tensor Core (ISCA 2025) for the half tables.
    """

    group: int  #: Activations, ``g``.
    act: Activation  #: The integers that they are.
    half: bool  #: Whether only one sign is stored.
    carry_chains: bool = False  #: Whether sums are built for the carry chains of an FPGA.
    rounded_bits: int | None = None  #: Bits of entries that may be anything, of rounded tables.

    @property
    def low(self) -> int:
        """Least activation."""
        return self.act.low

    @property
    def high(self) -> int:
        """Greatest activation."""
        return self.act.high

    @property
    def indices(self) -> range:
        """Indices of the entries."""
        return range(1 << self.group - 1) if self.half else range(1, 1 << self.group)

    @property
    def entry_bits(self) -> int:
        """Bits of a stored entry, which is signed; its negation can need one more."""
        if self.rounded_bits:
            return self.rounded_bits
        if not self.half:
            return _signed_bits(self.group * self.low, self.group * self.high)
        others = (self.group - 1) * max(-self.low, self.high)
        return _signed_bits(self.low - others, self.high + others)

    @property
    def bits(self) -> int:
        """Bits of the table."""
        return len(self.indices) * self.entry_bits

    @property
    def port_entries(self) -> int:
        """Entries of a table on a port, where a full one has entry 0 too."""
        return 1 << self.group - int(self.half)

    @property
    def port_entry_bits(self) -> int:
        """Bits of an entry on a port: those of the negation too, unless it is rounded."""
        if self.rounded_bits:
            return self.rounded_bits
        most = self.group * max(-self.low, self.high)
        return 1 + most.bit_length() if self.half else self.entry_bits

    @property
    def port_bits(self) -> int:
        """Bits of a table on a port."""
        return self.port_entries * self.port_entry_bits

    def from_port(self, word: Value) -> Value:
        """Return the table that lies on a port."""
        words = [word.word_select(index, self.port_entry_bits) for index in self.indices]
        return Cat(entry[: self.entry_bits] for entry in words)

    def to_port(self, table: Value) -> Value:
        """Return a table as it lies on a port."""
        words = [table.word_select(k, self.entry_bits) for k in range(len(self.indices))]
        entries = [_extended(word.as_signed(), self.port_entry_bits) for word in words]
        return Cat(*([] if self.half else [Const(0, self.port_entry_bits)]), *entries)

    @property
    def label(self) -> str:
        """What decides the builder's logic, as part of a name."""
        kind = "half" if self.half else "full"
        entries = f"r{self.rounded_bits}" if self.rounded_bits else self.act.name
        return f"{kind}{self.group}_{entries}{'_chains' if self.carry_chains else ''}"


class TableBuilder(Cell):
    """The table of one group of activations, at once.

    Every entry is one addition to another entry: a half table takes ``2**(g-1) + g - 2`` adders,
    a full one ``2**g - 1 - g``.

    Parameters
    ----------
    shape : TableShape

    Members
    -------
    act : ``In(group * shape.act.bits)``
        Integers, activation 0 low.
    table : ``Out(shape.bits)``
        Entries in order of index, the first low, each signed.

    Timing
    ------
    Combinational.
    """

    def __init__(self, shape: TableShape):
        self.shape = shape
        self.label = f"table_{shape.label}"
        self.latency = 0
        super().__init__({"act": In(shape.group * shape.act.bits), "table": Out(shape.bits)})

    def body(self, platform: Any) -> Module:
        m, shape = Module(), self.shape
        codes = [self.act.word_select(i, shape.act.bits) for i in range(shape.group)]
        acts = [c.as_signed() if shape.act.signed else c for c in codes]
        entries = self._half(m, acts) if shape.half else self._full(m, acts)
        m.d.comb += self.table.eq(Cat(*entries))
        return m

    def _half(self, m: Module, acts: list[Value]) -> list[Value]:
        """Return the entries, whose lowest bits are one and the same: only the rest is added."""
        width = self.shape.entry_bits
        heap = BitHeap(m, width, self.shape.carry_chains)
        self._add(heap, acts[-1])
        for act in acts[:-1]:
            self._add(heap, act, negative=True)
        first = heap.total()
        halves: dict[int, Value] = {0: first[1:]}
        for index in self.shape.indices[1:]:
            halves[index] = self._plus(m, halves, index, acts, width - 1)
        return [Cat(first[0], halves[index]) for index in self.shape.indices]

    def _full(self, m: Module, acts: list[Value]) -> list[Value]:
        width = self.shape.entry_bits
        sums: dict[int, Value] = {1 << i: _extended(a, width) for i, a in enumerate(acts)}
        for index in self.shape.indices:
            if index not in sums:
                sums[index] = self._plus(m, sums, index, acts, width)
        return [sums[index] for index in self.shape.indices]

    def _plus(
        self, m: Module, entries: dict[int, Value], index: int, acts: list[Value], width: int
    ) -> Value:
        """Return the entry that the lowest bit of ``index`` makes of another one."""
        lowest = (index & -index).bit_length() - 1
        heap = BitHeap(m, width, self.shape.carry_chains)
        self._add(heap, entries[index & index - 1].as_signed())
        self._add(heap, acts[lowest])
        return wire(m, Cat(heap.total()), f"entry{index}")

    def _add(self, heap: BitHeap, value: Value, negative: bool = False) -> None:
        """Add ``value``, or take it off. For gates its sign is extended: the bits are few."""
        word = value if value.shape().signed else Cat(value, Const(0, 1)).as_signed()
        if negative:
            word = (~word).as_signed()
            heap.add_constant(1)
        if not self.shape.carry_chains:
            word = _extended(word, heap.width)
        heap.add(word)


def _extended(value: Value, width: int) -> Value:
    """Return ``value`` in ``width`` bits."""
    sign = value[-1] if value.shape().signed else Const(0, 1)
    return Cat(value, sign.replicate(width - len(value)))


def _signed_bits(low: int, high: int) -> int:
    """Return the bits of a two's complement word for ``low`` to ``high``."""
    return max((-low - 1).bit_length() if low < 0 else 0, high.bit_length()) + 1

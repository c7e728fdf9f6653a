# SPDX-License-Identifier: Apache-2.0
"""Sizes of the lookup engine, and the bounds of what it adds."""

from dataclasses import dataclass

from hw.mpgemm.tables import TableShape
from hw.spec.formats import IntFormat

__all__ = ["LookupShape"]


@dataclass(frozen=True)
class LookupShape:
    """What decides the logic of the lookup engine, but for the width of its sums."""

    bits: int  #: Most bit planes of a weight.
    planes: int  #: Bit planes in a beat.
    group: int  #: Activations that share a table.
    tables: int  #: Tables of a row.
    rows: int
    columns: int
    act: IntFormat
    half: bool  #: Whether tables store one sign only.
    twos: bool  #: Whether weights are two's complement, else they have an offset.
    zero_point: int | None  #: Constant offset; None: half of the codes of a job's weights.
    outside: bool = False  #: Whether tables come instead of activations.
    pipeline: int = 0  #: 1: tables are registered, 2: also the sums of a beat.
    carry_chains: bool = False

    @property
    def table(self) -> TableShape:
        """The tables."""
        return TableShape(self.group, self.act, self.half, self.carry_chains)

    @property
    def depth(self) -> int:
        """Products of a step."""
        return self.group * self.tables

    @property
    def beats(self) -> int:
        """Most beats of weights in a step."""
        return -(-self.bits // self.planes)

    @property
    def wgt_bits(self) -> int:
        """Bits of a beat of weights."""
        return self.columns * self.planes * self.depth

    @property
    def row_bits(self) -> int:
        """Bits of one row's part in a beat of activations."""
        return self.tables * self.table.bits if self.outside else self.depth * self.act.bits

    @property
    def max_weight(self) -> int:
        """Largest magnitude of a weight."""
        if self.zero_point is None:
            return 1 << self.bits - 1
        return max(self.zero_point, (1 << self.bits) - 1 - self.zero_point)

    @property
    def negative_top(self) -> bool:
        """Whether the highest plane counts negative.

        So it does with an offset of half of the codes too, for the plane inverted: minus the sum of
        what the plane leaves out is the sum of what it has, less the sum of all.
        """
        return self.zero_point is None

    @property
    def half_bits(self) -> int:
        """Bits of an entry as it is looked up: all entries of a half table have the same bit 0."""
        return self.table.entry_bits - int(self.half)

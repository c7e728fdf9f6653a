# SPDX-License-Identifier: Apache-2.0
"""Sizes of the lookup engine, and the bounds of what it adds."""

from dataclasses import dataclass

from hw.mpgemm.aligned import Activation
from hw.mpgemm.tables import TableShape

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
    act: Activation
    half: bool  #: Whether tables store one sign only.
    zero_point: int | None  #: What to take off each weight; None: half of the codes of its planes.
    outside: bool = False  #: Whether tables come instead of activations.
    pipeline: int = 0  #: 1: tables are registered, 2: also the sums of a beat.
    carry_chains: bool = False
    rounded_bits: int | None = None  #: Bits of an entry, where the tables are rounded ones.
    average: bool = False  #: Whether lookups of a plane are averaged, not added.

    @property
    def table(self) -> TableShape:
        """The tables."""
        return TableShape(self.group, self.act, self.half, self.carry_chains, self.rounded_bits)

    @property
    def paired(self) -> bool:
        """Whether all entries of a table are even, or all odd: lookups are half of what they mean.

        The sums of two signed halves are even. Entries that are rounded have no such bond, and
        their lookups count in full: the result is twice the product.
        """
        return self.half and self.rounded_bits is None

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
        return (
            self.tables * self.table.port_bits if self.outside else self.depth * self.act.code_bits
        )

    @property
    def max_weight(self) -> int:
        """Largest magnitude of a weight."""
        if self.zero_point is None:
            return 1 << self.bits - 1
        return max(self.zero_point, (1 << self.bits) - 1 - self.zero_point)

    @property
    def entry_bits(self) -> int:
        """Bits of an entry as it is looked up, without the bit that all have in common."""
        return self.table.entry_bits - int(self.paired)

    @property
    def odd_bits(self) -> int:
        """Bits that the entries of a table have in common, of all tables."""
        return 0 if self.rounded_bits else self.tables

    @property
    def entries(self) -> int:
        """Entries of a table."""
        return len(self.table.indices)

    @property
    def most(self) -> int:
        """Largest magnitude of what one lookup adds."""
        if self.half or self.rounded_bits:
            return 1 << self.entry_bits - 1
        return self._total

    @property
    def _total(self) -> int:
        """Largest magnitude of the sum of a group, which is the last entry of its table."""
        if self.rounded_bits:
            return 1 << self.rounded_bits - 1
        return self.group * max(-self.table.low, self.table.high)

    @property
    def beat_most(self) -> int:
        """Largest magnitude of the lookups of one beat, before their shift."""
        return ((1 << self.planes) - 1) * self.tables * self.most

    @property
    def share_factors(self) -> tuple[int, int, int]:
        """What a step adds to every sum of a row, as multiples of values of its activations.

        With ``S`` the sum of a group of activations, ``odd`` its lowest bit and ``C = (S + odd) /
        2``: the first beat adds the first factor times ``C``, or ``S`` with full tables, and the
        second factor times ``odd``, for all groups; the last beat, number ``j``, adds ``C`` times
        the third factor and ``2**(planes * (j + 1))``. Of rounded tables ``C`` is ``S``, and
        ``odd`` nothing.
        """
        zero = self.zero_point
        if not self.half:
            return -(zero or 0), 0, 0
        if zero is None:
            return -1, 0, 0
        odd = zero if self.paired else 0
        if self.beats == 1:
            return (1 << self.planes) - 1 - 2 * zero, odd, 0
        return -1 - 2 * zero, odd, 1

    def share_most(self, beat: int) -> int:
        """Largest magnitude of what the row adds in beat number ``beat``."""
        first, odd, last = self.share_factors
        centre = -(-self._total // 2) if self.paired else self._total
        low = (abs(first) * centre + abs(odd)) * self.tables if beat == 0 else 0
        return low + (last * centre * self.tables << self.planes * (beat + 1))

    @property
    def share_bits(self) -> int:
        """Bits of what the row adds, signed; 0 if it never adds anything."""
        most = max(self.share_most(beat) for beat in range(self.beats))
        return 1 + most.bit_length() if most else 0

    @property
    def bound(self) -> int:
        """Largest magnitude of what one beat adds to a sum."""
        beats = range(self.beats)
        return max((self.beat_most << self.planes * j) + self.share_most(j) for j in beats)

    @property
    def label(self) -> str:
        """What decides the logic, as part of a name."""
        zero = "" if self.zero_point is None else f"_z{self.zero_point}"
        stages = f"_p{self.pipeline}" if self.pipeline else ""
        stages += "_average" if self.average else ""
        size = f"b{self.bits}x{self.planes}_l{self.tables}"
        return f"{self.table.label}_{size}{zero}{'_port' if self.outside else ''}{stages}"

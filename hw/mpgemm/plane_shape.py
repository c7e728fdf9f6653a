# SPDX-License-Identifier: Apache-2.0
"""Sizes of the engine that counts bits, and the bounds of what it adds."""

from dataclasses import dataclass

from hw.spec.formats import IntFormat

__all__ = ["PlaneShape"]


@dataclass(frozen=True)
class PlaneShape:
    """What decides the logic of a row of counters, but for the width of its sums."""

    bits: int  #: Most bit planes of the weights.
    lanes: int  #: Products of a step.
    act: IntFormat
    scheme: str  #: ``twos``, ``offset`` or ``bipolar``.
    zero_point: int | None = None  #: With ``offset``: what to take off, half of the codes for None.
    carry_chains: bool = False
    planes: int = 0  #: Bit planes of a beat, 0 for all.
    pipeline: int = 0  #: 1: counts are registered, 2: operands too.

    @property
    def per_beat(self) -> int:
        """Bit planes of a beat."""
        return self.planes or self.bits

    @property
    def beats(self) -> int:
        """Most beats of weights in a step."""
        return -(-self.bits // self.per_beat)

    @property
    def place_bits(self) -> int:
        """Bits of the number of a beat within its step."""
        return (self.beats - 1).bit_length()

    @property
    def direct(self) -> bool:
        """Whether bits are counted together with the sum that they go to."""
        return self.beats == 1 and not self.pipeline

    @property
    def bipolar(self) -> bool:
        """Whether bits are digits -1 and +1."""
        return self.scheme == "bipolar"

    @property
    def shifted(self) -> bool:
        """Whether weights are two's complement but for their top bit."""
        half = 1 << self.bits - 1
        return self.scheme == "offset" and self.beats == 1 and self.zero_point in (None, half)

    @property
    def signed(self) -> bool:
        """Whether the top plane of the weights, as they are counted, is negative."""
        return self.scheme == "twos" or self.shifted

    @property
    def switched(self) -> bool:
        """Whether the highest plane of a beat is negative in the last beat of a step only."""
        return self.signed and self.beats > 1

    @property
    def max_weight(self) -> int:
        """Largest magnitude of a weight."""
        if self.bipolar:
            return (1 << self.bits) - 1
        if self.signed:
            return 1 << self.bits - 1
        return max(self.zero, (1 << self.bits) - 1 - self.zero)

    @property
    def zero(self) -> int:
        """What the sum of a row's activations has to be multiplied with, and taken off."""
        if self.signed or self.bipolar:
            return 0
        return 1 << self.bits - 1 if self.zero_point is None else self.zero_point

    @property
    def row_most(self) -> int:
        """Largest magnitude of what a row adds to all its sums in a step."""
        return self.zero * self.lanes * self.act.max_int

    @property
    def share_bits(self) -> int:
        """Bits of what all sums, or those of a row, have in common; signed; 0 for nothing."""
        most = self.beat_most if self.bipolar else self.row_most
        return 1 + most.bit_length() if most else 0

    @property
    def most(self) -> int:
        """Largest magnitude of a product."""
        return self.max_weight * self.act.max_int

    @property
    def beat_most(self) -> int:
        """Largest magnitude of what is counted in a beat, before its shift."""
        return self.lanes * self.act.max_int * ((1 << self.per_beat) - 1)

    @property
    def counts_negative(self) -> bool:
        """Whether what is counted in a beat, but for a switched plane, can be negative."""
        return self.act.signed or self.bipolar or (self.signed and not self.switched)

    def constant(self, planes: range) -> int:
        """Return what the counted ones have to be reduced by: see :meth:`negative`."""
        if self.bipolar:
            return 2 * self.beat_most
        pairs = [(i, j) for i in range(self.act.bits) for j in planes]
        return self.lanes * sum(1 << i + j for i, j in pairs if self.negative(i, j))

    def negative(self, act_plane: int, plane: int) -> bool:
        """Whether a pair of planes counts negative: then its zeros are counted instead."""
        top_act = self.act.signed and not self.bipolar and act_plane == self.act.bits - 1
        top = self.signed and not self.switched and plane == self.bits - 1
        return top_act != top

    @property
    def bound(self) -> int:
        """Largest magnitude of what a step, or a beat, adds to a sum."""
        if self.beats == 1:
            return self.lanes * self.most
        digit, last = (1 << self.per_beat) - 1, self.per_beat * (self.beats - 1)
        top = 1 << self.per_beat - 1 if self.switched else digit
        most = max(top << last, digit << last - self.per_beat, self.zero, digit - self.zero)
        return self.lanes * self.act.max_int * most

    @property
    def label(self) -> str:
        """What decides the logic, as part of a name."""
        kind = "shifted" if self.shifted else self.scheme
        zero = f"_z{self.zero}" if self.zero else ""
        chains = "_chains" if self.carry_chains else ""
        beat = f"by{self.per_beat}" if self.beats > 1 else ""
        stages = f"_p{self.pipeline}" if self.pipeline else ""
        size = f"planes{self.bits}{beat}x{self.lanes}"
        return f"{size}_{self.act.name}_{kind}{zero}{stages}{chains}"

# SPDX-License-Identifier: Apache-2.0
"""What the end of a row of attention is made of."""

from dataclasses import dataclass

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from hw.attention.weights import SCALE_BITS, SHIFT_BITS

__all__ = ["FinishParams"]


@dataclass(frozen=True)
class FinishParams:
    """Widths and the meaning of the maximum ``m``. Made by units, which have checked them."""

    channels: int  #: Channels of the sum ``o``.
    l_bits: int  #: Width of the sum of weights.
    o_bits: int  #: Width of a channel's sum, signed.
    m_bits: int  #: Width of the maximum, signed.
    exp_bits: int  #: Fraction bits of the weights.
    #: ``scores`` of which ``(m * M) >> SH`` are octaves; ``octaves``; ``log``, 2**-8 octaves.
    maximum: str = "scores"

    @property
    def longest(self) -> int:
        """Cycles that a row may take here, by the contract."""
        return max(8, -(-self.channels // 8) + 2)

    @property
    def lanes(self) -> int:
        """Channels that are finished in a cycle: as few as the contract lets."""
        return -(-self.channels // self.longest)

    @property
    def steps(self) -> int:
        """Cycles in which all channels are finished."""
        return -(-self.channels // self.lanes)

    @property
    def total(self) -> data.StructLayout:
        """The sums of a row."""
        scale = {"m": unsigned(SCALE_BITS), "sh": unsigned(SHIFT_BITS)}
        return data.StructLayout(
            {
                "top": signed(self.m_bits),
                "l": unsigned(self.l_bits),
                "o": unsigned(self.channels * self.o_bits),
                **(scale if self.maximum == "scores" else {}),
                "mo": unsigned(SCALE_BITS),
                "so": unsigned(SHIFT_BITS),
                "err": 1,
            }
        )

    @property
    def result(self) -> data.StructLayout:
        """A row of attention."""
        return data.StructLayout({"o": unsigned(self.channels * 8), "lse": signed(18), "err": 1})

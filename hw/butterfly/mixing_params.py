# SPDX-License-Identifier: Apache-2.0
"""Parameters of Fourier mixing: what a user chooses, and what follows from it."""

from dataclasses import dataclass

from hw.butterfly.params import ButterflyParams, power_of_two
from hw.quant.params import among, within

__all__ = ["MIXING_SCALINGS", "MixingParams"]

MIXING_SCALINGS = ("half", "bfp")


@dataclass(frozen=True)
class MixingParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    max_tokens: int = 64  #: Tokens of the largest tile.
    max_channels: int = 64  #: Channels of the largest tile.
    lanes: int = 8  #: Elements per beat.
    scaling: str = "bfp"  #: One of :data:`MIXING_SCALINGS`.
    data_bits: int = 16  #: Width of an element.
    twiddle_bits: int = 16  #: Width of a twiddle's component, two bits before the point.

    def __post_init__(self) -> None:
        power_of_two("max_tokens", self.max_tokens, 8, 4096)
        power_of_two("max_channels", self.max_channels, 8, min(4096, (1 << 18) // self.max_tokens))
        power_of_two("lanes", self.lanes, 2, min(32, max(self.max_tokens, self.max_channels)))
        among("scaling", self.scaling, MIXING_SCALINGS)
        within("data_bits", self.data_bits, 4, 24)
        within("twiddle_bits", self.twiddle_bits, 4, 24)

    @property
    def engine(self) -> ButterflyParams:
        """Those of the engine; what its weights need is left out of the netlist by synthesis."""
        return ButterflyParams(
            max_size=max(self.max_tokens, self.max_channels),
            lanes=self.lanes,
            scaling=self.scaling,
            data_bits=self.data_bits,
            twiddle_bits=self.twiddle_bits,
            weight_bits=2,
        )

    @property
    def lane_bits(self) -> int:
        """Bits of a lane's number."""
        return self.lanes.bit_length() - 1

    @property
    def token_bits(self) -> int:
        """Bits of a token's number."""
        return self.max_tokens.bit_length() - 1

    @property
    def channel_bits(self) -> int:
        """Bits of a channel's number."""
        return self.max_channels.bit_length() - 1

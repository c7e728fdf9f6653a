# SPDX-License-Identifier: Apache-2.0
"""Parameters of the attention core: what a user chooses, and what follows from it."""

from dataclasses import asdict, dataclass
from typing import Any

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from hw.quant.params import among, within

__all__ = ["KINDS", "RESULTS", "AttentionParams"]

KINDS = ("fa-int", "fa-int-p2")
RESULTS = ("row", "partial")


@dataclass(frozen=True)
class AttentionParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    kind: str = "fa-int"  #: Rescale by multiplication, or (``fa-int-p2``) by shifts.
    head_dim: int = 64  #: Channels of queries and keys.
    value_dim: int | None = None  #: Channels of values and of the output; as ``head_dim``.
    tile: int = 16  #: Keys of a beat.
    qk_bits: int = 8  #: Width of queries and keys, signed.
    exp_bits: int = 12  #: Width of exponentials.
    max_len: int = 4096  #: Keys of the longest row.
    result: str = "row"  #: One of :data:`RESULTS`.

    def __post_init__(self) -> None:
        among("kind", self.kind, KINDS)
        among("result", self.result, RESULTS)
        for name, least, most in (
            ("head_dim", 1, 256),
            ("value_dim", 1, 256),
            ("tile", 1, 64),
            ("qk_bits", 2, 8),
            ("exp_bits", 4, 16),
            ("max_len", 1, 65536),
        ):
            value = getattr(self, name)
            if value is not None or name != "value_dim":
                within(name, value, least, most)

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default made explicit."""
        return asdict(self) | {"value_dim": self.channels}

    @property
    def channels(self) -> int:
        """Channels of values."""
        return self.head_dim if self.value_dim is None else self.value_dim

    @property
    def shifts(self) -> bool:
        """Whether scores are absolute and sums are rescaled by shifts."""
        return self.kind == "fa-int-p2"

    @property
    def max_beats(self) -> int:
        """Beats of the longest row."""
        return -(-self.max_len // self.tile)

    @property
    def x_bits(self) -> int:
        """Width of a score, signed."""
        return (self.head_dim << 2 * self.qk_bits - 2).bit_length() + 1

    @property
    def m_bits(self) -> int:
        """Width of the maximum, signed."""
        return self.x_bits + 5 if self.shifts else self.x_bits

    @property
    def l_bits(self) -> int:
        """Width of the sum of exponentials."""
        return (self._keys * self.largest).bit_length()

    @property
    def o_bits(self) -> int:
        """Width of a channel's sum, signed."""
        return (128 * self._keys * self.largest).bit_length() + 1

    @property
    def largest(self) -> int:
        """The largest exponential."""
        return (1 << self.exp_bits) - 1

    @property
    def _keys(self) -> int:
        return self.max_beats * self.tile

    @property
    def beat(self) -> data.StructLayout:
        """A tile of keys and values."""
        scales = {"m": unsigned(15), "sh": unsigned(6)}
        if self.result == "row":
            scales |= {"mo": unsigned(15), "so": unsigned(6)}
        return data.StructLayout(
            {
                "q": unsigned(self.head_dim * self.qk_bits),
                "k": unsigned(self.tile * self.head_dim * self.qk_bits),
                "v": unsigned(self.tile * self.channels * 8),
                "keep": unsigned(self.tile),
                "last": 1,
                **scales,
            }
        )

    @property
    def answer(self) -> data.StructLayout:
        """What comes out for each row."""
        if self.result == "row":
            return data.StructLayout(
                {"o": unsigned(self.channels * 8), "lse": signed(18), "err": 1}
            )
        return data.StructLayout(
            {
                "m": signed(self.m_bits),
                "l": unsigned(self.l_bits),
                "o": unsigned(self.channels * self.o_bits),
                "err": 1,
            }
        )

# SPDX-License-Identifier: Apache-2.0
"""Parameters of the unit ``kv-cache``: what a user chooses, and what follows from it."""

from dataclasses import asdict, dataclass
from typing import Any

from hw.quant.params import among, within

__all__ = ["AXES", "OPS", "SCHEMES", "KvCacheParams"]

#: Operation -> what it does.
OPS = {
    "quantize": "elements to words of codes, with the least element and the range of each group",
    "dequantize": "those words back to elements",
}

#: Scheme -> what it is.
SCHEMES = {"kivi": "KIVI: codes of 2 or 4 bits between the least and the greatest of a group"}

#: Axis -> along what a group lies.
AXES = {
    "token": "along tokens, for keys: each lane is a channel and a group of its own",
    "channel": "along the channels of one token, for values",
}

WORD = 32  #: Bits of a word of codes.


@dataclass(frozen=True)
class KvCacheParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    op: str = "quantize"  #: One of :data:`OPS`.
    scheme: str = "kivi"  #: One of :data:`SCHEMES`.
    axis: str = "token"  #: One of :data:`AXES`.
    bits: int = 2  #: Width of a code.
    group: int = 32  #: Elements that share a least element and a range.
    lanes: int = 8  #: Elements of a beat.
    x_bits: int = 8  #: Width of an element, signed.

    def __post_init__(self) -> None:
        among("op", self.op, tuple(OPS))
        among("scheme", self.scheme, tuple(SCHEMES))
        among("axis", self.axis, tuple(AXES))
        within("x_bits", self.x_bits, 4, 16)
        within("lanes", self.lanes, 1, 64)
        if isinstance(self.bits, bool) or self.bits not in (2, 4):
            raise ValueError(f"bits must be 2 or 4, not {self.bits!r}")
        codes = WORD // self.bits
        within("group", self.group, codes, 128)
        if self.group % codes:
            raise ValueError(f"group must be a multiple of {codes}, not {self.group}")
        if self.axis == "channel" and codes % self.lanes:
            raise ValueError(f"lanes must divide {codes} with axis channel, not {self.lanes}")

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default made explicit."""
        return asdict(self)

    @property
    def most(self) -> int:
        """The greatest code."""
        return (1 << self.bits) - 1

    @property
    def sides(self) -> int:
        """Groups that lie side by side in a beat."""
        return self.lanes if self.axis == "token" else 1

    @property
    def beats(self) -> int:
        """Beats of elements of a group."""
        return self.group * self.sides // self.lanes

    @property
    def words(self) -> int:
        """Beats of words of a group."""
        return self.group * self.bits // WORD

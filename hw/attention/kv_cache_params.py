# SPDX-License-Identifier: Apache-2.0
"""Parameters of the unit ``kv-cache``: what a user chooses, and what follows from it."""

from dataclasses import dataclass

from hw.attention.scalar_params import TARGETS
from hw.quant.params import among, within

__all__ = ["AXES", "OPS", "SCHEMES", "KvCacheParams"]

#: Operation -> what it is.
OPS = {"quantize": "groups of elements to codes, their least element and their range"}

#: Scheme -> what it is.
SCHEMES = {"kivi": "2 or 4 bits between least and greatest of a group; the range is an integer"}

#: Axis -> what a group lies along.
AXES = {
    "token": "tokens, for keys: each channel has its own groups",
    "channel": "channels, for values: each token has its own groups",
}


@dataclass(frozen=True)
class KvCacheParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    op: str = "quantize"  #: One of :data:`OPS`.
    scheme: str = "kivi"  #: One of :data:`SCHEMES`.
    axis: str = "token"  #: One of :data:`AXES`.
    bits: int = 2  #: Width of a code.
    group: int = 32  #: Elements of a group.
    lanes: int = 8  #: Channels of a beat.
    x_bits: int = 8  #: Width of an element, signed.
    target: str = "gates"  #: Decides structure, never function.

    def __post_init__(self) -> None:
        among("op", self.op, tuple(OPS))
        among("scheme", self.scheme, tuple(SCHEMES))
        among("axis", self.axis, tuple(AXES))
        among("target", self.target, TARGETS)
        if self.bits not in (2, 4):
            raise ValueError(f"bits must be 2 or 4, not {self.bits!r}")
        within("group", self.group, self.codes, 128)
        if self.group % self.codes:
            raise ValueError(f"group must be a multiple of {self.codes}, not {self.group}")
        within("lanes", self.lanes, 1, 64)
        if self.axis == "channel" and self.codes % self.lanes:
            raise ValueError(f"lanes must divide {self.codes} with axis channel, not {self.lanes}")
        within("x_bits", self.x_bits, 4, 16)

    @property
    def codes(self) -> int:
        """Codes of a word."""
        return 32 // self.bits

    @property
    def groups(self) -> int:
        """Groups that lie beside each other in a beat."""
        return self.lanes if self.axis == "token" else 1

    @property
    def beats(self) -> int:
        """Beats of a group."""
        return self.group if self.axis == "token" else self.group // self.lanes

    @property
    def word_beats(self) -> int:
        """Beats that fill a word."""
        return self.codes if self.axis == "token" else self.codes // self.lanes

# SPDX-License-Identifier: Apache-2.0
"""Parameters of the unit ``norm``: what a user chooses, and what follows from it."""

from dataclasses import asdict, dataclass
from typing import Any

from hw.attention.scalar_params import TARGETS
from hw.quant.params import among, within

__all__ = ["KINDS", "NormParams"]

#: Kind -> what it is.
KINDS = {
    "ln": "LayerNorm, ours: the mean is never rounded and nothing is divided; the error is half a"
    " unit of the last of frac bits, at any length and variance",
    "rms": "RMSNorm, ours; sqrt(n) belongs into G",
}


@dataclass(frozen=True)
class NormParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    kind: str = "ln"  #: One of :data:`KINDS`.
    x_bits: int = 8  #: Width of an element, signed.
    lanes: int = 8  #: Elements of a beat.
    max_len: int = 1024  #: Elements of the longest row.
    frac: int = 12  #: Fraction bits of a normalised element.
    affine: bool | None = None  #: Whether each element has a scale and a shift: yes.
    out_bits: int | None = None  #: Width of a result of ``affine``: 8.
    shortcut: bool = False  #: Whether something is added behind the norm.
    target: str = "gates"  #: Decides structure, never function.

    def __post_init__(self) -> None:
        among("kind", self.kind, tuple(KINDS))
        among("target", self.target, TARGETS)
        within("x_bits", self.x_bits, 4, 16)
        within("lanes", self.lanes, 1, 64)
        within("max_len", self.max_len, 1, 4096)
        within("frac", self.frac, 4, 14)
        for name, value in (("affine", self.affine), ("shortcut", self.shortcut)):
            if value not in (None, False, True) or (value is None and name == "shortcut"):
                raise ValueError(f"{name} must be True or False, not {value!r}")
        if self.affine is False:
            if self.out_bits is not None:
                raise ValueError("out_bits must not be given without affine")
            if self.shortcut:
                raise ValueError("shortcut must not be given without affine")
        if self.out_bits is not None:
            within("out_bits", self.out_bits, 4, 16)

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default made explicit."""
        chosen = asdict(self)
        chosen["affine"] = self.scaled
        if self.scaled and self.out_bits is None:
            chosen["out_bits"] = 8
        return chosen

    @property
    def scaled(self) -> bool:
        """Whether each element has a scale and a shift."""
        return self.affine is not False

    @property
    def max_beats(self) -> int:
        """Beats of the longest row."""
        return -(-self.max_len // self.lanes)

    @property
    def count_bits(self) -> int:
        """Bits of the number of elements of a row."""
        return (self.max_beats * self.lanes).bit_length()

    @property
    def square_bits(self) -> int:
        """Bits of the sum of the squares of a row."""
        return (self.max_beats * self.lanes << 2 * self.x_bits - 2).bit_length()

    @property
    def variance_bits(self) -> int:
        """Bits of ``V``, which is never negative."""
        count = self.max_beats * self.lanes
        times = count if self.kind == "ln" else 1
        return ((times * count << 2 * self.x_bits - 2) + (1 << 32) - 1).bit_length()

    @property
    def normal_bits(self) -> int:
        """Bits of a normalised element."""
        return self.frac + (8 if self.kind == "ln" else 2)

    @property
    def y_bits(self) -> int:
        """Bits of a result."""
        return int(self.resolved["out_bits"]) if self.scaled else self.normal_bits

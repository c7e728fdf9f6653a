# SPDX-License-Identifier: Apache-2.0
"""Parameters of the unit ``rope``: what a user chooses, and what follows from it."""

import math
from dataclasses import dataclass
from fractions import Fraction

from hw.attention.scalar_params import TARGETS
from hw.quant.params import among, within

__all__ = ["LAYOUTS", "RopeParams"]

#: Layout -> which elements are a pair.
LAYOUTS = {
    "half": "element i and element i + dim // 2, as in LLaMA",
    "interleaved": "neighbours, elements 2*i and 2*i + 1, as published",
}


@dataclass(frozen=True)
class RopeParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    dim: int = 128  #: Elements of a row.
    layout: str = "half"  #: One of :data:`LAYOUTS`.
    x_bits: int = 8  #: Width of an element, signed.
    coef_bits: int = 16  #: Width of a sine, two bits before the point.
    base: str = "10000"  #: Pair i turns by ``base**(-2*i/dim)`` for each position.
    lanes: int = 8  #: Elements of a beat.
    grow: bool = False  #: One bit more for results, which then never saturate.
    target: str = "gates"  #: Decides structure, never function.

    def __post_init__(self) -> None:
        within("dim", self.dim, 2, 1024)
        among("layout", self.layout, tuple(LAYOUTS))
        among("target", self.target, TARGETS)
        within("x_bits", self.x_bits, 4, 16)
        within("lanes", self.lanes, 1, 64)
        if self.coef_bits not in (16, 18):
            raise ValueError(f"coef_bits must be 16 or 18, not {self.coef_bits!r}")
        try:
            base = Fraction(self.base)
        except (ValueError, ZeroDivisionError, TypeError):
            base = Fraction(0)
        if base <= 1:
            raise ValueError(f"base must be a fraction above 1, not {self.base!r}")

    @property
    def beats(self) -> int:
        """Beats of a row."""
        return -(-self.dim // self.lanes)

    @property
    def y_bits(self) -> int:
        """Width of a result."""
        return self.x_bits + self.grow

    def partner(self, element: int) -> int | None:
        """Return the other element of a pair; None of the one that passes through."""
        half = self.dim // 2
        if element >= 2 * half:
            return None
        if self.layout == "interleaved":
            return element ^ 1
        return element + half if element < half else element - half

    def step(self, element: int) -> int:
        """Return by what an element turns for each position, in units of ``2**-32`` turns."""
        partner = self.partner(element)
        if partner is None:
            return 0
        low = min(element, partner)
        pair = low // 2 if self.layout == "interleaved" else low
        angle = float(Fraction(self.base)) ** (-2 * pair / self.dim)
        return math.floor(angle / (2 * math.pi) * 2**32 + 0.5)

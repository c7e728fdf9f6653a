# SPDX-License-Identifier: Apache-2.0
"""Parameters of the butterfly units: what a user chooses, and what follows from it."""

from dataclasses import asdict, dataclass
from typing import Any

from hw.quant.params import among, within

__all__ = ["BANKS", "EXP_BITS", "ORDERS", "SCALINGS", "ButterflyParams", "power_of_two"]

#: Width of an exponent: twelve shifts by up to 15 fit.
EXP_BITS = 9

#: Scaling -> what holds the range of a Fourier transform.
SCALINGS = {
    "half": "every stage halves; o is the transform over its length",
    "bfp": "block floating point: a stage halves or quarters where its row would not fit",
    "grow": "nothing is shifted; words are as wide as the longest transform needs",
}

#: Order -> in which order a Fourier transform leaves.
ORDERS = {
    "natural": "element k is X[k]",
    "reversed": "element k is X[k with its bits reversed], as the memory holds it",
}

#: Rule -> which bank holds an element.
BANKS = {
    "parity": "the lowest bit flips with the parity of the row; the least wires",
    "popcount": "the published rule: rows are rotated by their number of ones",
    "xor": "ours: natural order leaves as fast as any other",
}


def power_of_two(name: str, value: object, least: int, most: int) -> None:
    """Raise ``ValueError`` unless ``value`` is a power of two of the range."""
    right = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if not right or value & (value - 1) or not least <= value <= most:  # type: ignore[operator]
        raise ValueError(f"{name} must be a power of two from {least} to {most}, not {value!r}")


@dataclass(frozen=True)
class ButterflyParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    max_size: int = 1024  #: Longest vector.
    lanes: int = 8  #: Elements of an engine per beat; half as many butterflies.
    engines: int = 1  #: Rows side by side.
    scaling: str = "bfp"  #: One of :data:`SCALINGS`.
    data_bits: int = 16  #: Width of a component that comes in.
    twiddle_bits: int = 16  #: Width of a twiddle's component, two bits before the point.
    weight_bits: int = 8  #: Width of a weight.
    weight_frac: int | None = None  #: Fraction bits of a weight: two less than its width.
    order: str = "natural"  #: One of :data:`ORDERS`.
    banks: str = "xor"  #: One of :data:`BANKS`.

    def __post_init__(self) -> None:
        power_of_two("max_size", self.max_size, 8, 4096)
        power_of_two("lanes", self.lanes, 2, min(32, self.max_size))
        within("engines", self.engines, 1, 64)
        among("scaling", self.scaling, tuple(SCALINGS))
        within("data_bits", self.data_bits, 4, 24)
        within("twiddle_bits", self.twiddle_bits, 4, 24)
        within("weight_bits", self.weight_bits, 2, self.data_bits)
        if self.weight_frac is not None:
            within("weight_frac", self.weight_frac, 0, self.weight_bits - 1)
        among("order", self.order, tuple(ORDERS))
        among("banks", self.banks, tuple(BANKS))

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default made explicit."""
        return asdict(self) | {"weight_frac": self.frac}

    @property
    def frac(self) -> int:
        """Fraction bits of a weight."""
        return self.weight_bits - 2 if self.weight_frac is None else self.weight_frac

    @property
    def stages(self) -> int:
        """Stages of the longest vector."""
        return self.max_size.bit_length() - 1

    @property
    def lane_bits(self) -> int:
        """Bits of a lane's number."""
        return self.lanes.bit_length() - 1

    @property
    def max_beats(self) -> int:
        """Beats of the longest vector."""
        return self.max_size // self.lanes

    @property
    def row_bits(self) -> int:
        """Bits of the address of a row, at least one."""
        return max(1, self.max_beats.bit_length() - 1)

    @property
    def state_bits(self) -> int:
        """Width of a component between stages and of one that leaves."""
        return self.data_bits + (self.stages + 1 if self.scaling == "grow" else 0)

    @property
    def twiddle_frac(self) -> int:
        """Fraction bits of a twiddle."""
        return self.twiddle_bits - 2

    @property
    def lift(self) -> int:
        """Bits by which weights are shifted up, where that aligns them with twiddles for free."""
        up = self.twiddle_frac - self.frac
        return up if up > 0 and self.weight_bits + up <= self.twiddle_bits else 0

    @property
    def factor_bits(self) -> int:
        """Width of what the multipliers take beside an element."""
        return max(self.twiddle_bits, self.weight_bits + self.lift)

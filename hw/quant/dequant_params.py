# SPDX-License-Identifier: Apache-2.0
"""Parameters of dequantization: what a user chooses, and what follows from it."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from amaranth.hdl import Shape, signed, unsigned

from hw.quant.params import among, within
from hw.quant.scales import SCALES, Scale, scale_of

__all__ = ["SUMS", "TARGETS", "DequantParams"]

SUMS = ("exact", "fp32-seq", "fp32-tree")
TARGETS = ("gates", "fpga")

#: Exponents that no useful exact sum spans.
_TOO_WIDE = ("e8m0", "bf16")


@dataclass(frozen=True)
class DequantParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    acc_bits: int = 24  #: Width of a group's integer sum.
    lam: int = 0  #: Exponent of the unit of that sum.
    scale: str = "fp16"  #: Format of the scales, one of :data:`~hw.quant.scales.SCALES`.
    act_scale: str | None = None  #: Format of a second scale.
    zero_point: bool = False  #: Whether ``z * sa`` is taken from the sum.
    sum: str | None = None  #: One of :data:`SUMS`; default exact for int8, else fp32-seq.
    blocks: int = 1  #: Groups per beat.
    max_groups: int = 64  #: Groups of the longest dot product; sizes the exact sum.
    target: str = "gates"  #: Decides structure, never function.

    def __post_init__(self) -> None:
        within("acc_bits", self.acc_bits, 2, 1024)
        within("lam", self.lam, -300, 300)
        among("scale", self.scale, SCALES)
        if self.act_scale is not None:
            among("act_scale", self.act_scale, SCALES)
        if self.sum is not None:
            among("sum", self.sum, SUMS)
        among("target", self.target, TARGETS)
        within("blocks", self.blocks, 1, 64)
        within("max_groups", self.max_groups, 1, 1 << 20)
        if self.mode == "fp32-tree" and self.blocks & self.blocks - 1:
            raise ValueError(
                f"blocks must be a power of two where sum is fp32-tree, not {self.blocks}"
            )
        for name in ("scale", "act_scale"):
            if self.mode == "exact" and getattr(self, name) in _TOO_WIDE:
                raise ValueError(
                    f"{name} must be ue4m3, ue5m3, fp16 or int8 where sum is exact, "
                    f"not {getattr(self, name)!r}"
                )

    @property
    def mode(self) -> str:
        """How groups are added."""
        return self.sum or ("exact" if self.scale == "int8" else "fp32-seq")

    @cached_property
    def scales(self) -> tuple[Scale, ...]:
        """The formats of the scales, that of the activations last."""
        names = (self.scale, self.act_scale)
        return tuple(scale_of(name) for name in names if name is not None)

    @property
    def max_group(self) -> int:
        """Bound of a group's integer, its zero point taken off."""
        return (129 if self.zero_point else 1) << self.acc_bits - 1

    @property
    def offset(self) -> int:
        """Exponent of the unit of a product whose exponent fields are 0."""
        return self.lam + sum(s.offset for s in self.scales)

    @property
    def exponents(self) -> tuple[int, int]:
        """Least and largest exponent of the unit of a group's product."""
        low, high = (sum(s.fields[k] for s in self.scales) for k in (0, 1))
        return self.offset + low, self.offset + high

    @property
    def y_lam(self) -> int:
        """Exponent of the unit of an exact sum."""
        return self.lam + sum(s.lam for s in self.scales)

    @property
    def exact_bits(self) -> int:
        """Width of an exact sum that never overflows."""
        bound = self.max_group * self.max_groups
        for scale in self.scales:
            bound *= scale.max_int
        return 1 + bound.bit_length()

    @property
    def y_shape(self) -> Shape:
        """Shape of the result."""
        return signed(self.exact_bits) if self.mode == "exact" else unsigned(32)

    @property
    def nan_port(self) -> bool:
        """Whether the exact sum needs a mark for NaN."""
        return self.mode == "exact" and any(s.nonfinite for s in self.scales)

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default made explicit."""
        return dataclasses.asdict(self) | {"sum": self.mode}

    @property
    def group_shapes(self) -> dict[str, int]:
        """Bits of each field that a group brings."""
        fields = {"p": self.acc_bits, "s": self.scales[0].bits}
        if self.act_scale is not None:
            fields["t"] = self.scales[1].bits
        if self.zero_point:
            fields |= {"z": 8, "sa": self.acc_bits}
        return fields

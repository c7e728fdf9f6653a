# SPDX-License-Identifier: Apache-2.0
"""Groups of products: how their sums are scaled and added."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from hw.mpgemm.scaling import RowSums, ScaleStage, scale_bits
from hw.mpgemm.shape import Shape
from hw.quant.dequant_params import DequantParams

__all__ = ["GROUP_SUMS", "OPTIONS", "Groups", "refuse_without_group"]

#: How groups of products are added.
GROUP_SUMS = ("int", "exact", "fp32-seq")

#: Options of an engine whose groups can have scales, and their defaults.
OPTIONS: Mapping[str, object] = MappingProxyType(
    {
        "group_size": None,
        "scale": None,
        "act_scale": None,
        "zero_points": False,
        "sum": None,
    }
)

_SCALING = ("scale", "act_scale", "zero_point")


@dataclass(frozen=True)
class Groups:
    """Groups of the products of each sum. Raises ``ValueError`` for what does not fit together.

    ``names`` are what the unit calls ``group`` and ``zero_point``, where not so.
    """

    size: int  #: Products of a group.
    scale: str | None  #: Format of the scales of a column's groups.
    act_scale: str | None  #: Format of the scales of a row's groups.
    zero_point: bool  #: Whether the weights of each group have a zero point.
    sum: str | None  #: One of :data:`GROUP_SUMS`, None for what the scale asks for.
    acc_bits: int  #: Width of the sum of a group.
    lam: int  #: Exponent of its unit.
    max_k: int  #: Products of the longest sum of groups.
    carry_chains: bool
    names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.sum not in (None, *GROUP_SUMS):
            text = ", ".join(GROUP_SUMS)
            raise ValueError(f"sum must be one of {text}, not {self.sum!r}")
        if self.mode == "int":
            for name in _SCALING:
                value = getattr(self, name)
                if value not in (None, False):
                    called = self.names.get(name, name)
                    raise ValueError(f"{called} must not be given with sum int, but is {value!r}")
        elif self.scale is None:
            raise ValueError(f"scale must be given with sum {self.mode}, such as fp16")
        _ = self.dequant

    @property
    def mode(self) -> str:
        """How groups are added."""
        if self.sum is not None:
            return self.sum
        return "int" if self.scale is None else "exact" if self.scale == "int8" else "fp32-seq"

    @cached_property
    def dequant(self) -> DequantParams | None:
        """Parameters of the scaling of groups, None where they have no scales."""
        if self.mode == "int":
            return None
        assert self.scale is not None
        return DequantParams(
            acc_bits=self.acc_bits,
            lam=self.lam,
            scale=self.scale,
            act_scale=self.act_scale,
            zero_point=self.zero_point,
            sum=self.mode,
            max_groups=-(-self.max_k // self.size),
            target="fpga" if self.carry_chains else "gates",
        )

    def framed(self, shape: Shape) -> Shape:
        """Return the sizes of an engine without groups, with these groups."""
        bits = scale_bits(self.dequant, shape.rows, shape.columns) if self.dequant else 0
        return dataclasses.replace(shape, group_steps=self.size // shape.depth, scale_bits=bits)

    def result(self, shape: Shape) -> Shape:
        """Return the sizes of what leaves: sums, or what became of them."""
        dequant = self.dequant
        if dequant is None:
            return shape
        exact = dequant.mode == "exact"
        nan = exact and (shape.nan or any(s.nonfinite for s in dequant.scales))
        return dataclasses.replace(shape, acc_bits=dequant.y_shape.width, nan=nan)

    def stage(self, shape: Shape, row_sums: RowSums | None) -> ScaleStage | None:
        """Return the stage that scales groups, None where they have no scales."""
        if self.dequant is None:
            return None
        bits = 0 if row_sums is None else row_sums.sum_bits
        return ScaleStage(shape, self.result(shape), self.dequant, bits)


def refuse_without_group(params: Any, group: str, names: Iterable[str]) -> None:
    """Raise ``ValueError`` for options of groups that are given though there are none."""
    for name in names:
        value = getattr(params, name)
        if value not in (None, False):
            raise ValueError(f"{name} must not be given without {group}, but is {value!r}")

# SPDX-License-Identifier: Apache-2.0
"""What becomes of an engine's sums before they leave."""

import dataclasses
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from hw.mpgemm import finish, groups
from hw.mpgemm.engine import Engine
from hw.mpgemm.finish import Finish, FinishStage, finish_of
from hw.mpgemm.groups import Groups
from hw.mpgemm.scaling import RowSums
from hw.mpgemm.shape import Shape

__all__ = ["OPTIONS", "Epilogue", "epilogue_of"]

#: Options of an engine whose sums may be scaled and requantised, and their defaults.
OPTIONS = MappingProxyType({**groups.OPTIONS, **finish.OPTIONS})


@dataclass(frozen=True)
class Epilogue:
    """Groups of sums scaled and added, where there are any, and the result requantised."""

    lam: int  #: Exponent of the unit of the sums.
    groups: Groups | None = None
    finish: Finish | None = None

    def framed(self, shape: Shape) -> Shape:
        """Return the sizes of an engine without an epilogue, with this one."""
        if self.groups:
            shape = self.groups.framed(shape)
        if self.finish:
            bits = shape.numbered * self.finish.bits
            shape = dataclasses.replace(shape, scale_bits=shape.scale_bits + bits, finish_bits=bits)
        return shape

    def result(self, shape: Shape) -> Shape:
        """Return the sizes of what leaves."""
        if self.groups:
            shape = self.groups.result(shape)
        if self.finish:
            out = self.finish.cell.out_format
            shape = dataclasses.replace(shape, acc_bits=out.bits, unsigned=not out.signed)
        return shape

    def out_format(self, shape: Shape) -> dict[str, Any]:
        """Return what the manifest says of the numbers that leave."""
        result, dequant = self.result(shape), self.groups.dequant if self.groups else None
        if self.finish:
            return {"format": f"{'u' if result.unsigned else ''}int{result.out_bits}"}
        if dequant is not None and dequant.mode != "exact":
            return {"format": "fp32"}
        lam = dequant.y_lam if dequant else self.lam
        return {"format": f"int{result.out_bits}", "lam": lam}

    @property
    def contract(self) -> dict[str, Any]:
        """What the manifest promises of it."""
        found: dict[str, Any] = {}
        if self.groups:
            found |= {"group": self.groups.size, "sum": self.groups.mode}
        if self.finish:
            found |= {"requant": self.finish.scheme, "finish_fields": self.finish.fields}
        return found

    @property
    def resolved(self) -> dict[str, Any]:
        """Parameters as they were chosen, made explicit."""
        found: dict[str, Any] = {"sum": self.groups.mode if self.groups else None}
        if self.finish:
            found |= {"requant_out": self.finish.out, "mult_bits": self.finish.fields["m"]}
        return found

    def engine(self, shape: Shape, core: Any, row_sums: RowSums | None = None) -> Engine:
        """Return the engine around a core whose sums stay in place."""
        scaling = self.groups.stage(shape, row_sums) if self.groups else None
        finish = self.finish_stage(shape, scaling.result if scaling else shape)
        return Engine(shape, core, scaling, row_sums, finish)

    def finish_stage(self, shape: Shape, before: Shape | None = None) -> FinishStage | None:
        """Return the stage that requantises rows, whose sizes ``before`` has if not ``shape``."""
        if self.finish is None:
            return None
        return FinishStage(before or shape, self.result(shape), self.finish)


def epilogue_of(
    params: Any, lam: int, acc_bits: int, groups: Groups | None, carry_chains: bool
) -> Epilogue:
    """Return what the options of an engine ask for, whose sums have ``acc_bits`` bits.

    Raises ``ValueError`` for options that do not fit together.
    """
    mode = groups.mode if groups else None
    if groups is not None and groups.dequant is not None:
        acc_bits = groups.dequant.y_shape.width
    return Epilogue(lam, groups, finish_of(params, acc_bits, mode, carry_chains))

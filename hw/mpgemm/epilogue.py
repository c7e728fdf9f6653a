# SPDX-License-Identifier: Apache-2.0
"""What becomes of an engine's sums before they leave."""

from dataclasses import dataclass
from typing import Any

from hw.mpgemm.engine import Engine
from hw.mpgemm.groups import Groups
from hw.mpgemm.scaling import RowSums
from hw.mpgemm.shape import Shape

__all__ = ["Epilogue"]


@dataclass(frozen=True)
class Epilogue:
    """Groups of sums, if there are any, scaled and added."""

    lam: int  #: Exponent of the unit of the sums.
    groups: Groups | None = None

    def framed(self, shape: Shape) -> Shape:
        """Return the sizes of an engine without an epilogue, with this one."""
        return self.groups.framed(shape) if self.groups else shape

    def result(self, shape: Shape) -> Shape:
        """Return the sizes of what leaves."""
        return self.groups.result(shape) if self.groups else shape

    def out_format(self, shape: Shape) -> dict[str, Any]:
        """Return what the manifest says of the numbers that leave."""
        dequant = self.groups.dequant if self.groups else None
        if dequant is not None and dequant.mode != "exact":
            return {"format": "fp32"}
        lam = dequant.y_lam if dequant else self.lam
        return {"format": f"int{self.result(shape).out_bits}", "lam": lam}

    @property
    def contract(self) -> dict[str, Any]:
        """What the manifest promises of it."""
        return {"group": self.groups.size, "sum": self.groups.mode} if self.groups else {}

    def engine(self, shape: Shape, core: Any, row_sums: RowSums | None = None) -> Engine:
        """Return the engine around a core whose sums stay in place."""
        scaling = self.groups.stage(shape, row_sums) if self.groups else None
        return Engine(shape, core, scaling, row_sums)

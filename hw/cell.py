# SPDX-License-Identifier: Apache-2.0
"""Components that emission writes once, however often a design instantiates them."""

from typing import Any

from amaranth.hdl import Elaboratable, Instance, Module
from amaranth.lib import wiring

__all__ = ["Cell"]


class Cell(wiring.Component):
    """A component whose :attr:`label` says all that decides its logic.

    Cells with equal labels are the same hardware. Simulation and a user's own Amaranth design
    elaborate every one; an emission platform with a ``share`` method writes each label once: it
    returns an instance for a cell, or None for one to elaborate in place. Transformers such as
    ``ResetInserter`` do not reach into an instance: wire resets and enables through members.
    Subclasses describe their logic in :meth:`body` instead of ``elaborate``.
    """

    label: str  #: Verilog identifier: the kind of cell and every parameter of its logic.

    def body(self, platform: Any) -> Module:
        """Return the logic of the cell."""
        raise NotImplementedError

    def elaborate(self, platform: Any) -> Elaboratable | Instance:
        share = getattr(platform, "share", None)
        instance = share(self) if share else None
        return self.body(platform) if instance is None else instance

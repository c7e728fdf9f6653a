# SPDX-License-Identifier: Apache-2.0
"""The first error, until the host clears it."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ErrorLog", "error_layout"]


def error_layout(addr_bits: int) -> data.StructLayout:
    """Return what is kept of an error."""
    return data.StructLayout({"code": 4, "addr": addr_bits, "tag": 16, "index": 16})


class ErrorLog(wiring.Component):
    """Keep the first error.

    Parameters
    ----------
    addr_bits : int
        Bits of an address on the bus.

    Members
    -------
    valid, report : ``In(1)``, ``In(error_layout(addr_bits))``
        An error, for one cycle.
    clear : ``In(1)``
        Forget it. An error of the same cycle is kept.
    shown : ``Out(error_layout(addr_bits))``
        The first error since, all 0 if there is none.

    Timing
    ------
    ``shown`` comes from registers.
    """

    def __init__(self, addr_bits: int):
        layout = error_layout(addr_bits)
        super().__init__(
            {"valid": In(1), "report": In(layout), "clear": In(1), "shown": Out(layout)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        with m.If(self.clear):
            m.d.sync += self.shown.eq(0)
        with m.If(self.valid & (self.clear | (self.shown.code == 0))):
            m.d.sync += self.shown.eq(self.report)
        return m

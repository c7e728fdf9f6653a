# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RoundRobin"]


class RoundRobin(wiring.Component):
    """Choose one of several requests, in turns.

    Parameters
    ----------
    count : int

    Members
    -------
    requests : ``In(count)``
    grant : ``Out(count)``
        One of the requests: the next one after the last that was taken. 0 if there is none.
    take : ``In(1)``
        The choice counts.

    Timing
    ------
    ``grant`` is combinational in ``requests`` and independent of ``take``.
    """

    def __init__(self, count: int):
        if count < 1:
            raise ValueError(f"count must be positive, not {count!r}")
        self._count = count
        super().__init__({"requests": In(count), "grant": Out(count), "take": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m, count = Module(), self._count
        beyond = Signal(count)  # those after the last that was taken
        preferred = self.requests & beyond
        among = Mux(preferred.any(), preferred, self.requests)
        m.d.comb += self.grant.eq(among & -among)
        with m.If(self.take):
            m.d.sync += beyond.eq(Cat(self.grant[:k].any() if k else 0 for k in range(count)))
        return m

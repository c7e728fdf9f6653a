# SPDX-License-Identifier: Apache-2.0
"""A short queue in registers that move up, without memory or addresses."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire

__all__ = ["ShiftQueue"]


class ShiftQueue(wiring.Component):
    """Up to ``depth`` words, in the order in which they came.

    Parameters
    ----------
    width, depth : int

    Members
    -------
    i, o : ``In(stream.Signature(width))``, ``Out(...)``

    Timing
    ------
    One word per cycle; it is offered one cycle after it was accepted. Neither side's ready depends
    on the other's.
    """

    def __init__(self, width: int, depth: int):
        self._width, self._depth = width, depth
        super().__init__({"i": In(stream.Signature(width)), "o": Out(stream.Signature(width))})

    def elaborate(self, platform: Any) -> Module:
        m, depth = Module(), self._depth
        places = [Signal(self._width, reset_less=True, name=f"place{k}") for k in range(depth)]
        used = [Signal(name=f"used{k}") for k in range(depth)]  # the first ones, without a gap
        takes = wire(m, self.i.valid & self.i.ready, "takes")
        gives = wire(m, self.o.valid & self.o.ready, "gives")
        m.d.comb += [
            self.i.ready.eq(~used[-1]),
            self.o.valid.eq(used[0]),
            self.o.payload.eq(places[0]),
        ]
        for k, (place, here) in enumerate(zip(places, used, strict=True)):
            below = used[k - 1] if k else 1
            after = used[k + 1] if k + 1 < depth else 0
            lifted = places[k + 1] if k + 1 < depth else self.i.payload
            with m.If(gives):
                m.d.sync += [
                    here.eq(after | takes & here),
                    place.eq(Mux(after, lifted, self.i.payload)),
                ]
            with m.Elif(takes & below & ~here):
                m.d.sync += [here.eq(1), place.eq(self.i.payload)]
        return m

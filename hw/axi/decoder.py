# SPDX-License-Identifier: Apache-2.0
"""Several devices behind one bridge."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.axi.bus import Bus

__all__ = ["Decoder"]


class Decoder(wiring.Component):
    """Pass each access on to the device in whose window its address lies.

    Parameters
    ----------
    windows : mapping of name to (base, size, address width)
        Sizes are powers of two and bases multiples of them; no two windows overlap.

    Members
    -------
    bus : ``In(Bus(34))``
        Where accesses come from; address and data stay until ``ack``.
    <name> : ``Out(Bus(address width))``
        One for each window.

    Timing
    ------
    An access of a window takes what its device takes, one to none is refused in the next cycle.
    """

    def __init__(self, windows: Mapping[str, tuple[int, int, int]]):
        self.windows = dict(windows)
        devices = {name: Out(Bus(width)) for name, (_, _, width) in self.windows.items()}
        super().__init__({"bus": In(Bus(34)), **devices})

    def elaborate(self, platform: Any) -> Module:
        m, bus = Module(), self.bus
        refused = Signal()
        hits = []
        devices: list[Any] = [getattr(self, name) for name in self.windows]
        m.d.comb += [
            bus.ack.eq(refused | Cat(device.ack for device in devices).any()),
            bus.error.eq(refused | Cat(device.error for device in devices).any()),
            bus.value.eq(reduce(or_, (device.value for device in devices))),
        ]
        for name, (base, size, _) in self.windows.items():
            device: Any = getattr(self, name)
            bits = size.bit_length() - 1
            hit = wire(m, bus.address[bits:] == base >> bits, f"hit_{name}")
            hits.append(hit)
            m.d.comb += [
                device.request.eq(bus.request & hit),
                device.address.eq(bus.address),
                device.write.eq(bus.write),
                device.data.eq(bus.data),
                device.strobe.eq(bus.strobe),
            ]
        m.d.sync += refused.eq(bus.request & ~Cat(*hits).any())
        return m

# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/axi/decoder.py``."""

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from hw.axi.decoder import Decoder
from hw.axi.register_file import RegisterFile
from hw.spec.registers import Field, Register, RegisterMap

MAP = RegisterMap("test", (Register("KEEP", 8, "RW", "", (Field("F", 0, 32, ""),)),))


class Two(wiring.Elaboratable):
    """Two register files behind one decoder."""

    def __init__(self):
        self.decoder = Decoder({"low": (0, 0x1000, 12), "high": (0x4000_0000, 0x1000, 12)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.decoder = self.decoder
        for name in ("low", "high"):
            m.submodules[name] = file = RegisterFile(MAP, 12)
            wiring.connect(m, getattr(self.decoder, name), file.bus)
        return m


def accesses(*wanted):
    """Return (value, error) of accesses, each (address[, data])."""
    dut, found = Two(), []

    async def bench(ctx):
        bus = dut.decoder.bus
        for address, *data in wanted:
            ctx.set(bus.address, address)
            ctx.set(bus.write, bool(data))
            ctx.set(bus.data, data[0] if data else 0)
            ctx.set(bus.strobe, 15)
            ctx.set(bus.request, 1)
            await ctx.tick()
            ctx.set(bus.request, 0)
            assert ctx.get(bus.ack)
            found.append((ctx.get(bus.value), ctx.get(bus.error)))
            await ctx.tick()
            assert not ctx.get(bus.ack)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def test_each_window_is_its_own():
    assert accesses((8, 7), (0x4000_0008, 9), (8,), (0x4000_0008,)) == [
        (0, 0),
        (0, 0),
        (7, 0),
        (9, 0),
    ]


@pytest.mark.parametrize("address", [0x1008, 0x3FFF_F008, 0x4000_1008, 1 << 33 | 8, 0x4])
def test_elsewhere_is_refused(address):
    assert accesses((address, 5), (address,), (8,), (0x4000_0008,)) == [
        (0, 1),
        (0, 1),
        (0, 0),
        (0, 0),
    ]

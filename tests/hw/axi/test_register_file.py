# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/axi/register_file.py``: the access rules, one by one."""

import pytest
from amaranth.sim import Simulator

from hw.axi.register_file import RegisterFile
from hw.spec.registers import Field, Register, RegisterMap


def word(mask=0xFFFF_FFFF, reset=0):
    lsb = (mask & -mask).bit_length() - 1
    return (Field("F", lsb, mask.bit_length() - lsb, "", reset),)


MAP = RegisterMap(
    "test",
    (
        Register("FIX", 0x00, "RO", "", word(reset=0x1234_5678), constant=True),
        Register("LIVE", 0x04, "RO", "", word(0x0FFF)),
        Register("KEEP", 0x08, "RW", "", word(0x00FF_FFF0, reset=5)),
        Register("STICKY", 0x0C, "W1C", "", word(0x0F)),
        Register("ACT", 0x10, "WO", "", word(0xFFFF)),
        Register("GUARD", 0x14, "RW", "", word(), guarded=True),
        Register("GO", 0x18, "WO", "", word(), guarded=True),
    ),
)


class Master:
    """Accesses of the bus, for use inside a testbench."""

    def __init__(self, dut, ctx):
        self.dut, self.ctx = dut, ctx

    async def access(self, address, data=None, strobe=15):
        """Return ``(value, error)``; without ``data`` it is a read."""
        bus, ctx = self.dut.bus, self.ctx
        ctx.set(bus.request, 1)
        ctx.set(bus.address, address)
        ctx.set(bus.write, data is not None)
        ctx.set(bus.data, data or 0)
        ctx.set(bus.strobe, strobe)
        await ctx.tick()
        ctx.set(bus.request, 0)
        assert ctx.get(bus.ack)
        return ctx.get(bus.value), ctx.get(bus.error)


def run(body):
    dut = RegisterFile(MAP, 12)

    async def bench(ctx):
        await body(dut, ctx, Master(dut, ctx).access)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


def test_read_only():
    async def body(dut, ctx, access):
        ctx.set(dut.live, 0xABCD_EF12)
        assert await access(0x00) == (0x1234_5678, 0)
        assert await access(0x04) == (0xF12, 0)
        assert await access(0x00, 1) == (0, 1)
        assert await access(0x04, 1) == (0, 1)
        assert await access(0x00) == (0x1234_5678, 0)

    run(body)


@pytest.mark.parametrize("strobe", range(16))
def test_read_write_with_strobes(strobe):
    async def body(dut, ctx, access):
        assert await access(0x08) == (0x50, 0)
        assert ctx.get(dut.keep) == 0x50
        await access(0x08, 0x1122_3344)
        assert await access(0x08) == (0x0022_3340, 0)
        assert await access(0x08, 0xAABB_CCDD, strobe) == (0, 0)
        want = [0x40, 0x33, 0x22, 0x00]
        for k, byte in enumerate((0xD0, 0xCC, 0xBB, 0x00)):
            want[k] = byte if strobe >> k & 1 else want[k]
        value = int.from_bytes(bytes(want), "little")
        assert await access(0x08) == (value, 0)
        assert ctx.get(dut.keep) == value

    run(body)


def test_sticky_flags():
    async def body(dut, ctx, access):
        ctx.set(dut.sticky_set, 0xFFFF_FFF5)
        await ctx.tick()
        ctx.set(dut.sticky_set, 0)
        assert await access(0x0C) == (0x5, 0)
        assert await access(0x0C, 0xFFFF_FFFF, 0b1110) == (0, 0)
        assert await access(0x0C) == (0x5, 0)
        assert await access(0x0C, 0x1) == (0, 0)
        assert await access(0x0C) == (0x4, 0)
        ctx.set(dut.sticky_set, 0x4)  # an event in the cycle of the write that clears it stays
        await access(0x0C, 0xF)
        ctx.set(dut.sticky_set, 0)
        assert await access(0x0C) == (0x4, 0)

    run(body)


def test_commands():
    async def body(dut, ctx, access):
        assert await access(0x10, 0xAABB_CCDD) == (0, 0)
        assert (ctx.get(dut.act_strobe), ctx.get(dut.act)) == (1, 0xCCDD)
        await ctx.tick()
        assert not ctx.get(dut.act_strobe)
        await access(0x10, 0xAABB_CCDD, 0b0010)
        assert (ctx.get(dut.act_strobe), ctx.get(dut.act)) == (1, 0xCC00)
        await access(0x10, 0xAABB_CCDD, 0)
        assert not ctx.get(dut.act_strobe)
        assert await access(0x10) == (0, 0)
        assert not ctx.get(dut.act_strobe)

    run(body)


def test_guarded_registers_while_busy():
    async def body(dut, ctx, access):
        await access(0x14, 7)
        ctx.set(dut.busy, 1)
        assert await access(0x14, 8) == (0, 1)
        assert ctx.get(dut.blocked)
        assert await access(0x18, 8) == (0, 1)
        assert ctx.get(dut.blocked) and not ctx.get(dut.go_strobe)
        assert await access(0x14) == (7, 0)
        assert not ctx.get(dut.blocked)
        assert await access(0x08, 0) == (0, 0)
        ctx.set(dut.busy, 0)
        assert await access(0x14, 8) == (0, 0)
        assert await access(0x18, 8) == (0, 0)
        assert ctx.get(dut.go_strobe)

    run(body)


@pytest.mark.parametrize("address", [0x01, 0x02, 0x03, 0x09, 0x1C, 0x100, 0x808, 0xFFC])
def test_unmapped_and_unaligned(address):
    async def body(dut, ctx, access):
        await access(0x08, 0)
        assert await access(address) == (0, 1)
        assert await access(address, 0xFFFF_FFFF) == (0, 1)
        assert await access(0x08) == (0, 0)

    run(body)

# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/axi/axi_ram.py``: our masters and a bridge on one memory."""

import functools

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Out
from amaranth.sim import Simulator

from fpga.report import report
from gen import yosys
from hw.axi.axi4 import axi4_read_ports, axi4_write_ports
from hw.axi.axi_ram import AxiRam
from hw.axi.read_master import ReadMaster
from hw.axi.write_master import WriteMaster

BASE, SIZE, WIDTH = 0x4000, 0x400, 64


class Together(wiring.Elaboratable):
    """A read and a write master of one client each, and the memory."""

    def __init__(self):
        self.read = ReadMaster(16, WIDTH, [1], max_burst=4, outstanding=2)
        self.write = WriteMaster(16, WIDTH, 1, max_burst=4, outstanding=2)
        self.ram = AxiRam(16, WIDTH, base=BASE, size=SIZE)

    def elaborate(self, platform):
        m = Module()
        m.submodules.read, m.submodules.write, m.submodules.ram = self.read, self.write, self.ram
        for master, ports in ((self.read, axi4_read_ports), (self.write, axi4_write_ports)):
            for name, member in ports("", 16, WIDTH).items():
                outer, inner = getattr(master, master.prefix + name), getattr(self.ram, name)
                m.d.comb += inner.eq(outer) if member.flow == Out else outer.eq(inner)
        return m


async def store(ctx, dut, address, content):
    """Write bytes, return when they are answered or refused."""
    words = -(-len(content) // 8)
    padded = np.pad(content, (0, 8 * words - len(content))).tobytes()
    client, beats = dut.write.commands[0], dut.write.beats[0]
    ctx.set(client.payload.addr, address)
    ctx.set(client.payload.bytes, len(content))
    ctx.set(client.valid, 1)
    await ctx.tick().until(client.ready)
    ctx.set(client.valid, 0)
    for k in range(words):
        ctx.set(beats.payload.data, int.from_bytes(padded[8 * k : 8 * k + 8], "little"))
        ctx.set(beats.valid, 1)
        await ctx.tick().until(beats.ready)
    ctx.set(beats.valid, 0)
    for _ in range(100):
        if ctx.get(dut.write.fault):
            return ctx.get(dut.write.code)
        if ctx.get(dut.write.done):
            return 0
        await ctx.tick()
    raise AssertionError("no answer")


async def load(ctx, dut, address, size):
    """Return the bytes from an address, or the code of a fault."""
    client, beats = dut.read.commands[0], dut.read.beats[0]
    ctx.set(client.payload.addr, address)
    ctx.set(client.payload.bytes, size)
    ctx.set(client.valid, 1)
    await ctx.tick().until(client.ready)
    ctx.set(client.valid, 0)
    found, code = b"", 0
    for _ in range(200):
        if ctx.get(dut.read.fault):
            code = ctx.get(dut.read.code)
        if ctx.get(beats.valid):
            found += ctx.get(beats.payload.data).to_bytes(8, "little")
            if ctx.get(beats.payload.last):
                return code or np.frombuffer(found[:size], dtype=np.uint8)
        await ctx.tick()
    raise AssertionError("no answer")


async def word(ctx, dut, address, data=None, strobe=15):
    """Access one word as a bridge does."""
    bus = dut.ram.bus
    ctx.set(bus.address, address)
    ctx.set(bus.write, data is not None)
    ctx.set(bus.data, data or 0)
    ctx.set(bus.strobe, strobe)
    ctx.set(bus.request, 1)
    await ctx.tick()
    ctx.set(bus.request, 0)
    for _ in range(50):
        if ctx.get(bus.ack):
            return ctx.get(bus.value)
        await ctx.tick()
    raise AssertionError("no answer")


def run(*bodies):
    dut = Together()
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    for body in bodies:
        simulator.add_testbench(functools.partial(body, dut=dut))
    simulator.run()


@pytest.mark.parametrize("address,size", [(0, 1), (3, 100), (8, 64), (0x3FF, 1), (1, 0x3FF)])
def test_bytes_come_back(address, size):
    content = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)

    async def body(ctx, dut):
        assert await store(ctx, dut, BASE + address, content) == 0
        assert (await load(ctx, dut, BASE + address, size) == content).all()

    run(body)


def test_bridge_and_master_share_it():
    async def body(ctx, dut):
        await word(ctx, dut, BASE + 4, 0xDDCC_BBAA)
        await word(ctx, dut, BASE + 0, 0x1122_3344)
        await word(ctx, dut, BASE + 0, 0x5500_0000, strobe=8)
        assert bytes(await load(ctx, dut, BASE, 8)).hex() == "44332255aabbccdd"
        assert await store(ctx, dut, BASE + 6, np.array([1, 2, 3], np.uint8)) == 0
        assert await word(ctx, dut, BASE + 4) == 0x0201_BBAA
        assert await word(ctx, dut, BASE + 8) & 0xFF == 3

    run(body)


def test_both_at_once():
    """A bridge that never rests gets through between bursts, and they between its words."""
    content = np.arange(256, dtype=np.uint8)
    over = []

    async def master(ctx, dut):
        for _ in range(3):
            assert await store(ctx, dut, BASE, content) == 0
            assert (await load(ctx, dut, BASE, 256) == content).all()
        over.append(True)

    async def bridge(ctx, dut):
        count = 0
        while not over:
            value = int(np.random.default_rng(count).integers(1 << 32))
            await word(ctx, dut, BASE + 0x200, value)
            assert await word(ctx, dut, BASE + 0x200) == value
            count += 1
        assert count > 20

    run(master, bridge)


@pytest.mark.parametrize("address", [BASE - 8, BASE + SIZE, 0])
def test_outside_is_refused(address):
    content = np.full(8, 0xEE, np.uint8)

    async def body(ctx, dut):
        assert await store(ctx, dut, BASE, np.arange(8, dtype=np.uint8)) == 0
        assert await store(ctx, dut, address, content) == 4
        assert await load(ctx, dut, address, 8) == 2
        assert bytes(await load(ctx, dut, BASE, 8)) == bytes(range(8))

    run(body)


@pytest.mark.parametrize(
    ("huge", "size", "blocks"), [(True, 1 << 16, (2, 0)), (False, 1 << 10, (0, 2))]
)
def test_blocks_of_an_ice40(huge, size, blocks):
    """Large blocks are taken if asked for, and then nothing is said of their contents."""
    ram = AxiRam(17, 32, base=1 << 16, size=size, huge=huge)
    ports = [Value.cast(value) for _, _, value in ram.signature.flatten(ram)]
    text = yosys.to_verilog(rtlil.convert(ram, name="ram", ports=ports, emit_src=False))
    assert ("ram_style" in text) == huge and ("fill_memory" in text) != huge
    counts = report(text, "ram", "ice40", seeds=0, dsp=False)["counts"]
    assert (counts["SPRAM"], counts["BRAM"]) == blocks

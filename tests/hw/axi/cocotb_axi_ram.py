# SPDX-License-Identifier: Apache-2.0
"""Both masters in front of a memory that others wrote, under the monitor; run by ``test_axi4``."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiRam

from sim.bench.axi_monitor import AxiRules, watch

SIZE, SPACE = 4, 1 << 14


def pauses(rng, share):
    while True:
        yield rng.random() < share


class Client:
    """Pins of a stream, used one cycle at a time."""

    def __init__(self, dut, name):
        self.edge = RisingEdge(dut.clk)
        self.valid, self.ready = (getattr(dut, f"{name}__{p}", None) for p in ("valid", "ready"))
        self.payload = getattr(dut, f"{name}__payload")

    async def send(self, *payloads):
        for payload in payloads:
            self.payload.value = payload
            self.valid.value = 1
            await self.edge
            while not int(self.ready.value):
                await self.edge
        self.valid.value = 0


async def count_done(dut, done):
    while True:
        await RisingEdge(dut.clk)
        done[0] += int(dut.done.value) if dut.done.value.is_resolvable else 0


async def collect(dut, beats):
    while True:
        await RisingEdge(dut.clk)
        if int(dut.read__valid.value):
            beats.append(int(dut.read__payload.value))


@cocotb.test()
async def write_and_read_back(dut):
    rng = random.Random(3)
    want = bytearray(rng.randbytes(SPACE))
    for name in ("ask", "put", "write"):
        getattr(dut, f"{name}__valid").value = 0
    dut.rst.value = 1
    Clock(dut.clk, 10, "ns").start()
    ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, size=SPACE)
    ram.write(0, bytes(want))
    channels = [getattr(ram.write_if, f"{c}_channel") for c in ("aw", "w", "b")]
    channels += [getattr(ram.read_if, f"{c}_channel") for c in ("ar", "r")]
    for channel in channels:
        channel.set_pause_generator(pauses(rng, 0.3))
    for _ in range(4):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)
    rules = AxiRules(8 * SIZE, 4, 3)
    cocotb.start_soon(watch(dut, rules, clock="clk", reset="rst"))
    done, beats = [0], []
    cocotb.start_soon(count_done(dut, done))
    cocotb.start_soon(collect(dut, beats))

    commands = [(0xFF0 + rng.randrange(32), rng.randint(1, 60)) for _ in range(30)]
    for number, (addr, count) in enumerate(commands):
        content = rng.randbytes(count)
        want[addr : addr + count] = content
        words = [content[k : k + SIZE].ljust(SIZE, b"?") for k in range(0, count, SIZE)]
        await Client(dut, "put").send(addr | count << 20)
        await Client(dut, "write").send(*(int.from_bytes(w, "little") for w in words))
        while done[0] <= number:
            await RisingEdge(dut.clk)
        assert ram.read(0, SPACE) == bytes(want)
    for addr, count in commands:
        await Client(dut, "ask").send(addr | count << 20)
    while sum(beat >> 8 * SIZE for beat in beats) < len(commands):
        await RisingEdge(dut.clk)
    found = iter(beats)
    for addr, count in commands:
        bytes_ = b"".join(
            (next(found) & 0xFFFF_FFFF).to_bytes(SIZE, "little") for _ in range(0, count, SIZE)
        )
        assert bytes_[:count] == want[addr : addr + count]
    assert rules.quiet

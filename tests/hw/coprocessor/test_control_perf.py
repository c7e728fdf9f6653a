# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/coprocessor/perf.py``: counts are exact, whatever the moment."""

import random

import pytest
from amaranth.sim import Simulator

from hw.coprocessor.perf import CLEAR, FREEZE, PerfCounters
from hw.spec.coprocessor import PERF

NAMES = list(PERF)
WIDTHS = {"rd_bytes": 5, "macs": 9}


class Counters:
    """The counters, and beside them what they must be."""

    def __init__(self, body, seed=0):
        self.dut = PerfCounters(WIDTHS)
        self.random = random.Random(seed)
        self.want = [0] * len(NAMES)
        self.history = []  # of ``want`` before each cycle
        self.quiet = False
        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)

        async def bench(ctx):
            self.ctx = ctx
            await body(self)

        simulator.add_testbench(bench)
        simulator.run()

    async def tick(self, cycles=1):
        for _ in range(cycles):
            self.history.append(list(self.want))
            for i, name in enumerate(NAMES):
                width = WIDTHS.get(name, 1)
                value = self.random.choice((0, (1 << width) - 1, self.random.randrange(1 << width)))
                value = 0 if self.quiet else value
                self.ctx.set(getattr(self.dut, name), value)
                self.want[i] += value
            await self.ctx.tick()

    async def access(self, address, data=None, strobe=15):
        """Return value, error, and the cycle in which it took effect, counted from 0."""
        bus, ctx = self.dut.bus, self.ctx
        ctx.set(bus.request, 1)
        ctx.set(bus.address, address)
        ctx.set(bus.write, data is not None)
        ctx.set(bus.data, data or 0)
        ctx.set(bus.strobe, strobe)
        await self.tick()
        ctx.set(bus.request, 0)
        for _ in range(110):
            if ctx.get(bus.ack):
                return ctx.get(bus.value), ctx.get(bus.error), len(self.history) - 1
            await self.tick()
        raise AssertionError("no answer")

    async def read(self, i):
        low, _, _ = await self.access(8 * i)
        high, _, _ = await self.access(8 * i + 4)
        return high << 32 | low


@pytest.mark.parametrize("seed", range(3))
def test_values_are_those_of_the_cycle_of_the_answer(seed):
    async def body(c):
        for _ in range(60):
            await c.tick(c.random.randrange(60))
            i = c.random.randrange(len(NAMES))
            value, error, cycle = await c.access(8 * i)
            assert not error and value == c.history[cycle][i] & 0xFFFF_FFFF, NAMES[i]

    Counters(body, seed)


@pytest.mark.parametrize("seed", range(4))
def test_freeze_and_clear(seed):
    async def body(c):
        for _ in range(6):
            await c.tick(c.random.randrange(200))
            _, error, cycle = await c.access(FREEZE, 1)
            frozen = c.history[cycle]
            assert not error
            for i in c.random.sample(range(len(NAMES)), 8):
                assert await c.read(i) == frozen[i], NAMES[i]
            await c.access(FREEZE, 1)  # again: nothing new
            assert (await c.access(FREEZE))[0] == 1
            if c.random.randrange(2):
                _, error, cycle = await c.access(CLEAR, 0)
                gone = c.history[cycle + 1] if cycle + 1 < len(c.history) else list(c.want)
                c.want = [now - then for now, then in zip(c.want, gone, strict=True)]
            i = c.random.randrange(len(NAMES))
            assert await c.read(i) == frozen[i], "a cleared counter still shows what was held"
            await c.access(FREEZE, 0)
            assert (await c.access(FREEZE))[0] == 0
            await c.tick(c.random.randrange(60))
            for i in c.random.sample(range(len(NAMES)), 4):
                value, _, cycle = await c.access(8 * i)
                c.quiet = False
                assert value == c.history[cycle][i], NAMES[i]

    # The history is in terms of what is wanted now, so a clear begins a new one.
    class Clearing(Counters):
        async def access(self, address, data=None, strobe=15):
            answer = await super().access(address, data, strobe)
            if address == CLEAR and data is not None:
                self.history = [[0] * len(NAMES)] * (answer[2] + 1) + self.history[answer[2] + 1 :]
            return answer

    Clearing(body, seed)


def test_a_freeze_and_a_clear_right_after_it():
    async def body(c):
        await c.tick(300)
        _, _, cycle = await c.access(FREEZE, 1)
        frozen = c.history[cycle]
        c.quiet = True
        await c.access(CLEAR, 5, 8)
        for i in range(len(NAMES)):
            assert await c.read(i) == frozen[i]
        await c.access(FREEZE, 0)
        assert [await c.read(i) for i in range(len(NAMES))] == [0] * len(NAMES)

    Counters(body)


def test_carries_and_the_end_of_64_bits():
    async def body(c):
        memory = c.memory
        c.quiet = True
        await c.tick(60)
        macs, cycles = NAMES.index("macs"), NAMES.index("cycles")
        for i, value in ((macs, 0xFFFF_FFF0), (cycles, (1 << 64) - 3)):
            c.ctx.set(memory.data[4 * i], value & 0xFFFF_FFFF)
            c.ctx.set(memory.data[4 * i + 1], value >> 32)
        wrapped = 0
        for cycle in range(200):
            c.ctx.set(c.dut.macs, 511 if cycle == 7 else 0)
            c.ctx.set(c.dut.cycles, cycle < 5)
            c.history.append([])
            await c.ctx.tick()
            wrapped += c.ctx.get(c.dut.wrapped)
        assert await c.read(macs) == 0xFFFF_FFF0 + 511
        assert await c.read(cycles) == 2
        assert wrapped == 1

    from hw.coprocessor import perf

    made = []

    class Memory(perf.Memory):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            made.append(self)

    class Seen(Counters):
        @property
        def memory(self):
            return made[-1]

    original, perf.Memory = perf.Memory, Memory
    try:
        Seen(body)
    finally:
        perf.Memory = original


def test_access_rules():
    async def body(c):
        c.quiet = True
        for address in (0x60, 0x74, 0x01, FREEZE + 1, CLEAR + 2):
            assert (await c.access(address))[:2] == (0, 1), hex(address)
            assert (await c.access(address, 1))[:2] == (0, 1), hex(address)
        assert (await c.access(0, 1))[:2] == (0, 1)
        assert (await c.access(CLEAR))[:2] == (0, 0)
        assert (await c.access(FREEZE, 1, 14))[:2] == (0, 0)
        assert (await c.access(FREEZE))[:2] == (0, 0)
        c.quiet = False
        await c.tick(100)
        c.quiet = True
        await c.access(CLEAR, 0, 0)  # no byte is written
        assert await c.read(0) == c.want[0] > 0
        await c.access(FREEZE, 1)
        c.ctx.set(c.dut.reset, 1)
        await c.tick()
        c.ctx.set(c.dut.reset, 0)
        assert (await c.access(FREEZE))[:2] == (0, 0)
        assert [await c.read(i) for i in range(len(NAMES))] == [0] * len(NAMES)

    Counters(body)

# SPDX-License-Identifier: Apache-2.0
"""The control of the co-processor between a host and stand-ins for masters and datapath."""

from amaranth.sim import Simulator

from hw.coprocessor.control import Control
from hw.coprocessor.control_facts import ControlFacts
from hw.spec.coprocessor import Descriptor, EngineNumbers, Record, coprocessor_map

CAPS = {
    "engines": 1, "max_bits": 4, "act_bits": 8, "acc_bits": 24, "rows": 4, "columns": 4,
    "depth": 4, "group": 0, "buffer_kib": 1, "acc_kib": 1, "log2_bytes": 3, "max_burst": 16,
    "outstanding": 8, "addr_bits": 40, "build": 0x12345678,
    "numbers": [EngineNumbers(1, 2, 2, 0, 4, 24)],
}  # fmt: skip

FACTS = {
    "addr_bits": 40, "data_width": 64, "max_k": 512, "rows": 4, "columns": 4, "depth": 4,
    "act_slot": 8, "c_bytes": 4, "w_slot": 8, "a_fmt": 1, "w_fmt": 2, "layout": 2,
}  # fmt: skip

MAP = coprocessor_map(**CAPS)
QBASE = 0x12_0000_0000

GOOD = Descriptor(
    m=2, n=3, k=5, a=0x1001, w=0x2000, c=0x3003, a_stride=16, c_stride=8, tag=0x7001,
    a_fmt=1, w_fmt=2, w_layout=2,
)  # fmt: skip


async def wait(ctx, cycles):
    for _ in range(cycles):
        await ctx.tick()


class Bench:
    """A simulated :class:`Control`.

    ``memory`` maps addresses to words. ``latency`` is of reads and record writes, ``work`` of
    jobs. ``script`` maps the number of a job to what happens in it instead of ``done``: a function
    of a context, awaited. ``held`` keeps the bus busy. ``jobs``, ``records``, ``clears`` and
    ``fetched`` are what was seen.
    """

    def __init__(self, perf=False, **facts):
        self.facts = ControlFacts(**{**FACTS, **facts})
        self.dut = Control(MAP, self.facts, perf=perf)
        self.memory = {}
        self.latency, self.work = 3, 6
        self.script = {}
        self.jobs, self.records, self.fetched = [], [], []
        self.clears = 0
        self.held = self.reading = self.writing = False
        self.fetch_fault = self.record_fault = None
        self.shy = False  # no job is taken

    # Host.

    async def access(self, address, data=None, strobe=15):
        bus, ctx = self.dut.bus, self.ctx
        ctx.set(bus.request, 1)
        ctx.set(bus.address, address)
        ctx.set(bus.write, data is not None)
        ctx.set(bus.data, data or 0)
        ctx.set(bus.strobe, strobe)
        await ctx.tick()
        ctx.set(bus.request, 0)
        for _ in range(120):
            if ctx.get(bus.ack):
                answer = ctx.get(bus.value), bool(ctx.get(bus.error))
                await wait(ctx, 2)  # no bridge is faster
                return answer
            await ctx.tick()
        raise AssertionError(f"no answer from {address:#x}")

    async def get(self, name, field=None):
        value, error = await self.access(MAP[name].offset)
        assert not error, name
        return value if field is None else MAP[name].get(value, field)

    async def set(self, name, value=0, **fields):
        value |= MAP[name].make(**fields)
        assert await self.access(MAP[name].offset, value) == (0, False), name

    async def start(self, descriptor, **modes):
        """Write the direct descriptor and start it."""
        words = descriptor.pack() if isinstance(descriptor, Descriptor) else descriptor
        for i, word in enumerate(words):
            await self.set(f"DIRECT{i}", word)
        await self.set("CTRL", START=1, **modes)

    async def idle(self, limit=600):
        for _ in range(limit):
            if await self.get("STATUS", "IDLE"):
                return
        raise AssertionError("busy for ever")

    def put(self, index, descriptor, size=4, base=QBASE):
        words = descriptor.pack() if isinstance(descriptor, Descriptor) else descriptor
        for i, word in enumerate(words):
            self.memory[base + 64 * (index % size) + 4 * i] = word

    async def queue(self, size=4, base=QBASE, **modes):
        await self.set("QBASE_LO", base & 0xFFFF_FFFF)
        await self.set("QBASE_HI", base >> 32)
        await self.set("QSIZE", size)
        await self.set("CTRL", QUEUE_EN=1, **modes)

    async def error(self):
        """Return ERR_CODE, ERR_ADDR, TAG, INDEX, and clear them."""
        code = await self.get("ERR_CODE")
        where = await self.get("ERR_ADDR_LO") | await self.get("ERR_ADDR_HI") << 32
        tag, index = await self.get("ERR_DESC", "TAG"), await self.get("ERR_DESC", "INDEX")
        assert await self.get("STATUS", "ERROR") == await self.get("IRQ_STATUS", "ERROR")
        await self.set("IRQ_STATUS", ERROR=1)
        for name in ("ERR_CODE", "ERR_ADDR_LO", "ERR_ADDR_HI", "ERR_DESC"):
            assert await self.get(name) == 0
        assert not await self.get("STATUS", "ERROR")
        return code, where, tag, index

    async def good(self, tag=0x600D):
        """Run a good direct job: it must be done, without an error."""
        before, done = len(self.jobs), await self.get("STATUS", "COMPLETED")
        await self.set("IRQ_STATUS", DONE=1)
        await self.start(Descriptor(**{**vars(GOOD), "tag": tag}))
        await self.idle()
        assert len(self.jobs) == before + 1
        assert await self.get("STATUS", "COMPLETED") == done + 1
        assert await self.get("STATUS", "DONE") and not await self.get("STATUS", "ERROR")

    async def pulse(self, *signals, ctx=None):
        ctx = ctx or self.ctx
        for signal in signals:
            ctx.set(signal, 1)
        await ctx.tick()
        for signal in signals:
            ctx.set(signal, 0)

    async def fault(self, ctx, side, code, addr):
        port = getattr(self.dut, f"{side}_fault")
        ctx.set(port.code, code)
        ctx.set(port.addr, addr)
        await self.pulse(port.valid, ctx=ctx)

    # Stand-ins.

    async def reader(self, ctx):
        dut, width = self.dut, self.facts.data_width
        while True:
            if not ctx.get(dut.cmd.valid) or ctx.get(dut.stop):
                await ctx.tick()
                continue
            addr, count = ctx.get(dut.cmd.payload.addr), ctx.get(dut.cmd.payload.bytes)
            assert (addr % 64, count) == (0, 64)
            self.fetched.append(addr)
            self.reading = True
            await self.pulse(dut.cmd.ready, ctx=ctx)
            for _ in range(self.latency):
                await ctx.tick()
            words = [self.memory.get(addr + 4 * i, 0) for i in range(16)]
            number = sum(word << 32 * i for i, word in enumerate(words))
            beats = max(1, 512 // width)
            for beat in range(beats):
                last = beat == beats - 1
                if last and self.fetch_fault:
                    ctx.set(dut.read_fault.code, self.fetch_fault)
                    ctx.set(dut.read_fault.addr, addr)
                    ctx.set(dut.read_fault.valid, 1)
                ctx.set(dut.beats.payload.data, number >> width * beat & (1 << width) - 1)
                ctx.set(dut.beats.payload.last, last)
                await self.pulse(dut.beats.valid, ctx=ctx)
                ctx.set(dut.read_fault.valid, 0)
                await ctx.tick()
            self.reading = False

    async def writer(self, ctx):
        dut, width = self.dut, self.facts.data_width
        while True:
            if not ctx.get(dut.record_cmd.valid) or ctx.get(dut.stop):
                await ctx.tick()
                continue
            self.writing = True
            addr = ctx.get(dut.record_cmd.payload.addr)
            assert ctx.get(dut.record_cmd.payload.bytes) == 16
            await self.pulse(dut.record_cmd.ready, ctx=ctx)
            number, beats = 0, max(1, 128 // width)
            for beat in range(beats):
                assert ctx.get(dut.record_beats.valid)
                assert ctx.get(dut.record_beats.payload.last) == (beat == beats - 1)
                number |= ctx.get(dut.record_beats.payload.data) << width * beat
                await self.pulse(dut.record_beats.ready, ctx=ctx)
                await ctx.tick()
            assert not ctx.get(dut.record_beats.valid)
            for _ in range(self.latency):
                await ctx.tick()
            words = [number >> 32 * i & 0xFFFF_FFFF for i in range(4)]
            self.records.append((addr, Record.unpack(words), len(self.jobs)))
            assert ctx.get(dut.busy)
            if self.record_fault:
                ctx.set(dut.write_fault.code, self.record_fault)
                ctx.set(dut.write_fault.addr, addr)
                await self.pulse(dut.write_fault.valid, dut.record_done, ctx=ctx)
            else:
                await self.pulse(dut.record_done, ctx=ctx)
            self.writing = False

    async def datapath(self, ctx):
        dut = self.dut
        while True:
            if not ctx.get(dut.job.valid) or self.shy:
                await ctx.tick()
                continue
            names = dut.job.payload.shape().members
            self.jobs.append({name: ctx.get(dut.job.payload[name]) for name in names})
            number = len(self.jobs) - 1
            await self.pulse(dut.job.ready, ctx=ctx)
            if number in self.script:
                await self.script[number](ctx)
                continue
            clears = self.clears
            for _ in range(self.work):
                await ctx.tick()
            if clears == self.clears:
                await self.pulse(dut.done, ctx=ctx)

    async def watch(self, ctx):
        dut, rest = self.dut, 0
        while True:
            ctx.set(dut.idle, not (self.held or self.reading or self.writing))
            await ctx.tick()
            rest = rest + 1 if ctx.get(dut.idle) and ctx.get(dut.stop) else 0
            if ctx.get(dut.clear):
                self.clears += 1
                assert rest >= 4, "something may still be on its way"

    def run(self, body):
        async def host(ctx):
            self.ctx = ctx
            await body(self)

        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(host)
        for part in (self.watch, self.reader, self.writer, self.datapath):
            simulator.add_testbench(part, background=True)
        simulator.run()

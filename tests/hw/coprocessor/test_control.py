# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/coprocessor/control.py``: jobs, every error and a good job after it, races."""

from dataclasses import replace

import pytest

from hw.spec.coprocessor import FLAGS, OPS, Descriptor
from tests.hw.coprocessor.control_bench import GOOD, MAP, QBASE, Bench, wait

DIRECT = 0xFFFF


def test_a_direct_job():
    async def body(b):
        assert await b.get("STATUS") == MAP["STATUS"].reset
        d = replace(GOOD, activation=3, clamp_high=100, clamp_low=-5, w_stride=3, w=0xF0, s=0x11)
        await b.start(d)
        assert await b.get("STATUS", "BUSY")
        await b.idle()
        assert b.jobs == [
            {
                "m": 2, "n": 3, "k": 5, "bits": 0, "a": 0x1001, "w": 0xF0, "c": 0x3003, "s": 0x11,
                "a_stride": 16, "c_stride": 32, "w_stride": 48, "activation": 3, "high": 100,
                "low": -5, "copy": 0, "engine": 0, "gemv": 0, "accumulate": 0,
            }
        ]  # fmt: skip
        status = MAP["STATUS"].make(IDLE=1, DONE=1, QUEUE_EMPTY=1, COMPLETED=1)
        assert await b.get("STATUS") == status
        assert not b.fetched and not b.records and not b.clears
        await b.set("IRQ_STATUS", DONE=1)
        assert not await b.get("STATUS", "DONE")
        await b.good()

    Bench().run(body)


@pytest.mark.parametrize("data_width", [32, 64, 256, 1024])
def test_a_queue_that_wraps(data_width):
    async def body(b):
        await b.queue(size=4, RECORD_EN=1)
        for i in range(11):
            irq = 1 if i == 7 else 0
            b.put(i, replace(GOOD, m=i + 1, tag=0x100 + i, flags=irq))
            await b.set("QHEAD", i + 1)
            if i % 3 == 2 or i == 10:
                await b.idle()
                assert await b.get("QTAIL") == i + 1
        assert [job["m"] for job in b.jobs] == list(range(1, 12))
        assert b.fetched == [QBASE + 64 * (i % 4) for i in range(11)]
        for i, (addr, record, jobs) in enumerate(b.records):
            assert addr == QBASE + 64 * 4 + 16 * (i % 4)
            assert (record.tag, record.index, record.error) == (0x100 + i, i, 0)
            assert 20 < record.cycles < 200
            assert jobs == i + 1
        assert len(b.records) == 11
        assert await b.get("STATUS", "COMPLETED") == 11
        assert await b.get("STATUS", "DONE") and await b.get("IRQ_STATUS", "QUEUE_LOW")

    Bench(data_width=data_width).run(body)


def test_indices_wrap_at_65536():
    async def body(b):
        for start in (0xFFFE,):
            # QTAIL is free-running: it is moved there by fences.
            await b.queue(size=32768)
            b.ctx.set(tail_of(b), start)
            await b.set("QHEAD", start)
            await b.set("CTRL", QUEUE_EN=1)
        for i in (0xFFFE, 0xFFFF, 0, 1):
            b.put(i, replace(GOOD, m=(i & 7) + 1), size=32768)
        await b.set("QHEAD", 2)
        assert await b.get("STATUS", "PENDING") == 4
        await b.idle()
        assert [job["m"] for job in b.jobs] == [7, 8, 1, 2]
        assert await b.get("QTAIL") == 2

    def tail_of(b):
        return b.ring_tail

    bench = Bench()
    expose_tail(bench)
    bench.run(body)


def expose_tail(bench):
    """Let the bench set QTAIL, which would else take 65534 descriptors."""
    from hw.coprocessor import control

    class Ring(control.Ring):
        def __init__(self, addr_bits):
            super().__init__(addr_bits)
            bench.ring_tail = self.tail

    original, control.Ring = control.Ring, Ring
    elaborate = bench.dut.elaborate

    def once(platform):
        try:
            return elaborate(platform)
        finally:
            control.Ring = original

    bench.dut.elaborate = once


def test_status_of_the_queue():
    async def body(b):
        b.work = 400
        await b.queue(size=4)
        for i in range(4):
            b.put(i, GOOD)
        await b.set("QHEAD", 3)
        assert not await b.get("STATUS", "QUEUE_FULL")
        await b.set("QHEAD", 4)
        want = MAP["STATUS"].make(BUSY=1, QUEUE_FULL=1, PENDING=4)
        assert await b.get("STATUS") == want
        b.work = 5
        await b.idle(800)
        assert await b.get("STATUS") == MAP["STATUS"].make(IDLE=1, QUEUE_EMPTY=1, COMPLETED=4)
        # More than 255 show as 255; the queue is off, so they wait.
        await b.set("CTRL", 0)
        await b.set("QSIZE", 1024)
        await b.set("QHEAD", 4 + 255)
        assert await b.get("STATUS", "PENDING") == 255
        await b.set("QHEAD", 4 + 256)
        assert await b.get("STATUS", "PENDING") == 255
        assert await b.get("STATUS", "IDLE") and len(b.jobs) == 4

    Bench().run(body)


BAD = {
    "magic": (replace(GOOD, magic=0xD4), 5),
    "version": (replace(GOOD, version=2), 5),
    "magic before all": (replace(GOOD, magic=0, op=7, m=0), 5),
    "op": (replace(GOOD, op=3), 6),
    "op before size": (replace(GOOD, op=3, m=0), 6),
    "accumulate": (replace(GOOD, flags=1 << FLAGS["accumulate"]), 6),
    "transposed": (replace(GOOD, flags=1 << FLAGS["transposed"]), 6),
    "bias": (replace(GOOD, flags=1 << FLAGS["bias"]), 6),
    "zero point": (replace(GOOD, flags=1 << FLAGS["zero_point"]), 6),
    "flag 6": (replace(GOOD, flags=64), 6),
    "flag 7": (replace(GOOD, flags=128), 6),
    "a_fmt": (replace(GOOD, a_fmt=2), 6),
    "w_fmt": (replace(GOOD, w_fmt=1), 6),
    "c_fmt": (replace(GOOD, c_fmt=1), 6),
    "w_layout": (replace(GOOD, w_layout=1), 6),
    "engine": (replace(GOOD, engine=1), 6),
    "activation": (replace(GOOD, activation=2), 6),
    "round mode": (replace(GOOD, round_mode=1), 6),
    "scale mode": (replace(GOOD, scale_mode=8), 6),
    "group": (replace(GOOD, g=4), 6),
    "m": (replace(GOOD, m=0), 7),
    "n": (replace(GOOD, n=0), 7),
    "k": (replace(GOOD, k=0), 7),
    "long k": (replace(GOOD, k=513, a_stride=600), 7),
    "gemv": (replace(GOOD, op=OPS["gemv"]), 7),
    "w aligned": (replace(GOOD, w=0x2008), 7),
    "a stride": (replace(GOOD, a_stride=4), 7),
    "c stride": (replace(GOOD, c_stride=2), 7),
    "copy k": (replace(GOOD, op=OPS["copy"], k=2), 7),
    "a high": (replace(GOOD, a=1 << 40), 8),
    "c high": (replace(GOOD, c=1 << 63), 8),
    "w high": (replace(GOOD, w=1 << 41), 8),
    "a end": (replace(GOOD, a=(1 << 40) - 16 - 4), 8),
    "c end": (replace(GOOD, c=(1 << 40) - 32 - 11), 8),
    "w end": (replace(GOOD, w=(1 << 40) - 16, k=9), 8),
}


def test_refused_descriptors():
    async def body(b):
        for name, (descriptor, code) in BAD.items():
            jobs, done = len(b.jobs), await b.get("STATUS", "COMPLETED")
            await b.start(descriptor)
            await b.idle()
            assert len(b.jobs) == jobs and not b.clears, name
            assert await b.get("STATUS", "COMPLETED") == done + 1, name
            assert not await b.get("STATUS", "DONE"), name
            assert await b.error() == (code, 0, 0x7001, DIRECT), name
            await b.good()
            await b.set("IRQ_STATUS", DONE=1)

    Bench().run(body)


@pytest.mark.parametrize("name", ["magic", "op", "m", "a end"])
def test_refused_descriptors_of_the_queue(name):
    descriptor, code = BAD[name]

    async def body(b):
        b.put(0, descriptor)
        b.put(1, GOOD)
        await b.queue(RECORD_EN=1)
        await b.set("QHEAD", 2)
        await b.idle()
        assert not b.jobs
        assert await b.get("QTAIL") == 1 and await b.get("STATUS", "COMPLETED") == 1
        assert b.records[0][1].error == code
        assert await b.error() == (code, QBASE, 0x7001, 0)
        await b.set("CTRL", QUEUE_EN=1)
        await b.idle()
        assert len(b.jobs) == 1 and await b.get("QTAIL") == 2
        assert not await b.get("STATUS", "ERROR")

    Bench().run(body)


FINE = {
    "as built": replace(GOOD, a_fmt=0, w_fmt=0, w_layout=0),
    "one row": replace(GOOD, m=1, a_stride=0, c_stride=0),
    "gemv": replace(GOOD, op=OPS["gemv"], m=1),
    "s is not looked at": replace(GOOD, s=(1 << 64) - 1),
    "longest k": replace(GOOD, k=512, a_stride=512),
    "a end": replace(GOOD, a=(1 << 40) - 16 - 5),
    "c end": replace(GOOD, c=(1 << 40) - 32 - 12),
    "w end": replace(GOOD, w=(1 << 40) - 16),
    "relu": replace(GOOD, activation=1),
}


def test_accepted_descriptors():
    async def body(b):
        for number, (name, descriptor) in enumerate(FINE.items()):
            await b.start(descriptor)
            await b.idle()
            assert len(b.jobs) == number + 1 and not await b.get("STATUS", "ERROR"), name

    Bench().run(body)


def test_copy_and_fence():
    async def body(b):
        odd = {"w": (1 << 64) - 1, "s": 7}
        await b.start(replace(GOOD, op=OPS["copy"], k=1, n=16, c_stride=4, **odd))
        await b.idle()
        assert b.jobs[0]["copy"] and b.jobs[0]["c_stride"] == 16
        await b.start(Descriptor(op=OPS["fence"], tag=3, a=(1 << 64) - 1))
        await b.idle()
        assert len(b.jobs) == 1 and await b.get("STATUS", "COMPLETED") == 2
        assert not await b.get("STATUS", "ERROR")
        await b.good()
        assert not b.jobs[1]["copy"]

    Bench().run(body)


@pytest.mark.parametrize("code", [1, 2])
def test_a_descriptor_that_cannot_be_fetched(code):
    async def body(b):
        await b.good()
        b.jobs.clear()
        b.fetch_fault = code
        b.put(0, GOOD)
        await b.queue(RECORD_EN=1)
        await b.set("QHEAD", 1)
        await b.idle()
        assert not b.jobs and b.clears == 1 and await b.get("QTAIL") == 1
        assert [r for _, r, _ in b.records] == [type(b.records[0][1])(0, 0, code)]
        assert await b.error() == (code, QBASE, 0, 0)
        b.fetch_fault = None
        await b.good()
        b.put(1, GOOD)
        await b.queue()
        await b.set("QHEAD", 2)
        await b.idle()
        assert len(b.jobs) == 2 and not await b.get("STATUS", "ERROR")

    Bench().run(body)


@pytest.mark.parametrize(("side", "code"), [("read", 1), ("read", 2), ("write", 3), ("write", 4)])
def test_faults_of_the_bus(side, code):
    async def body(b):
        async def breaks(ctx):
            await b.fault(ctx, side, code, 0xAB_1234_5000)
            b.held = True
            await b.fault(ctx, "write", 4, 0x99)  # only the first one counts
            await wait(ctx, 30)
            assert ctx.get(b.dut.stop) and ctx.get(b.dut.busy) and not b.clears
            b.held = False

        b.script = {0: breaks, 2: breaks}
        await b.start(GOOD)
        await b.idle()
        assert b.clears == 1 and not await b.get("STATUS", "DONE")
        assert await b.error() == (code, 0xAB_1234_5000, 0x7001, DIRECT)
        await b.good()
        b.clears = 0
        b.put(0, replace(GOOD, tag=5))
        b.put(1, replace(GOOD, tag=6))
        await b.queue(RECORD_EN=1)
        await b.set("QHEAD", 2)
        await b.idle()
        assert await b.get("QTAIL") == 1 and not await b.get("CTRL", "QUEUE_EN")
        assert [(r.tag, r.error) for _, r, _ in b.records] == [(5, code)]
        assert await b.error() == (code, 0xAB_1234_5000, 5, 0)
        await b.good()

    Bench().run(body)


def test_a_record_that_cannot_be_written():
    async def body(b):
        b.record_fault = 3
        b.put(0, GOOD)
        await b.queue(RECORD_EN=1)
        await b.set("QHEAD", 1)
        await b.idle()
        assert len(b.records) == 1 and b.clears == 1
        assert await b.get("STATUS", "COMPLETED") == 1 and not await b.get("STATUS", "DONE")
        assert await b.error() == (3, QBASE + 256, 0x7001, 0)
        b.put(1, replace(GOOD, m=0))
        await b.queue(RECORD_EN=1)
        await b.set("QHEAD", 2)
        await b.idle()
        assert await b.error() == (7, QBASE + 64, 0x7001, 1)  # that was first
        b.record_fault = None
        await b.good()

    Bench().run(body)


def test_an_error_of_the_engine():
    async def body(b):
        async def breaks(ctx):
            await b.pulse(b.dut.engine_error, b.dut.done, ctx=ctx)

        b.script = {0: breaks}
        await b.start(GOOD)
        await b.idle()
        assert b.clears == 1
        assert await b.error() == (11, 0, 0x7001, DIRECT)
        await b.good()

    Bench().run(body)


def test_timeout():
    async def body(b):
        async def stuck(ctx):
            for cycles in (0, 90, 95, 98):
                await wait(ctx, cycles)
                await b.pulse(b.dut.progress, ctx=ctx)
            assert not ctx.get(b.dut.stop)
            b.held = True
            await wait(ctx, 99)
            assert not ctx.get(b.dut.stop)
            await wait(ctx, 4)
            assert ctx.get(b.dut.stop)

        b.script = {0: stuck}
        await b.set("TIMEOUT", 100)
        await b.start(GOOD)
        await wait(b.ctx, 600)
        # The bus never comes to rest, but the host is told.
        assert await b.get("STATUS", "BUSY") and await b.get("STATUS", "COMPLETED") == 0
        assert await b.error() == (9, 0, 0x7001, DIRECT)
        b.held = False
        await b.idle()
        assert await b.get("STATUS", "COMPLETED") == 1 and not await b.get("STATUS", "ERROR")
        await b.set("TIMEOUT", 0)
        b.work = 500
        await b.good()

    Bench().run(body)


@pytest.mark.parametrize("state", ["LOCATE", "FETCH", "LOAD", "JUDGE", "EXTENT", "JOB", "RUN"])
@pytest.mark.parametrize("command", ["ABORT", "SOFT_RESET"])
def test_stopping_at_any_state(state, command):
    """The command is swept over all the cycles of a descriptor; ``state`` says where to look."""
    span = {
        "LOCATE": range(0, 4), "FETCH": range(4, 20, 3), "LOAD": range(20, 46, 5),
        "JUDGE": range(46, 52), "EXTENT": range(52, 100, 9), "JOB": range(100, 118, 3),
        "RUN": range(118, 130, 4),
    }[state]  # fmt: skip

    async def body(b):
        b.work = 40
        aborted = 0
        for cycles in span:
            await b.set("QHEAD", await b.get("QTAIL"))
            b.put(await b.get("QTAIL"), GOOD)
            b.put(await b.get("QTAIL") + 1, GOOD)
            await b.queue(RECORD_EN=command == "ABORT")
            done, tail = await b.get("STATUS", "COMPLETED"), await b.get("QTAIL")
            await b.set("QHEAD", tail + 2)
            await wait(b.ctx, cycles)
            await b.set("CTRL", QUEUE_EN=1, **{command: 1})
            await b.idle()
            assert not await b.get("CTRL", "QUEUE_EN")
            if command == "ABORT":
                aborted += 1
                code, where, tag, index = await b.error()
                assert (code, where, index) == (12, 0, tail) and tag in (0, GOOD.tag)
                assert await b.get("STATUS", "COMPLETED") == done + 1
                assert await b.get("QTAIL") == tail + 1
                assert b.records[-1][1].error == 12
            else:
                assert await b.get("STATUS") == MAP["STATUS"].reset
                assert await b.get("QHEAD") == await b.get("QTAIL") == await b.get("QSIZE") == 0
                assert await b.get("ERR_CODE") == 0 and not b.records
            b.shy = False
            await b.set("QHEAD", await b.get("QTAIL"))
            await b.good()
            await b.set("IRQ_STATUS", DONE=1, QUEUE_LOW=1)
            if command == "SOFT_RESET":
                await b.set("CTRL", SOFT_RESET=1)
                await b.idle()

    Bench().run(body)


def test_start_soon_after_an_abort():
    """Words of a descriptor that was aborted while it was loaded are none of the next one's."""

    async def body(b):
        wanted, ran = (GOOD.m, GOOD.a, 4 * GOOD.c_stride), 0
        other = replace(GOOD, m=77, n=66, k=55, a=0x7001, a_stride=99, c_stride=300)
        for gap in range(16):
            await b.start(other)
            await b.idle()
            for i, word in enumerate(GOOD.pack()):
                await b.set(f"DIRECT{i}", word)
            await b.set("IRQ_STATUS", 15)
            before = len(b.jobs)
            await b.set("CTRL", START=1)
            await b.set("CTRL", ABORT=1)
            await wait(b.ctx, gap)
            await b.set("CTRL", START=1)
            await b.idle()
            found = [(job["m"], job["a"], job["c_stride"]) for job in b.jobs[before:]]
            assert found in ([], [wanted])  # none if it was too soon
            ran += len(found)
        assert 4 < ran < 16

    Bench().run(body)


def test_abort_while_idle_and_commands_together():
    async def body(b):
        await b.queue()
        await b.set("CTRL", QUEUE_EN=1, IRQ_EN=1, ABORT=1)
        assert await b.get("CTRL") == MAP["CTRL"].make(IRQ_EN=1)
        assert not await b.get("STATUS", "ERROR") and not b.clears
        b.put(0, GOOD)
        await b.set("QHEAD", 1)
        await b.set("CTRL", QUEUE_EN=1, ABORT=1)
        await b.set("CTRL", START=1, ABORT=1)
        await b.idle()
        assert not b.fetched and await b.get("QTAIL") == 0
        await b.set("CTRL", START=1, SOFT_RESET=1, IRQ_EN=1)
        await b.idle()
        assert not b.jobs and await b.get("CTRL") == 0
        assert await b.get("STATUS") == MAP["STATUS"].reset
        await b.good()

    Bench().run(body)


def test_soft_reset_sets_all_registers_back():
    async def body(b):
        for i in range(16):
            await b.set(f"DIRECT{i}", 0xFFFF_FFFF)
        for name in ("SCRATCH", "IRQ_ENABLE", "QBASE_HI", "TIMEOUT", "AXI_ATTR", "QSIZE"):
            await b.set(name, MAP[name].mask)
        await b.set("CTRL", START=1, IRQ_EN=1)
        await b.idle()
        await b.pulse(b.dut.nan)
        assert await b.get("STATUS", "NAN") and await b.get("STATUS", "ERROR")
        assert b.ctx.get(b.dut.interrupt)
        await b.set("CTRL", SOFT_RESET=1)
        for _ in range(30):  # accesses go on
            assert (await b.access(0x000))[0] == 0x4547504D
        await b.idle()
        assert not b.ctx.get(b.dut.interrupt) and b.clears == 1
        for register in MAP.registers:
            if register.access != "WO" and register.name not in ("PERF0_LO", "PERF1_LO"):
                assert await b.get(register.name) == register.reset, register.name
        await b.good()

    for perf in (False, True):
        Bench(perf=perf).run(body)


def test_start_while_busy():
    async def body(b):
        b.work = 200
        await b.start(GOOD)
        await b.set("CTRL", START=1, QUEUE_EN=1)
        assert await b.get("STATUS", "BUSY") and not await b.get("CTRL", "QUEUE_EN")
        assert await b.error() == (10, 0, 0x7001, DIRECT)
        await b.idle()
        assert len(b.jobs) == 1 and await b.get("STATUS", "DONE") and not b.clears
        b.work = 5
        await b.good()

    Bench().run(body)


@pytest.mark.parametrize("busy", [False, True])
def test_queue_overflow(busy):
    async def body(b):
        b.work = 400 if busy else 5
        for i in range(4):
            b.put(i, GOOD)
        await b.queue()
        if busy:
            await b.set("QHEAD", 1)
            await wait(b.ctx, 150)
        await b.set("QHEAD", 5)
        assert await b.get("STATUS", "BUSY") == busy
        assert not await b.get("CTRL", "QUEUE_EN")
        assert await b.error() == (10, 0, 0, 0)
        b.work = 5
        await b.idle()
        assert len(b.jobs) == busy and await b.get("QTAIL") == busy
        await b.set("QHEAD", 4)
        await b.set("CTRL", QUEUE_EN=1)
        await b.idle()
        assert len(b.jobs) == 4 and not await b.get("STATUS", "ERROR")

    Bench().run(body)


@pytest.mark.parametrize(
    ("base", "size"), [(QBASE + 32, 4), (QBASE, 0), (QBASE, 3), (QBASE, 65536), (QBASE + 4, 4)]
)
def test_a_queue_that_cannot_be(base, size):
    async def body(b):
        await b.queue(size=size, base=base)
        assert not await b.get("CTRL", "QUEUE_EN")
        assert await b.error() == (7, 0, 0, 0)
        assert await b.get("STATUS", "COMPLETED") == 0
        b.put(0, GOOD)
        await b.queue()
        await b.set("QHEAD", 1)
        await b.idle()
        assert len(b.jobs) == 1 and not await b.get("STATUS", "ERROR")

    Bench().run(body)


@pytest.mark.parametrize(
    ("base", "size", "records", "works"),
    [
        ((1 << 40) - 256, 4, 0, True),
        ((1 << 40) - 256, 4, 1, False),
        ((1 << 40) - 320, 4, 1, True),
        (1 << 41, 4, 0, False),
    ],
)
def test_a_ring_at_the_end_of_the_addresses(base, size, records, works):
    async def body(b):
        b.put(0, GOOD, base=base)
        await b.queue(size=size, base=base, RECORD_EN=records)
        await b.set("QHEAD", 1)
        await b.idle()
        assert (len(b.jobs), len(b.records)) == (works, works and records)
        assert await b.get("QTAIL") == 1
        if not works:
            assert not b.fetched
            assert await b.error() == (8, base & (1 << 40) - 1, 0, 0)
        await b.good()

    Bench().run(body)


def test_the_last_one_stops_the_queue():
    async def body(b):
        for i in range(3):
            b.put(i, replace(GOOD, flags=1 << FLAGS["last"] if i == 1 else 0))
        await b.queue()
        await b.set("QHEAD", 3)
        await b.idle()
        assert len(b.jobs) == 2 and not await b.get("CTRL", "QUEUE_EN")
        assert await b.get("IRQ_STATUS") == 0
        await b.set("CTRL", QUEUE_EN=1)
        await b.idle()
        assert len(b.jobs) == 3 and await b.get("IRQ_STATUS") == MAP["IRQ_STATUS"].make(QUEUE_LOW=1)
        await b.start(replace(GOOD, flags=1 << FLAGS["last"]), QUEUE_EN=1)
        await b.idle()
        assert await b.get("CTRL", "QUEUE_EN")  # that came by START

    Bench().run(body)


def test_a_doorbell_while_running_and_a_queue_switched_off():
    async def body(b):
        b.work = 150
        for i in range(4):
            b.put(i, GOOD)
        await b.queue()
        await b.set("QHEAD", 1)
        await wait(b.ctx, 150)
        await b.set("QHEAD", 3)
        for _ in range(300):
            if len(b.jobs) == 2:
                break
            await b.get("STATUS")
        await b.set("CTRL", 0)
        await b.idle()
        assert len(b.jobs) == 2 and await b.get("QTAIL") == 2
        await b.set("CTRL", QUEUE_EN=1)
        await b.idle()
        assert len(b.jobs) == 3 and await b.get("QTAIL") == 3

    Bench().run(body)


def test_only_the_first_error_is_kept():
    async def body(b):
        await b.start(replace(GOOD, m=0, tag=1))
        await b.idle()
        await b.start(replace(GOOD, op=9, tag=2))
        await b.idle()
        assert await b.error() == (7, 0, 1, DIRECT)
        await b.start(replace(GOOD, op=9, tag=2))
        await b.idle()
        await b.set("IRQ_STATUS", DONE=1)
        assert await b.error() == (6, 0, 2, DIRECT)

    Bench().run(body)


@pytest.mark.parametrize(("signal", "name"), [("done", "DONE"), ("low", "QUEUE_LOW")])
def test_events_in_the_cycle_that_clears_them_stay(signal, name):
    async def body(b):
        b.put(0, replace(GOOD, flags=1 << FLAGS["irq"]))
        await b.queue()
        await b.set("QHEAD", 1)
        assert await clear_with(b, signal, MAP["IRQ_STATUS"].make(**{name: 1}))
        assert await b.get("IRQ_STATUS", name)
        await b.set("IRQ_STATUS", **{name: 1})
        assert not await b.get("IRQ_STATUS", name)

    bench = Bench()
    expose(bench, signal)
    bench.run(body)


async def clear_with(b, signal, flags):
    """Clear flags in the cycle of a signal; return whether it came."""
    bus, ctx = b.dut.bus, b.ctx
    for _ in range(300):
        if ctx.get(getattr(b, signal)):
            for port, value in (("address", MAP["IRQ_STATUS"].offset), ("data", flags)):
                ctx.set(getattr(bus, port), value)
            ctx.set(bus.strobe, 15)
            await b.pulse(bus.request, bus.write)
            await wait(ctx, 4)
            return True
        await ctx.tick()
    return False


def test_an_error_in_the_cycle_of_its_clearing_replaces_the_old_one():
    async def body(b):
        await b.start(replace(GOOD, m=0, tag=1))
        await b.idle()
        await b.start(replace(GOOD, op=9, tag=2))
        assert await clear_with(b, "raised", MAP["IRQ_STATUS"].make(ERROR=1))
        assert await b.error() == (6, 0, 2, DIRECT)

    bench = Bench()
    expose(bench, "raised")
    bench.run(body)


@pytest.mark.parametrize("late", [False, True])
def test_nan_is_sticky(late):
    async def body(b):
        await b.pulse(b.dut.nan)
        assert await b.get("STATUS", "NAN")
        if late:  # in the cycle of the write that clears it
            bus = b.dut.bus
            b.ctx.set(bus.address, MAP["IRQ_STATUS"].offset)
            b.ctx.set(bus.data, MAP["IRQ_STATUS"].make(DONE=1))
            b.ctx.set(bus.strobe, 15)
            await b.pulse(bus.request, bus.write, b.dut.nan)
            await wait(b.ctx, 4)
            assert await b.get("STATUS", "NAN")
        await b.set("IRQ_STATUS", ERROR=1)
        assert await b.get("STATUS", "NAN")
        await b.set("IRQ_STATUS", DONE=1)
        assert not await b.get("STATUS", "NAN")

    Bench().run(body)


def test_the_interrupt():
    async def body(b):
        async def level():
            await b.ctx.tick()
            return b.ctx.get(b.dut.interrupt)

        await b.good()
        assert not await level()
        await b.set("IRQ_ENABLE", ERROR=1)
        await b.set("CTRL", IRQ_EN=1)
        assert not await level()
        await b.set("IRQ_ENABLE", DONE=1)
        assert await level()
        await b.set("CTRL", 0)
        assert not await level()
        await b.set("CTRL", IRQ_EN=1)
        assert await level()
        await b.set("IRQ_STATUS", DONE=1)
        assert not await level()

    Bench().run(body)


def test_guarded_registers_and_access_rules():
    async def body(b):
        b.work = 2500
        await b.set("SCRATCH", 0x1234_5678)
        await b.start(GOOD, IRQ_EN=1)
        for register in MAP.registers:
            if register.access == "RO" or register.guarded:
                want = (0, True)
            else:
                continue
            assert await b.access(register.offset, 0xFFFF_FFFF) == want, register.name
        for i, word in enumerate(GOOD.pack()):
            assert await b.get(f"DIRECT{i}") == word
        for address in (
            0x001,
            0x022,
            0x06C,
            0x07C,
            0x0C4,
            0x0FC,
            0x160,
            0x174,
            0x180,
            0xFFC,
            0x082,
        ):
            assert await b.access(address) == (0, True), hex(address)
            assert await b.access(address, 1) == (0, True), hex(address)
        assert await b.get("SCRATCH") == 0x1234_5678
        assert await b.get("PERF_CLEAR") == 0
        await b.idle(2000)
        # Bytes without a strobe keep their value.
        await b.set("DIRECT3", 0x1122_3344)
        for strobe in range(16):
            await b.set("DIRECT3", 0x1122_3344)
            assert await b.access(MAP["DIRECT3"].offset, 0xAABB_CCDD, strobe) == (0, False)
            old = (0x44, 0x33, 0x22, 0x11)
            new = (0xDD, 0xCC, 0xBB, 0xAA)
            want = [
                n if strobe >> i & 1 else o for i, (n, o) in enumerate(zip(new, old, strict=True))
            ]
            assert await b.get("DIRECT3") == int.from_bytes(bytes(want), "little")
        assert await b.access(MAP["CTRL"].offset, 0xFFFF_FFFF, 0b1110) == (0, False)
        assert await b.get("CTRL") == MAP["CTRL"].make(IRQ_EN=1)
        await b.set("AXI_ATTR", 0xFFFF_FFFF)
        assert await b.get("AXI_ATTR") == 0xF7F
        attr = b.dut.attr
        assert [b.ctx.get(attr[n]) for n in ("cache", "prot", "qos")] == [15, 7, 15]

    for perf in (False, True):
        Bench(perf=perf).run(body)


def test_the_next_direct_descriptor_is_written_while_one_runs():
    """At any moment after START, in any order of words; while the queue fetches, too."""
    one, two = (replace(GOOD, k=k, activation=3, clamp_high=k).pack() for k in (6, 7))

    async def body(b):
        for i, word in enumerate(one):
            await b.set(f"DIRECT{i}", word)
        before, after = one, two
        for delay in range(0, 20, 2):
            await b.set("CTRL", START=1)
            await wait(b.ctx, delay)
            for i in sorted(range(16), reverse=delay < 12):
                await b.set(f"DIRECT{i}", after[i])
            await b.idle()
            assert [b.jobs[-1][name] for name in ("k", "high")] == [before[3] & 0xFFFF] * 2
            before, after = after, before
        assert [await b.get(f"DIRECT{i}") for i in range(16)] == list(before)
        await b.queue(size=4)
        for delay in range(10):
            b.put(delay, GOOD)
            await b.set("QHEAD", delay + 1)
            await wait(b.ctx, delay)
            for i in (0, 7, 15):
                await b.set(f"DIRECT{i}", after[i] ^ delay)
            await b.idle()
            assert b.jobs[-1]["k"] == GOOD.k and not await b.get("STATUS", "ERROR")
            for i in (0, 7, 15):
                assert await b.get(f"DIRECT{i}") == after[i] ^ delay

    Bench(data_width=64).run(body)


def expose(bench, name):
    """Let the bench see an inner signal of the registers, by its name."""
    from hw.coprocessor import control

    class Registers(control.ControlRegisters):
        def __init__(self, *args):
            super().__init__(*args)
            setattr(bench, name, getattr(self, name))

    original, control.ControlRegisters = control.ControlRegisters, Registers
    elaborate = bench.dut.elaborate

    def once(platform):
        try:
            return elaborate(platform)
        finally:
            control.ControlRegisters = original

    bench.dut.elaborate = once


def test_counters_behind_the_bus():
    async def body(b):
        b.work = 100
        await b.set("PERF_CLEAR")
        await b.start(GOOD)
        await b.idle()
        await b.set("PERF_FREEZE", FREEZE=1)
        cycles, busy = await b.get("PERF0_LO"), await b.get("PERF1_LO")
        assert 150 < busy < 300 and busy < cycles < busy + 500
        assert await b.get("PERF0_LO") == cycles
        assert await b.get("PERF5_LO") == 0

    Bench(perf=True).run(body)

# SPDX-License-Identifier: Apache-2.0
"""Bench of the emitted ``WriteMaster``, run by ``test_write_master``."""

import random

import cocotb

from tests.hw.axi.axi_bench import DECERR, OKAY, SLVERR, Bench, config, report

CHANNELS = ("aw", "w", "b", "command", "beat")


class Store(Bench):
    """Bench that knows what the memory must hold."""

    def __init__(self, dut, **options):
        super().__init__(dut, "write", **options)
        self.wanted = bytearray(self.memory)
        self.next = 0x1000

    def place(self, k, addr, count):
        content = self.random.randbytes(count)
        self.wanted[addr : addr + count] = content
        self.write(k, addr, content)

    def check(self):
        assert self.memory == self.wanted, [
            hex(a) for a in range(len(self.memory)) if self.memory[a] != self.wanted[a]
        ][:8]
        assert self.done == [len(w) for w in self.want]

    def after(self, k, count, gap):
        """Place a command behind all others, so that none overwrites another's bytes."""
        align = self.config["aligns"][k]
        self.next = -(-(self.next + gap) // align) * align
        self.place(k, self.next, count)
        self.next += count


@cocotb.test()
async def random_traffic(dut):
    """All clients at once, under every kind of stall."""
    for seed in range(8):
        rng = random.Random(seed)
        share = rng.choice((0, 0, 0.3, 0.8))
        stall = {c: rng.choice((0, 0.2, share)) for c in CHANNELS}
        bench = Store(dut, seed=seed, latency=rng.choice((1, 3, 20)), stall=stall)
        await bench.start()
        for _ in range(24):
            count = rng.choice((1, rng.randint(1, bench.size), rng.randint(1, 20 * bench.size)))
            bench.after(rng.randrange(bench.clients), count, rng.choice((0, 1, 5, 700)))
        await bench.settle()
        bench.check()
        assert not bench.faults
        want = [b for asked in bench.want for c in asked for b in bench.expected_bursts(*c)]
        assert sorted(want) == sorted(bench.bursts)
        assert bench.pulses == {"burst": len(want), "beat": sum(words for _, words in want)}


@cocotb.test()
async def every_offset_and_length(dut):
    """Around 4 KiB: each place of the first byte, with each length up to a few words."""
    bench = Store(dut, stall={"w": 0.1})
    await bench.start()
    align = bench.config["align"]
    for start in range(0, 2 * bench.size, align):
        for count in range(1, 2 * bench.size + 2, 1 if bench.size < 8 else 5):
            bench.place(0, 0x2000 - bench.size + start, count)
    for count in (4095, 4096, 4096 + bench.size):
        for addr in (0x1000, 0x2000 - align, 0x2000 + align):
            bench.place(0, addr // align * align, count)
    await bench.settle()
    bench.check()


@cocotb.test()
async def faults(dut):
    """A bad response to any burst is reported with its address; the others go on."""
    for code, response in ((3, SLVERR), (4, DECERR)):
        plan = Store(dut).expected_bursts(0x2F04, 40 * Store(dut).size)
        for index in range(0, len(plan), 1 if len(plan) < 6 else 4):

            def fault(i, word, index=index, response=response):
                return response if i == index else OKAY

            bench = Store(dut, fault=fault, stall={"b": 0.2})
            await bench.start(2)
            bench.place(0, 0x2F04, 40 * bench.size)
            await bench.settle()
            assert bench.faults == [(code, bench.bursts[index][0])]
            bench.check()


@cocotb.test()
async def done_in_time(dut):
    """Not before the response, and of the client whose command it was."""
    bench = Store(dut, latency=30)
    await bench.start()
    clients = [0, *range(bench.clients)][::-1]
    for k in clients:
        bench.after(k, 3 * bench.size, 0)
        answers = len(bench.moved["b"])
        done = list(bench.done)
        await bench.until(lambda b=bench, d=done: b.done != d)
        done[k] += 1
        assert bench.done == done
        assert len(bench.moved["b"]) > answers and bench.cycle - bench.moved["b"][-1] <= 1
    bench.check()


@cocotb.test()
async def stop_at_every_cycle(dut):
    """Stopped at any time the bus comes to rest, with nothing written but what was sent."""
    for moment in range(2, 40):
        stall = {c: 0.3 for c in CHANNELS} if moment % 3 else {}
        bench = Store(dut, seed=moment, latency=4, stall=stall)
        before = bytes(bench.memory)
        await bench.start(2)
        bench.next = 0x1FD0
        for n in range(4):
            bench.after(n % bench.clients, 5 * bench.size + 3, n)
        if moment % 2:  # data that never come
            for beats in bench.beats:
                while len(beats) > 4:
                    beats.pop()
        for _ in range(moment):
            await bench.step()
        bench.drive("stop", 1)
        await bench.step()
        await bench.step()
        done, bursts = list(bench.done), bench.index
        await bench.until(lambda b=bench: int(b.dut.idle.value), 400)
        assert bench.rules.quiet and bench.done == done and bench.index - bursts <= 3
        for new, old, want in zip(bench.memory, before, bench.wanted, strict=True):
            assert new in (old, want)
        for k in range(bench.clients):
            bench.commands[k].clear()
            bench.beats[k].clear()
            bench.drive(f"commands__{k}__valid", 0)
            bench.drive(f"beats__{k}__valid", 0)
        bench.drive("clear", 1)
        await bench.step()
        bench.drive("clear", 0)
        for _ in range(3):
            await bench.step()
        bench.drive("stop", 0)
        bursts = bench.index
        for _ in range(12):
            await bench.step()
        assert bench.index == bursts and bench.done == done
        bench.want = [[] for _ in range(bench.clients)]
        bench.done = [0] * bench.clients
        bench.wanted = bytearray(bench.memory)
        for k in range(bench.clients):
            bench.after(k, 2 * bench.size + 1, 900)
        await bench.settle()
        bench.check()


@cocotb.test()
async def attributes(dut):
    """Attributes do not change under a burst."""
    bench = Store(dut, latency=9, stall={"aw": 0.7})
    await bench.start()
    seen = set()

    def check(pins):
        if pins["awvalid"]:
            seen.add((pins["awcache"], pins["awprot"], pins["awqos"]))

    bench.checks.append(check)
    for value in (0x023, 0x7FF, 0x10F):
        seen.clear()
        bench.drive("attr", value)
        await bench.step()
        await bench.step()
        bench.after(0, 30 * bench.size, 0)
        await bench.until(lambda b=bench: b.rules.quiet is False)
        bench.drive("attr", value ^ 0x550)
        await bench.settle()
        assert seen == {(value & 15, value >> 4 & 7, value >> 7)}


@cocotb.test()
async def ready_never_comes(dut):
    """AW and W both rise though nobody is ready, and each without the other's transfer."""
    for stalled in ({"aw": 1.1, "w": 1.1}, {"aw": 1.1}, {"w": 1.1}):
        bench = Store(dut, stall=stalled)
        await bench.start()
        bench.after(0, bench.size, 0)
        seen = set()

        def check(pins, seen=seen):
            seen |= {c for c in ("aw", "w") if pins[f"{c}valid"]}

        bench.checks.append(check)
        for _ in range(12):
            await bench.step()
        assert seen == {"aw", "w"}
        for channel in ("aw", "w"):
            assert len(bench.moved[channel]) == (channel not in stalled)


@cocotb.test()
async def throughput(dut):
    """A word per cycle, also from one short row to the next."""
    c = config()
    for latency in (100, 8):
        bench = Store(dut, latency=latency)
        await bench.start()
        bench.after(0, 900 * bench.size, 3)
        bench.after(0, 900 * bench.size, 3)
        await bench.settle()
        bench.check()
        report(**{f"long, answer after {latency}": bench.rate("w")})
        if c["outstanding"] * min(c["max_burst"], 16) >= latency + 6:
            assert bench.rate("w") >= 0.98
    for rows in (1, 2, 4, 8):
        bench = Store(dut, latency=1)
        await bench.start()
        for row in range(40):
            addr = (0x1000 + 0x200 * row) // c["align"] * c["align"]
            bench.place(0, addr, rows * bench.size)
        await bench.settle()
        bench.check()
        report(**{f"rows of {rows}": bench.rate("w")})
        if c["outstanding"] >= 8:
            assert bench.rate("w") >= 0.98

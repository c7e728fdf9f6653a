# SPDX-License-Identifier: Apache-2.0
"""Bench of the emitted ``ReadMaster``, run by ``test_read_master``."""

import random

import cocotb

from tests.hw.axi.axi_bench import DECERR, OKAY, SLVERR, Bench, config, report

CHANNELS = ("ar", "r", "command")


def addresses(bench, rng, k, longest):
    """Return a command of client ``k``, often near a boundary of 4 KiB."""
    align = bench.config["aligns"][k]
    count = rng.choice((1, bench.size, rng.randint(1, bench.size), rng.randint(1, longest)))
    addr = rng.choice((rng.randrange(0x8000), 0x3000 - rng.randint(0, 2 * count)))
    return addr // align * align, count


@cocotb.test()
async def random_traffic(dut):
    """All clients at once, under every kind of stall."""
    for seed in range(6):
        rng = random.Random(seed)
        share = rng.choice((0, 0, 0.3, 0.8))
        stall = {c: rng.choice((0, 0.2, share)) for c in CHANNELS}
        bench = Bench(dut, "read", seed=seed, latency=rng.choice((1, 3, 20)), stall=stall)
        await bench.start()
        for k in range(bench.clients):
            for _ in range(12):
                bench.ask(k, *addresses(bench, rng, k, 40 * bench.size))
        await bench.settle()
        bench.check_reads()
        assert not bench.faults
        want = [b for asked in bench.want for c in asked for b in bench.expected_bursts(*c)]
        assert sorted(want) == sorted(bench.bursts)
        assert bench.pulses == {"burst": len(want), "beat": sum(words for _, words in want)}


@cocotb.test()
async def every_offset_and_length(dut):
    """Around 4 KiB: each place of the first byte, with each length up to a few words."""
    for k, align in enumerate(config()["aligns"]):
        bench = Bench(dut, "read", seed=k, stall={"r": 0.1})
        await bench.start()
        for start in range(0, 2 * bench.size, align):
            for count in range(1, 3 * bench.size + 2, 1 if bench.size < 8 else 5):
                bench.ask(k, 0x2000 - bench.size + start, count)
        if k == 0:
            for count in (4095, 4096, 4097):
                for addr in (0x1000, 0x2000 - align, 0x2000 + align):
                    bench.ask(k, addr // align * align, count)
        await bench.settle()
        bench.check_reads()


@cocotb.test()
async def turns(dut):
    """Clients that all want something get it command by command in turns."""
    bench = Bench(dut, "read", latency=5)
    await bench.start()
    size = bench.size * bench.config["max_burst"]
    for k in range(bench.clients):
        for count in range(8):
            bench.ask(k, 0x1000 * (k + 1) + count * size % 0x1000, size)
    await bench.settle()
    bench.check_reads()
    owners = [addr >> 12 for addr, _ in bench.bursts][bench.clients : 4 * bench.clients]
    for k in range(len(owners) - bench.clients + 1):
        assert len(set(owners[k : k + bench.clients])) == bench.clients, owners


@cocotb.test()
async def faults(dut):
    """An error in any word of any burst is reported with the address of its burst."""
    base = 0x2F04 // config()["aligns"][0] * config()["aligns"][0]
    plan = Bench(dut, "read").expected_bursts(base, 40 * Bench(dut, "read").size)
    for code, response in ((1, SLVERR), (2, DECERR)):
        for index, (addr, words) in enumerate(plan):
            for word in {0, words // 2, words - 1}:

                def fault(i, w, index=index, word=word, response=response):
                    return response if (i, w) == (index, word) else OKAY

                bench = Bench(dut, "read", fault=fault, stall={"r": 0.2})
                await bench.start(2)
                bench.ask(0, base, 40 * bench.size)
                await bench.settle()
                assert bench.faults == [(code, addr)]
                bench.check_reads()


@cocotb.test()
async def wrong_last(dut):
    """RLAST that comes early or not at all is a fault, and the master comes to rest."""
    for wrong in ("early", "never"):
        bench = Bench(dut, "read")
        bench.rules.slave = False
        await bench.start()
        slave, words = bench.read_slave, min(3, bench.config["max_burst"])

        def broken(pins, wrong=wrong, bench=bench, slave=slave):
            slave(pins)
            if wrong == "never":
                bench.axi("rlast", 0)
            elif bench.driven["m_axi_rvalid"] and bench.pending and bench.at == 0:
                bench.axi("rlast", 1)
                bench.pending[0][2] = 1

        bench.read_slave = broken
        bench.ask(0, 0x1000, words * bench.size)
        await bench.until(lambda b=bench: b.index and int(b.dut.idle.value), 50)
        await bench.step()
        await bench.step()
        assert bench.faults == [(1, 0x1000)], (wrong, bench.faults)


@cocotb.test()
async def stop_at_every_cycle(dut):
    """Stopped at any time the bus comes to rest; cleared, nothing is left of what was asked."""
    for moment in range(2, 44):
        stall = {c: 0.3 for c in CHANNELS} if moment % 3 else {}
        bench = Bench(dut, "read", seed=moment, latency=4, stall=stall)
        await bench.start(2)
        for k, align in enumerate(bench.config["aligns"]):
            for n in range(3):
                addr = 0x1FC0 + 0x1000 * k + 37 * n
                bench.ask(k, addr // align * align, 7 * bench.size + 3)
        for _ in range(moment):
            await bench.step()
        bench.drive("stop", 1)
        await bench.step()
        bursts = bench.index
        await bench.until(lambda b=bench: int(b.dut.idle.value), 400)
        # What was up or behind it may still have gone out, no more.
        assert bench.index - bursts <= 3
        assert bench.rules.quiet
        for commands in bench.commands:
            commands.clear()
        for k in range(bench.clients):
            bench.drive(f"commands__{k}__valid", 0)
        bench.drive("clear", 1)
        await bench.step()
        bench.drive("clear", 0)
        await bench.step()
        bench.got = [[] for _ in range(bench.clients)]
        bench.want = [[] for _ in range(bench.clients)]
        for _ in range(4):
            await bench.step()
        bench.drive("stop", 0)
        before = bench.index
        for _ in range(12):
            await bench.step()
        assert bench.index == before and not any(bench.got)
        for k, align in enumerate(bench.config["aligns"]):
            bench.ask(k, 0x5007 // align * align, 2 * bench.size)
        await bench.settle()
        bench.check_reads()


@cocotb.test()
async def pause(dut):
    """Without clear, what was stopped goes on where it was."""
    bench = Bench(dut, "read", latency=3, stall={"r": 0.3})
    await bench.start()
    for k in range(bench.clients):
        bench.ask(k, 0x3F00, 50 * bench.size)
    for _ in range(25):
        for level in (1, 0):
            bench.drive("stop", level)
            for _ in range(bench.random.randint(1, 9)):
                await bench.step()
    await bench.settle()
    bench.check_reads()


@cocotb.test()
async def attributes(dut):
    """Constants, and attributes that do not change under a burst."""
    bench = Bench(dut, "read", latency=9, stall={"ar": 0.7})
    await bench.start()
    seen = set()

    def check(pins):
        if pins["arvalid"]:
            seen.add((pins["arcache"], pins["arprot"], pins["arqos"]))

    bench.checks.append(check)
    for value in (0x023, 0x7FF, 0x10F):
        seen.clear()
        bench.drive("attr", value)
        await bench.step()
        await bench.step()
        bench.ask(0, 0x1000, 30 * bench.size)
        await bench.until(lambda b=bench: b.rules.quiet is False)
        bench.drive("attr", value ^ 0x550)
        await bench.settle()
        assert seen == {(value & 15, value >> 4 & 7, value >> 7)}


@cocotb.test()
async def ready_never_comes(dut):
    """VALID rises though nobody is ready, and stays."""
    bench = Bench(dut, "read", stall={"ar": 1.1})
    await bench.start()
    bench.ask(0, 0x1000, 4)
    await bench.until(lambda: int(dut.m_axi_arvalid.value), 5)
    for _ in range(20):
        await bench.step()
        assert int(dut.m_axi_arvalid.value) and not int(dut.idle.value)


@cocotb.test()
async def throughput(dut):
    """A word per cycle with a latency of 100, if enough bursts are in flight."""
    c = config()
    enough = c["outstanding"] * c["max_burst"] >= 110
    for k, align in enumerate(c["aligns"]):
        bench = Bench(dut, "read", latency=100 if enough else 1)
        await bench.start()
        for start in (0x1003, 0x7005):
            bench.ask(k, start // align * align, 500 * bench.size)
        await bench.settle()
        bench.check_reads()
        report(**{f"long{align}": bench.rate("r")})
        assert bench.rate("r") >= (0.98 if enough else 0.5)

    # Chunks of 16 beats, alternating between rows, for the client that is aligned worst.
    k = min(range(len(c["aligns"])), key=lambda k: c["aligns"][k])
    bench = Bench(dut, "read", latency=100 if enough else 1)
    await bench.start()
    align = c["aligns"][k]
    for chunk in range(20):
        for row in range(4):
            addr = 0x400 + row * 0x1C35 + chunk * 16 * bench.size
            bench.ask(k, addr // align * align, 16 * bench.size)
    await bench.settle()
    bench.check_reads()
    report(chunks=bench.rate("r"), chunk_bursts=bench.rate("ar"), outstanding=c["outstanding"])

    # Commands of one word each.
    bench = Bench(dut, "read", latency=1)
    await bench.start()
    for n in range(60):
        bench.ask(0, 0x1000 + n * max(64, bench.size), 1)
    await bench.settle()
    bench.check_reads()
    report(single=bench.rate("ar"))
    assert bench.rate("ar") >= (0.5 if c["outstanding"] >= 8 else 0.2)

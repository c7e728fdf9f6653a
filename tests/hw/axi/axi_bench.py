# SPDX-License-Identifier: Apache-2.0
"""Bench of an AXI4 master with clients: emission, a slave with memory, the clients, the monitor."""

import json
import os
import random
from collections import deque
from itertools import pairwise

from amaranth.back import rtlil
from amaranth.hdl import Signal, Value

OKAY, SLVERR, DECERR = 0, 2, 3
SPACE = 1 << 16
LIMIT = 60_000  # cycles of any scenario


def emit(component, name):
    """Return Verilog of a component, its members by Amaranth's own names."""
    from gen import yosys

    values = [Value.cast(v) for _, _, v in component.signature.flatten(component)]
    ports = [value for value in values if isinstance(value, Signal)]
    return yosys.to_verilog(rtlil.convert(component, name=name, ports=ports, emit_src=False))


def run(component, name, folder, config, mutate=lambda text: text, only=None):
    """Simulate the emitted ``component`` with the bench ``cocotb_<name>``; return its report."""
    from sim.runner import simulate

    source = folder / f"{name}.v"
    source.write_text(mutate(emit(component, name)), encoding="utf-8")
    report = folder / "report.json"
    env = {"AXI_CONFIG": json.dumps(config), "AXI_REPORT": str(report)}
    if only:
        env["COCOTB_TEST_FILTER"] = rf"{only}$"
    simulate([source], name, f"tests.hw.axi.cocotb_{name}", folder / "run", env=env)
    return json.loads(report.read_text()) if report.exists() else {}


def report(**figures):
    """Leave figures for the caller of :func:`run`."""
    path = os.environ["AXI_REPORT"]
    known = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            known = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(known | figures, file)


def config():
    return json.loads(os.environ["AXI_CONFIG"])


class Bench:
    """One cycle per :meth:`step`: look at everything, judge it, then drive everything.

    ``stall`` maps a channel (``ar`` ... ``b``, ``command``, ``beat``) to the share of cycles in
    which its driver holds back. ``fault(index, word)`` gives the response of a word, or of a
    written burst (word None).
    """

    clock = None  # of the test that runs

    def __init__(self, dut, kind, *, seed=0, latency=1, stall=None, fault=None):
        from sim.bench.axi_monitor import AxiRules

        self.dut, self.kind = dut, kind
        self.random = random.Random(seed)
        c = self.config = config()
        self.size = c["data_width"] // 8
        self.clients = len(c["aligns"])
        self.latency, self.stall = latency, stall or {}
        self.fault = fault or (lambda index, word: OKAY)
        self.memory = bytearray(self.random.randbytes(SPACE))
        self.asked = bytearray(SPACE)  # bytes of commands
        self.channels = "ar r" if kind == "read" else "aw w b"
        self.rules = AxiRules(
            c["data_width"],
            min(c["max_burst"], 4096 // self.size),
            c["outstanding"],
            writable=lambda a: self.asked[a],
            readable=lambda a: self.asked[a],
            channels=self.channels,
        )
        self.cycle, self.driven, self.handles = 0, {}, {}
        self.commands = [deque() for _ in range(self.clients)]
        self.beats = [deque() for _ in range(self.clients)]  # to write: one word each
        self.got = [[] for _ in range(self.clients)]  # beats read: data, last
        self.want = [[] for _ in range(self.clients)]  # commands read, in order
        self.done = [0] * self.clients
        self.faults, self.pulses = [], {"burst": 0, "beat": 0}
        self.bursts = []  # address and words of each, as transferred
        self.moved = {c: [] for c in self.channels.split()}  # cycles of transfers
        self.pending = deque()  # of the slave: index, address, words, first cycle of an answer
        self.at = 0  # word of the oldest burst being read
        self.strobes = deque()  # data of bursts whose address has not come
        self.index = 0
        self.checks = []  # called every cycle with what the pins show

    # --- pins

    def pin(self, name):
        if name not in self.handles:
            self.handles[name] = getattr(self.dut, name)
        return self.handles[name]

    def get(self, name):
        return int(self.pin(name).value)

    def drive(self, name, value):
        if self.driven.get(name) != value:
            self.driven[name] = value
            self.pin(name).value = value

    def pins(self):
        """What the bus shows: payload only with VALID, for reading pins takes most of the time."""
        from sim.bench.axi_monitor import CHANNELS

        found = {}
        for c in self.channels.split():
            names = [f"{c}valid", f"{c}ready"]
            payload = [f"{c}{f}" for f in CHANNELS[c]]
            for name in (*names, *payload):
                if name in payload and not found[names[0]]:
                    continue
                driven = self.driven.get(f"m_axi_{name}")
                found[name] = self.get(f"m_axi_{name}") if driven is None else driven
        return found

    def axi(self, name, value):
        self.drive(f"m_axi_{name}", value)

    async def start(self, cycles=3):
        from cocotb.clock import Clock

        outputs = "arready rvalid rdata rresp rlast" if self.kind == "read" else ""
        outputs = outputs or "awready wready bvalid bresp"
        for name in outputs.split():
            self.axi(name, 0)
        for k in range(self.clients):
            self.drive(f"commands__{k}__valid", 0)
            self.drive(f"commands__{k}__payload", 0)
            if self.kind == "write":
                self.drive(f"beats__{k}__valid", 0)
                self.drive(f"beats__{k}__payload", 0)
        for name in ("stop", "clear"):
            self.drive(name, 0)
        self.drive("attr", 0x23)
        self.drive("rst", 1)
        if Bench.clock is None or Bench.clock.done():
            Bench.clock = Clock(self.dut.clk, 10, "ns").start()
        for _ in range(cycles):
            await self.step()
        self.drive("rst", 0)
        await self.step()

    async def step(self):
        from cocotb.triggers import RisingEdge

        await RisingEdge(self.dut.clk)
        self.cycle += 1
        reset = self.driven["rst"]
        if self.cycle == 1:  # nothing was driven before
            return
        pins = self.pins()
        quiet = self.rules.quiet
        self.rules.step(pins, bool(reset))
        if reset:
            return
        if self.get("idle"):
            assert quiet, "idle with a burst in flight"
            assert not any(pins[f"{c}valid"] for c in self.channels.split()), "idle with VALID"
        for c in self.moved:
            if pins[f"{c}valid"] and pins[f"{c}ready"]:
                self.moved[c].append(self.cycle)
        for check in self.checks:
            check(pins)
        if self.get("fault"):
            self.faults.append((self.get("code"), self.get("addr")))
        for name in self.pulses:
            self.pulses[name] += self.get(name)
        for k in range(self.clients):
            self.client(k)
        if self.kind == "read":
            self.read_slave(pins)
        else:
            self.write_slave(pins)

    def holds_back(self, channel):
        share = self.stall.get(channel, 0)
        return share and self.random.random() < share

    # --- clients

    def offer(self, name, queue, channel):
        """Drive a stream from a queue: an item stays until it is taken."""
        valid = f"{name}__valid"
        if self.driven[valid] and self.get(f"{name}__ready"):
            queue.popleft()
            self.drive(valid, 0)
        if not self.driven[valid] and queue and not self.holds_back(channel):
            self.drive(f"{name}__payload", queue[0])
            self.drive(valid, 1)

    def client(self, k):
        self.offer(f"commands__{k}", self.commands[k], "command")
        if self.kind == "write":
            self.offer(f"beats__{k}", self.beats[k], "beat")
            self.done[k] += self.get("done") >> k & 1
        elif self.get(f"beats__{k}__valid"):
            beat = self.get(f"beats__{k}__payload")
            self.got[k].append((beat & (1 << 8 * self.size) - 1, beat >> 8 * self.size))

    def ask(self, k, addr, count):
        """Give client ``k`` a command."""
        self.asked[addr : addr + count] = b"\1" * count
        self.commands[k].append(addr | count << self.config["addr_bits"])
        self.want[k].append((addr, count))

    def write(self, k, addr, content):
        self.ask(k, addr, len(content))
        for start in range(0, len(content), self.size):
            part = content[start : start + self.size]
            last = int(start + self.size >= len(content))
            part += self.random.randbytes(self.size - len(part))
            self.beats[k].append(int.from_bytes(part, "little") | last << 8 * self.size)

    def expected_bursts(self, addr, count):
        """The document's rule: as long as 4 KiB, the limit and the command allow."""
        most = min(self.config["max_burst"] * self.size, 4096)
        word, end, bursts = addr // self.size * self.size, addr + count, []
        while word < end:
            stop = min(word + most, (word // 4096 + 1) * 4096, -(-end // self.size) * self.size)
            bursts.append((word, (stop - word) // self.size))
            word = stop
        return bursts

    def check_reads(self):
        """Every command's beats came, with the memory's bytes."""
        for k in range(self.clients):
            beats = iter(self.got[k])
            for addr, count in self.want[k]:
                for start in range(0, count, self.size):
                    data, last = next(beats)
                    here = min(self.size, count - start)
                    found = data.to_bytes(self.size, "little")[:here]
                    assert found == self.memory[addr + start : addr + start + here], (
                        k, hex(addr), count, start,
                    )  # fmt: skip
                    assert last == (start + self.size >= count), (k, hex(addr), count, start)
            assert next(beats, None) is None, "more beats than asked for"

    async def until(self, condition, limit=LIMIT):
        for _ in range(limit):
            if condition():
                return
            await self.step()
        raise AssertionError(f"nothing after {limit} cycles")

    async def settle(self, cycles=6):
        """Wait until all commands are over."""
        commands = sum(map(len, self.want))

        def over():
            ended = sum(last for got in self.got for _, last in got) + sum(self.done)
            return ended == commands and self.get("idle")

        await self.until(over)
        for _ in range(cycles):
            await self.step()

    # --- the slave

    def accept(self, pins, c):
        if pins[f"{c}valid"] and pins[f"{c}ready"]:
            words = pins[f"{c}len"] + 1
            self.bursts.append((pins[f"{c}addr"], words))
            self.pending.append([self.index, pins[f"{c}addr"], words, self.cycle + self.latency])
            self.index += 1
        self.axi(f"{c}ready", int(not self.holds_back(c)))

    def read_slave(self, pins):
        if pins["rvalid"]:
            self.at += 1
            if self.at == self.pending[0][2]:
                self.pending.popleft()
                self.at = 0
        self.accept(pins, "ar")
        due = self.pending and self.cycle >= self.pending[0][3]
        if not due or self.holds_back("r"):
            self.axi("rvalid", 0)
            return
        index, addr, words, _ = self.pending[0]
        addr += self.at * self.size
        self.axi("rvalid", 1)
        self.axi("rdata", int.from_bytes(self.memory[addr : addr + self.size], "little"))
        self.axi("rresp", self.fault(index, self.at))
        self.axi("rlast", int(self.at == words - 1))

    def write_slave(self, pins):
        if pins["bvalid"]:
            self.pending.popleft()
        if pins["wvalid"] and pins["wready"]:
            self.strobes.append((pins["wdata"], pins["wstrb"]))
        self.accept(pins, "aw")
        self.axi("wready", int(not self.holds_back("w")))
        for burst in self.pending:
            if len(burst) == 5:
                continue
            if len(self.strobes) < burst[2]:
                break
            for k in range(burst[2]):
                data, strobe = self.strobes.popleft()
                for byte in range(self.size):
                    if strobe >> byte & 1:
                        self.memory[burst[1] + k * self.size + byte] = data >> 8 * byte & 255
            burst[3] = max(burst[3], self.cycle + self.latency - 1)
            burst.append("written")
        due = self.pending and len(self.pending[0]) == 5 and self.cycle >= self.pending[0][3]
        if due and not self.holds_back("b"):
            self.axi("bresp", self.fault(self.pending[0][0], None))
            self.axi("bvalid", 1)
        else:
            self.axi("bvalid", 0)

    # --- figures

    def rate(self, channel):
        """Transfers per cycle, from the first to the last."""
        cycles = self.moved[channel]
        return len(cycles) / (cycles[-1] - cycles[0] + 1)

    def longest_gap(self, channel):
        return max((b - a for a, b in pairwise(self.moved[channel])), default=0)

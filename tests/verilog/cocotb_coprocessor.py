# SPDX-License-Identifier: Apache-2.0
"""Bench of the emitted co-processor: a standard master and memory, the monitor, the golden model.

Run by ``test_coprocessor`` with a wrapper that adds the IDs that the memory wants.
"""

import json
import logging
import os
import random
from dataclasses import replace

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam

from hw.spec.coprocessor import OPS, RECORD_BYTES, Descriptor, Record
from sim.bench.axi_monitor import AxiRules, watch
from sim.golden.coprocessor.accelerator import GoldenAccelerator
from tests.sim.coprocessor_twin import BASE, SIZE, draw

MANIFEST = json.loads(os.environ["BITLOOM_MANIFEST"])
JOBS = int(os.environ.get("BITLOOM_JOBS", "2"))  #: Products at each pace.
RING, ENTRIES = BASE + 0x3B00, 4  #: Of 64-byte descriptors, and records behind them.
SMALL = (5, 5, 20)
LONG = Descriptor(
    m=4, n=4, k=20, a=BASE + 4091, w=BASE + 0x4FF0, s=BASE + 0x8000, c=BASE + 0xCFE9,
    a_stride=23, c_stride=9,
)  # fmt: skip

logging.getLogger("cocotb").setLevel(logging.WARNING)


def pauses(rng, share):
    while True:
        yield rng.random() < share


class Board:
    """The device with its memory, beside the golden model."""

    def __init__(self, dut, seed, share=0.3):
        self.dut, self.rng = dut, np.random.default_rng(seed)
        self.random, self.share = random.Random(seed), share
        self.golden = GoldenAccelerator(MANIFEST, base=BASE, size=SIZE)
        self.map, self.contract = self.golden.map, self.golden.contract
        self.edge, self.interrupts = RisingEdge(dut.aclk), 0
        self.reads, self.writes = [], []

    async def start(self):
        dut, contract = self.dut, MANIFEST["contract"]
        dut.aresetn.value = 0
        Clock(dut.aclk, 10, "ns").start()
        active_low = {"reset_active_level": False}
        self.ram = AxiRam(
            AxiBus.from_prefix(dut, "m_axi"), dut.aclk, dut.aresetn, **active_low, size=BASE + SIZE
        )
        self.master = AxiLiteMaster(
            AxiLiteBus.from_prefix(dut, "s_axi_ctrl"), dut.aclk, dut.aresetn, **active_low
        )
        self.pace(self.share)
        limits = (contract["data_width"], contract["max_burst"], contract["outstanding"])
        self.rules = AxiRules(
            *limits,
            writable=lambda at: any(at in each for each in self.writes),
            readable=lambda at: any(at in each for each in self.reads),
        )
        cocotb.start_soon(watch(dut, self.rules))
        cocotb.start_soon(self.count())
        await self.cycles(4)
        dut.aresetn.value = 1
        await self.cycles(2)
        self.fill()
        return self

    def pace(self, share):
        """Let every channel of both buses pause in that share of cycles."""
        for side, names in (("write", ("aw", "w", "b")), ("read", ("ar", "r"))):
            for part in (getattr(self.ram, f"{side}_if"), getattr(self.master, f"{side}_if")):
                for name in names:
                    channel = getattr(part, f"{name}_channel")
                    channel.set_pause_generator(pauses(self.random, share))

    async def cycles(self, count):
        for _ in range(count):
            await self.edge

    async def count(self):
        """Count cycles with the interrupt."""
        while True:
            await self.edge
            self.interrupts += bool(self.dut.interrupt.value == 1)

    def fill(self):
        data = self.rng.integers(0, 256, SIZE, dtype=np.uint8)
        self.golden.memory[:] = data
        self.ram.write(BASE, data.tobytes())

    def put(self, address, data):
        self.golden.memory[address - BASE : address - BASE + len(data)] = data
        self.ram.write(address, bytes(data))

    def allow(self, descriptors):
        """Tell the monitor what may be touched."""
        self.reads, self.writes = [range(RING, RING + 64 * ENTRIES)], []
        end = RING + 64 * ENTRIES
        self.writes.append(range(end, end + RECORD_BYTES * ENTRIES))
        for each in descriptors:
            for name, extent in self.contract.extents(each).items():
                rows = [extent.address + row * extent.stride for row in range(extent.rows)]
                found = self.writes if name == "c" else self.reads
                found += [range(row, row + extent.size) for row in rows]

    async def set(self, name, word=0, strobes=15, **fields):
        """Write the low bytes of a register of both; they agree whether that is refused."""
        register = self.map[name]
        word = register.make(**fields) if fields else word
        refused = self.golden.write32(register.offset, word, strobes)
        data = word.to_bytes(4, "little")[: strobes.bit_length()]
        answer = await self.master.write(register.offset, data)
        assert int(answer.resp) == (2 if refused else 0), (name, answer)

    async def get(self, name, field=None):
        answer = await self.master.read(self.map[name].offset, 4)
        assert int(answer.resp) == 0
        word = int.from_bytes(answer.data, "little")
        return word if field is None else self.map[name].get(word, field)

    async def direct(self, descriptor, **fields):
        for number, word in enumerate(descriptor.pack()):
            await self.set(f"DIRECT{number}", word)
        await self.set("CTRL", START=1, **fields)

    async def rest(self):
        for _ in range(500):
            if not await self.get("STATUS", "BUSY"):
                return
        raise AssertionError("it hangs")

    async def compare(self, records=()):
        """Insist that memory and registers are equal, and nothing is left on the bus."""
        assert self.rules.quiet
        found = np.frombuffer(self.ram.read(BASE, SIZE), dtype=np.uint8)
        for at in records:
            here = slice(at - BASE, at - BASE + RECORD_BYTES)
            assert Record.unpack(found[here].view("<u4").tolist()).cycles > 10
            self.golden.memory[at - BASE + 8 : at - BASE + 16] = found[here][8:]
        wrong = np.flatnonzero(found != self.golden.memory)
        assert not len(wrong), f"{len(wrong)} bytes differ, the first at {BASE + wrong[0]:#x}"
        for register in self.map.registers:
            if register.access != "WO" and not register.name.startswith(("PERF", "DIRECT")):
                due, _ = self.golden.read32(register.offset)
                word = await self.get(register.name)
                assert word == due, f"{register.name} is {word:#x}, not {due:#x}"


@cocotb.test()
async def constants_and_refusals(dut):
    """Every register after reset, holes and ends of the window, and writes of some bytes."""
    board = await Board(dut, 1).start()
    await board.compare()
    for offset in (0x06C, 0x07C, 0x0C4, 0x0FC, 0x160, 0x174, 0x180, 0xFFC):
        due, refused = board.golden.read32(offset)
        answer = await board.master.read(offset, 4)
        assert (int.from_bytes(answer.data, "little"), int(answer.resp)) == (due, 2 * refused)
    for strobes in (1, 3, 7, 15):
        for name in ("SCRATCH", "IRQ_ENABLE", "QBASE_LO", "QHEAD", "DIRECT5", "ID"):
            await board.set(name, board.random.getrandbits(32), strobes)
        answer = await board.master.write(board.map["SCRATCH"].offset + 1, b"a")
        assert int(answer.resp) == 2
    await board.compare()


@cocotb.test()
async def products(dut):
    """Random sizes, strides and places; all of memory is compared after each."""
    board = await Board(dut, 2).start()
    for share in (0, 0.3, 0.7):
        board.pace(share)
        board.fill()
        for _ in range(JOBS):
            descriptor = draw(board.rng, board.contract, SMALL)
            board.allow([descriptor])
            await board.direct(descriptor, IRQ_EN=1)
            await board.rest()
            await board.compare()
            await board.set("IRQ_STATUS", 15)


@cocotb.test()
async def queue(dut):
    """A ring of four that wraps, records, the flags of completion, and a stop in between."""
    board = await Board(dut, 5, 0.2).start()
    fence = Descriptor(op=OPS["fence"])
    bad = replace(fence, version=2, tag=77)
    rounds = [
        [draw(board.rng, board.contract, SMALL) for _ in range(3)],
        [draw(board.rng, board.contract, SMALL), fence, draw(board.rng, board.contract, SMALL)],
        [fence, bad, draw(board.rng, board.contract, SMALL)],
        [replace(fence, tag=3, flags=8), fence, fence, fence],
    ]
    for name, word in (("QBASE_LO", RING), ("QSIZE", ENTRIES), ("IRQ_ENABLE", 15)):
        await board.set(name, word)
    head = 0
    for these in rounds:
        for number, each in enumerate(these, head):
            at = RING + 64 * (number % ENTRIES)
            board.put(at, np.array(each.pack(), dtype="<u4").view(np.uint8))
        board.allow(these)
        before = head
        head += len(these)
        await board.set("QHEAD", head)
        done = before
        while done != head:  # a wrong descriptor or "last" has stopped it, or nothing did yet
            await board.set("CTRL", QUEUE_EN=1, RECORD_EN=1, IRQ_EN=1)
            await board.rest()
            before, done = done, await board.get("QTAIL")
            assert done != before
            ends = RING + 64 * ENTRIES
            await board.compare([ends + 16 * (k % ENTRIES) for k in range(before, done)])
            await board.set("IRQ_STATUS", 15)
        await board.set("CTRL", RECORD_EN=1)


@cocotb.test()
async def interrupt_is_never_lost(dut):
    """DONE is cleared in each cycle around completion; the interrupt shows in every run."""
    board = await Board(dut, 6, 0).start()
    await board.set("IRQ_ENABLE", 1)
    for number, word in enumerate(Descriptor(op=OPS["fence"]).pack()):
        await board.set(f"DIRECT{number}", word)
    left = []
    for delay in range(0, 36):
        board.interrupts = 0
        await board.set("CTRL", START=1, IRQ_EN=1)
        await board.cycles(delay)
        await board.set("IRQ_STATUS", 1)
        await board.rest()
        await board.cycles(3)
        assert board.interrupts, f"lost, when cleared after {delay} cycles"
        left.append(await board.get("IRQ_STATUS", "DONE"))
        await board.set("IRQ_STATUS", 1)
    assert left == sorted(left, reverse=True) and {0, 1} == set(left), left


@cocotb.test()
async def guarded_while_busy(dut):
    """What is guarded is refused while a product runs, and has no effect on it."""
    board = await Board(dut, 7, 0.5).start()
    board.allow([LONG])
    board.golden.instant = False
    await board.direct(LONG)
    for name in ("QBASE_LO", "QSIZE", "TIMEOUT", "AXI_ATTR", "QBASE_HI", "DIRECT7"):
        await board.set(name, board.random.getrandbits(32))
    await board.set("CTRL", START=1)  # error 10, and the product goes on
    await board.set("SCRATCH", 0x1234_5678)
    board.golden.step()
    board.golden.instant = True
    await board.rest()
    assert await board.get("ERR_CODE") == 10
    await board.compare()


@cocotb.test()
async def reset_in_mid_transfer(dut):
    """Nothing is left of a product that reset ends, whatever was on the bus."""
    board = await Board(dut, 8).start()
    for moment in (20, 60, 111):
        board.allow([LONG])
        await board.direct(LONG)
        await board.cycles(moment)
        dut.aresetn.value = 0
        await board.cycles(4)
        dut.aresetn.value = 1
        await board.cycles(2)
        board.golden = GoldenAccelerator(MANIFEST, base=BASE, size=SIZE)
        board.fill()
        await board.compare()
        await board.direct(LONG)
        await board.rest()
        await board.compare()

# SPDX-License-Identifier: Apache-2.0
"""Bench of the emitted ``pe_axi``: golden accesses, a standard master, the rules of AXI4-Lite."""

import logging
import os
import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

PREFIX = "s_axi_ctrl_"
CHANNELS = {"aw": ("awaddr",), "w": ("wdata", "wstrb"), "ar": ("araddr",)}
ANSWERS = {"b": ("bresp",), "r": ("rresp", "rdata")}


class Slave:
    """Pins of the slave, and a monitor of its two answer channels."""

    def __init__(self, dut):
        self.dut, self.random = dut, random.Random(1)
        self.owed = {"b": 0, "r": 0}
        self.halves = [0, 0]  # addresses and data of writes that miss the other half

    def pin(self, name):
        return getattr(self.dut, PREFIX + name)

    async def start(self):
        for name in ("awvalid", "wvalid", "arvalid", "bready", "rready"):
            self.pin(name).value = 0
        for name in ("awaddr", "araddr", "wdata", "wstrb", "awprot", "arprot"):
            self.pin(name).value = 0
        self.dut.aresetn.value = 0
        Clock(self.dut.aclk, 10, "ns").start()
        for _ in range(3):
            await RisingEdge(self.dut.aclk)
            for name in ("bvalid", "rvalid"):
                assert self.pin(name).value == 0
        await FallingEdge(self.dut.aclk)
        self.dut.aresetn.value = 1
        cocotb.start_soon(self.watch())
        await RisingEdge(self.dut.aclk)

    async def watch(self):
        """Sample in the middle of each cycle: answers are owed, known, and stay until taken."""
        held = {}
        while True:
            await FallingEdge(self.dut.aclk)
            taken = {c: self.fires(c) for c in (*CHANNELS, *ANSWERS)}
            for channel, fields in ANSWERS.items():
                now = tuple(int(self.pin(f).value) for f in fields)
                if int(self.pin(f"{channel}valid").value):
                    assert self.owed[channel] > 0, f"{channel}: an answer without a request"
                    assert now[0] in (0, 2)
                    assert held.get(channel, now) == now, f"{channel}: an answer changed"
                    held[channel] = now
                else:
                    assert channel not in held, f"{channel}: an answer was taken back"
                if taken[channel]:
                    held.pop(channel)
                    self.owed[channel] -= 1
            # A write is owed an answer once both its address and its data are in.
            self.owed["r"] += taken["ar"]
            self.halves = [n + taken[c] for n, c in zip(self.halves, ("aw", "w"), strict=True)]
            whole = min(self.halves)
            self.owed["b"] += whole
            self.halves = [n - whole for n in self.halves]

    def fires(self, channel):
        return int(self.pin(f"{channel}valid").value) & int(self.pin(f"{channel}ready").value)

    async def send(self, channel, delay, *values):
        for _ in range(delay):
            await RisingEdge(self.dut.aclk)
        for name, value in zip(CHANNELS[channel], values, strict=True):
            self.pin(name).value = value
        self.pin(f"{channel}valid").value = 1
        while True:
            await FallingEdge(self.dut.aclk)
            done = self.fires(channel)
            await RisingEdge(self.dut.aclk)
            if done:
                break
        self.pin(f"{channel}valid").value = 0
        for name in CHANNELS[channel]:
            self.pin(name).value = self.random.getrandbits(4)

    async def answer(self, channel, delay):
        for _ in range(delay):
            await RisingEdge(self.dut.aclk)
        self.pin(f"{channel}ready").value = 1
        while True:
            await FallingEdge(self.dut.aclk)
            done = self.fires(channel)
            values = tuple(int(self.pin(f).value) for f in ANSWERS[channel])
            await RisingEdge(self.dut.aclk)
            if done:
                self.pin(f"{channel}ready").value = 0
                return values

    def some(self):
        return self.random.choice((0, 0, 0, 1, 2, 7))

    async def write(self, address, data, strobe):
        tasks = [
            cocotb.start_soon(self.send("aw", self.some(), address)),
            cocotb.start_soon(self.send("w", self.some(), data, strobe)),
        ]
        (response,) = await self.answer("b", self.some())
        for task in tasks:
            assert task.done(), "an answer before the request was complete"
        return 0, response == 2

    async def read(self, address):
        task = cocotb.start_soon(self.send("ar", self.some(), address))
        response, data = await self.answer("r", self.some())
        assert task.done(), "an answer before the request"
        return data, response == 2

    async def idle(self, cycles):
        for _ in range(cycles):
            await RisingEdge(self.dut.aclk)


@cocotb.test()
async def accesses_answer_as_the_golden_model(dut):
    slave = Slave(dut)
    await slave.start()
    with np.load(os.environ["BITLOOM_STIMULUS"]) as file:
        columns = {name: file[name].tolist() for name in file.files}
    rows = [columns[n] for n in ("write", "address", "data", "strobe", "value", "error")]
    for k, (write, address, data, strobe, value, error) in enumerate(zip(*rows, strict=True)):
        access = slave.write(address, data, strobe) if write else slave.read(address)
        assert await with_timeout(access, 1, "us") == (value, error), f"access {k}"
        await slave.idle(10 if write else slave.some())


@cocotb.test()
async def reads_and_writes_at_once(dut):
    slave = Slave(dut)
    await slave.start()
    scratch, seen = 0x1C, []

    async def writer():
        for value in range(1, 200):
            assert await slave.write(scratch, value, 15) == (0, False)

    async def reader():
        while not task.done():
            value, error = await with_timeout(slave.read(scratch), 1, "us")
            assert not error
            seen.append(value)

    task = cocotb.start_soon(writer())
    await reader()
    assert len(seen) > 100
    assert seen == sorted(seen)
    assert max(seen) >= 198
    # Neither waits for the other for long when both always ask.
    await with_timeout(task, 1, "us")


@cocotb.test()
async def a_standard_master(dut):
    slave = Slave(dut)
    await slave.start()
    logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.WARNING)
    bus = AxiLiteBus.from_prefix(dut, PREFIX[:-1])
    master = AxiLiteMaster(bus, dut.aclk, dut.aresetn, reset_active_level=False)
    rng = random.Random(2)

    def pauses():
        while True:
            yield rng.random() < 0.5

    for interface, names in ((master.write_if, "aw w b"), (master.read_if, "ar r")):
        for name in names.split():
            getattr(interface, f"{name}_channel").set_pause_generator(pauses())
    assert (await master.read(0, 4)).data == b"BLPE"
    for _ in range(50):
        length = rng.randrange(1, 5)
        before = bytearray((await master.read(0x1C, 4)).data)
        data = rng.randbytes(length)
        assert (await master.write(0x1C, data)).resp == AxiResp.OKAY
        before[:length] = data
        assert (await master.read(0x1C, 4)).data == before
    assert (await master.write(0x1D, b"1")).resp == AxiResp.SLVERR
    assert (await master.write(0x00, b"1234")).resp == AxiResp.SLVERR
    assert (await master.read(0x030, 4)).resp == AxiResp.SLVERR
    assert (await master.write(0xFFC, b"1234")).resp == AxiResp.SLVERR


@cocotb.test()
async def back_to_back_takes_what_is_promised(dut):
    """Four cycles from address to data, and from address and data to the response."""
    slave = Slave(dut)
    await slave.start()
    slave.some = lambda: 0
    await slave.idle(2)
    for access in (lambda: slave.read(0), lambda: slave.write(0x1C, 1, 15)):
        start = cocotb.utils.get_sim_time("ns")
        await access()
        assert cocotb.utils.get_sim_time("ns") - start == 10 * 5


@cocotb.test()
async def a_second_request_waits_for_the_first_answer_to_be_taken(dut):
    slave = Slave(dut)
    await slave.start()
    for address, data in ((0x00, 1), (0x1C, 0x1234_5678)):  # refused, accepted
        await cocotb.start_soon(slave.send("aw", 0, address))
        await cocotb.start_soon(slave.send("w", 0, data, 15))
    await slave.idle(20)
    assert [await slave.answer("b", 3) for _ in range(2)] == [(2,), (0,)]
    for address in (0x00, 0x030, 0x1C):
        await with_timeout(slave.send("ar", 0, address), 1, "us")
        if address == 0x030:
            await slave.idle(20)
            assert await slave.answer("r", 3) == (0, int.from_bytes(b"BLPE", "little"))
    assert await slave.answer("r", 3) == (2, 0)
    assert await slave.answer("r", 3) == (0, 0x1234_5678)
    await slave.idle(20)
    assert slave.owed == {"b": 0, "r": 0}
    assert not int(slave.pin("bvalid").value) and not int(slave.pin("rvalid").value)


@cocotb.test()
async def reads_and_writes_that_never_pause_take_turns(dut):
    slave = Slave(dut)
    await slave.start()
    served = {"b": 0, "r": 0}

    async def ask(channel, *values):
        while True:
            await slave.send(channel, 0, *values)

    async def take(channel):
        while True:
            await slave.answer(channel, 0)
            served[channel] += 1

    for channel, values in (("aw", (0x1C,)), ("w", (7, 15)), ("ar", (0x1C,))):
        cocotb.start_soon(ask(channel, *values))
    for channel in served:
        cocotb.start_soon(take(channel))
    await slave.idle(600)
    assert min(served.values()) > 60, served
    assert abs(served["b"] - served["r"]) <= 2, served

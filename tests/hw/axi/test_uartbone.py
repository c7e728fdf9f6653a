# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/axi/uartbone.py``: every command of the protocol, and what a host does wrong.

Frames are spelled in bytes here, as the protocol's description does.
"""

import pytest
from amaranth.sim import Simulator

from hw.axi.uartbone import Uartbone

CLOCK = 3000  # a frame may take 300 cycles


class Host:
    """Bytes in and out of a bridge, and the memory behind it."""

    def __init__(self, clock_hz=CLOCK, slow_bus=0, slow_reader=0):
        self.dut = Uartbone(clock_hz)
        self.memory, self.log, self.tx = {}, [], b""
        self.commands = self.timeouts = 0
        self.slow_bus, self.slow_reader = slow_bus, slow_reader

    def run(self, *steps, after=100):
        """Send bytes one per cycle; an integer among the steps is so many idle cycles."""
        todo = [x for s in steps for x in ([None] * s if isinstance(s, int) else s)]
        todo += [None] * after

        async def bench(ctx):
            dut, bus, cycle, answer_in = self.dut, self.dut.bus, 0, None
            while todo:
                cycle += 1
                ctx.set(dut.i.valid, todo[0] is not None)
                ctx.set(dut.i.payload, todo[0] or 0)
                ctx.set(dut.o.ready, cycle % (self.slow_reader + 1) == 0)
                ctx.set(bus.ack, answer_in == 0)
                ctx.set(bus.value, self.value if answer_in == 0 else 0x5555_5555)
                answer_in = None if answer_in in (0, None) else answer_in - 1
                if ctx.get(bus.request):
                    assert ctx.get(bus.strobe) == 15
                    self.access(ctx.get(bus.write), ctx.get(bus.address), ctx.get(bus.data))
                    answer_in = self.slow_bus
                if ctx.get(dut.o.valid & dut.o.ready):
                    self.tx += bytes([ctx.get(dut.o.payload)])
                self.commands += ctx.get(dut.command)
                self.timeouts += ctx.get(dut.timeout)
                if todo[0] is None or ctx.get(dut.i.ready):
                    todo.pop(0)
                await ctx.tick()

        sim = Simulator(self.dut)
        sim.add_clock(1e-6)
        sim.add_testbench(bench)
        sim.run()
        return self

    def access(self, write, address, data):
        self.log.append((("read", "write")[write], address))
        if write:
            self.memory[address] = data
        self.value = self.memory.get(address, 0xBAD0_0000 | address)


def test_the_example_of_the_protocol():
    host = Host().run(bytes.fromhex("01 01 10000000 DEADBEEF"), bytes.fromhex("02 01 10000000"))
    assert host.memory == {0x4000_0000: 0xDEAD_BEEF}
    assert host.tx == bytes.fromhex("DEADBEEF")
    assert (host.commands, host.timeouts) == (0, 0)


def test_bursts_to_rising_addresses():
    host = Host().run(bytes.fromhex("01 03 00000007 00000001 80000002 00000003 02 03 00000007"))
    assert host.memory == {0x1C: 1, 0x20: 0x8000_0002, 0x24: 3}
    assert host.tx == bytes.fromhex("00000001 80000002 00000003")


def test_bursts_to_one_address():
    host = Host().run(bytes.fromhex("03 02 00000007 00000001 00000002 04 02 00000007"))
    assert host.log == [("write", 0x1C)] * 2 + [("read", 0x1C)] * 2
    assert host.tx == bytes.fromhex("00000002 00000002")


@pytest.mark.parametrize("command", [1, 3])
def test_the_longest_write(command):
    words = b"".join(k.to_bytes(4, "big") for k in range(1, 256))
    host = Host(clock_hz=10**6).run(bytes([command, 255, 0, 0, 0, 0]) + words)
    addresses = [0] * 255 if command == 3 else [4 * k for k in range(255)]
    assert host.log == [("write", address) for address in addresses]
    assert host.memory[addresses[-1]] == 255


@pytest.mark.parametrize("command", [2, 4])
def test_the_longest_read(command):
    host = Host(clock_hz=10**6).run(bytes([command, 255, 0, 0, 1, 0]), after=3000)
    addresses = [0x400 + (4 * k if command == 2 else 0) for k in range(255)]
    assert host.tx == b"".join((0xBAD0_0000 | a).to_bytes(4, "big") for a in addresses)


def test_addresses_wrap_after_the_last_word():
    host = Host().run(bytes.fromhex("02 02 FFFFFFFF"))
    assert host.log == [("read", 0x3_FFFF_FFFC), ("read", 0)]


@pytest.mark.parametrize("frame", ["00 02 00000007", "05 01 00000007", "FF FF 00000007"])
def test_an_unknown_command_is_swallowed_with_length_and_address(frame):
    host = Host().run(bytes.fromhex(frame), bytes.fromhex("02 01 00000001"))
    assert host.log == [("read", 4)]
    assert (host.commands, host.timeouts) == (1, 0)


@pytest.mark.parametrize("command", [1, 2, 3, 4])
def test_a_frame_of_no_words_is_swallowed(command):
    host = Host().run(bytes([command, 0, 0, 0, 0, 7]), bytes.fromhex("02 01 00000001"))
    assert host.log == [("read", 4)]
    assert host.commands == 1


@pytest.mark.parametrize("kept", range(1, 10))
def test_a_frame_that_stops_is_given_up(kept):
    frame = bytes.fromhex("01 01 00000007 DEADBEEF")
    host = Host().run(frame[:kept], CLOCK // 10 + 1, bytes.fromhex("02 01 00000001"))
    assert host.log == [("read", 4)]
    assert (host.commands, host.timeouts) == (0, 1)


def test_the_limit_is_over_the_frame_and_not_between_bytes():
    frame = bytes.fromhex("01 01 00000007 DEADBEEF")
    host = Host().run(*(step for k in range(10) for step in (frame[k : k + 1], 40)), CLOCK // 10)
    assert ("write", 0x1C) not in host.log
    assert host.timeouts >= 1


def test_a_frame_just_within_the_limit_counts():
    frame = bytes.fromhex("01 01 00000007 DEADBEEF")
    host = Host().run(frame[:1], CLOCK // 10 - 15, frame[1:])
    assert host.log == [("write", 0x1C)]
    assert host.timeouts == 0


def test_an_answer_that_nobody_takes_is_given_up():
    host = Host(slow_reader=200).run(bytes.fromhex("02 02 00000001"), after=2400)
    assert host.timeouts == 1
    assert len(host.tx) < 8


def test_idle_time_is_free():
    host = Host().run(3 * CLOCK, bytes.fromhex("02 01 00000001"))
    assert host.log == [("read", 4)]
    assert host.timeouts == 0


def test_a_slow_bus_and_a_slow_reader():
    host = Host(clock_hz=10**6, slow_bus=5, slow_reader=7)
    host.run(bytes.fromhex("01 02 00000007 00000001 00000002 02 02 00000007"), after=300)
    assert host.tx == bytes.fromhex("00000001 00000002")

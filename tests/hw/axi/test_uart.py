# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``hw/axi/uart.py``: rates, every byte both ways, bad lines."""

import pytest
from amaranth.sim import Simulator

from hw.axi.uart import Receiver, Transmitter, divisor


@pytest.mark.parametrize(
    ("clock_hz", "baud", "cycles"),
    [
        (25_000_000, 115_200, 217),
        (12_000_000, 115_200, 104),
        (921_600, 115_200, 8),
        (12_000_000, 1_500_000, 8),
        (1_000_000, 98_040, 10),  # 2 % too fast
    ],
)
def test_divisor(clock_hz, baud, cycles):
    assert divisor(clock_hz, baud) == cycles


@pytest.mark.parametrize(
    ("clock_hz", "baud", "message"),
    [
        (
            1_000_000,
            105_000,
            "baud 105000 cannot be made from clock_hz 1000000: the nearest is 100",
        ),
        (
            1_000_000,
            97_000,
            "baud 97000 cannot be made from clock_hz 1000000: the nearest is 100000",
        ),
        (25_000_000, 3_500_000, "baud must be at most 3125000 for clock_hz 25000000"),
        (0, 9600, "clock_hz must be a positive integer, not 0"),
        (25_000_000, -1, "baud must be a positive integer, not -1"),
    ],
)
def test_bad_rates(clock_hz, baud, message):
    with pytest.raises(ValueError, match=message):
        divisor(clock_hz, baud)


def line_of(data, cycles, gap=0.0):
    """Return the level of the line in each cycle; ``cycles`` per bit need not be whole."""
    levels, end = [1] * 5, 5.0
    for byte in data:
        for k in range(10):
            end += cycles
            levels += [(byte << 1 | 1 << 9) >> k & 1] * (round(end) - len(levels))
        end += gap * cycles
        levels += [1] * (round(end) - len(levels))
    return levels + [1] * 30


def receive(levels, cycles=8, take=lambda cycle: True):
    """Return ``(bytes, framing errors, overruns)`` of a line."""
    dut, got, faults = Receiver(cycles), [], [0, 0]

    async def bench(ctx):
        for cycle, level in enumerate(levels):
            ctx.set(dut.pin, level)
            ctx.set(dut.o.ready, take(cycle))
            if ctx.get(dut.o.valid) and take(cycle):
                got.append(ctx.get(dut.o.payload))
            faults[0] += ctx.get(dut.framing)
            faults[1] += ctx.get(dut.overrun)
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return bytes(got), *faults


EVERY = bytes(range(256))


@pytest.mark.parametrize(("cycles", "data"), [(8, EVERY), (13, EVERY[5::31])])
def test_every_byte_without_a_gap(cycles, data):
    assert receive(line_of(data, cycles), cycles) == (data, 0, 0)


@pytest.mark.parametrize("error", [-0.03, 0.03])
def test_a_far_end_off_by_three_percent(error):
    """Two percent of ours and as much of theirs is the worst case; cycles of 8 are the coarsest."""
    data = bytes.fromhex("00 FF 55 AA 01 80 7F FE")
    assert receive(line_of(data, 8 * (1 + error), gap=0.5)) == (data, 0, 0)


def test_a_glitch_is_no_byte():
    levels = [1] * 10 + [0] * 3 + [1] * 100 + line_of(b"\xa5", 8)
    assert receive(levels) == (b"\xa5", 0, 0)


def test_a_break_is_one_framing_error():
    levels = [1] * 10 + [0] * 300 + [1] * 20 + line_of(b"\x00\xff", 8)
    assert receive(levels) == (b"\x00\xff", 1, 0)


def test_a_byte_without_stop_bit_is_dropped():
    levels = line_of(b"\x55", 8)[:-30]
    levels[-8:] = [0] * 8  # its stop bit
    assert receive(levels + line_of(b"\x12", 8)) == (b"\x12", 1, 0)


def test_a_byte_waits_for_its_reader_and_the_next_is_lost():
    levels = line_of(b"\x01\x02", 8, gap=2) + line_of(b"\x03", 8)
    assert receive(levels, take=lambda cycle: cycle > 200) == (b"\x01\x03", 0, 1)


def test_a_reader_may_take_its_byte_at_the_last_moment():
    """In the cycle before the next byte appears, which is in the middle of its stop bit."""
    levels = line_of(b"\x01\x02", 8)
    late = {n: receive(levels, take=lambda cycle, n=n: cycle >= n) for n in range(155, 175)}
    in_time = [n for n, answer in late.items() if answer == (b"\x01\x02", 0, 0)]
    assert in_time == list(range(155, max(in_time) + 1))
    assert all(late[n] == (b"\x01", 0, 1) for n in late if n not in in_time)
    middle = 5 + 80 + 76  # of the second stop bit
    appears = next(n for n in range(155, 175) if len(receive(levels[: n + 1])[0]) == 2)
    assert appears == max(in_time) + 1
    assert appears - middle in range(6)


def transmit(data, cycles, pauses=0):
    """Return the line, one level per cycle."""
    dut, levels, left = Transmitter(cycles), [], list(data)

    async def bench(ctx):
        while left or len(levels) < 10 or not all(levels[-11 * cycles :]):
            offer = bool(left) and len(levels) % (pauses + 1) == pauses
            ctx.set(dut.i.valid, offer)
            ctx.set(dut.i.payload, left[0] if offer else 0)
            levels.append(ctx.get(dut.pin))
            if offer and ctx.get(dut.i.ready):
                left.pop(0)
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return levels


@pytest.mark.parametrize("cycles", [8, 11])
def test_transmitter_sends_each_bit_for_its_time(cycles):
    levels = transmit(b"\xa5", cycles)
    start = levels.index(0)
    bits = [0, 1, 0, 1, 0, 0, 1, 0, 1, 1]
    assert levels[start : start + 10 * cycles] == [b for b in bits for _ in range(cycles)]


def test_transmitter_keeps_bytes_apart():
    """At most one idle cycle between bytes that wait, and every byte as it was."""
    data = EVERY[1::7]
    levels = transmit(data, 8)
    assert receive(levels) == (data, 0, 0)
    assert len(levels) <= len(data) * 81 + 100


def test_transmitter_is_idle_high_from_the_start():
    assert transmit(b"", 8)[0] == 1

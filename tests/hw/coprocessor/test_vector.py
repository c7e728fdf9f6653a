# SPDX-License-Identifier: Apache-2.0
"""Steps of one row of A become beats of a tile, and panels of W get as many beats as tiles need."""

import random

import pytest
from amaranth.sim import Simulator

from hw.coprocessor.vector import Filler, Gatherer


def passed(dut, packets, on, seed=1):
    """Return the packets that come out, as lists of words, with either side waiting at times."""
    source, found = random.Random(seed), [[]]
    beats = [(word, word is packet[-1]) for packet in packets for word in packet]

    async def send(ctx):
        ctx.set(dut.on, on)
        for number, (word, _) in enumerate(beats):
            while source.random() < 0.3:
                await ctx.tick()
            ctx.set(dut.i.valid, 1)
            ctx.set(dut.i.payload.tdata, word[0])
            ctx.set(dut.i.payload.tlast, beats[number][1])
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)

    async def take(ctx):
        for _ in range(40 * len(beats)):
            ctx.set(dut.o.ready, source.random() < 0.7)
            sampled = (dut.o.valid, dut.o.ready, dut.o.payload.tdata, dut.o.payload.tlast)
            _, _, valid, ready, data, last = await ctx.tick().sample(*sampled)
            if valid and ready:
                found[-1].append(data)
                if last:
                    found.append([])

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(send, background=True)
    simulator.add_testbench(take)
    simulator.run()
    assert found.pop() == []
    return found


def packets_of(*lengths):
    """Return packets of different words of 8 bits, each word a tuple of its own."""
    numbers = iter(range(1, 256))
    return [[(next(numbers),) for _ in range(length)] for length in lengths]


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_steps_are_gathered(rows):
    packets = packets_of(1, rows, rows + 1, 2 * rows, 7)
    found = passed(Gatherer(rows, 8), packets, 1)
    assert len(found) == len(packets)
    for packet, got in zip(packets, found, strict=True):
        words = [word for (word,) in packet]
        tiles = [words[at : at + rows] for at in range(0, len(words), rows)]
        assert len(got) == len(tiles)
        for tile, beat in zip(tiles, got, strict=True):  # what lies beyond is undefined
            assert [beat >> 8 * row & 255 for row in range(len(tile))] == tile


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_panels_are_filled_up(rows):
    packets = packets_of(1, rows, rows + 1, 2 * rows, 7)
    found = passed(Filler(rows, 8), packets, 1)
    assert len(found) == len(packets)
    for packet, got in zip(packets, found, strict=True):
        words = [word for (word,) in packet]
        assert len(got) == -(-len(words) // rows) * rows
        assert got[: len(words)] == words


@pytest.mark.parametrize("part", [Gatherer, Filler])
def test_off_they_let_everything_through(part):
    packets = packets_of(1, 5, 3)
    words = [[word for (word,) in packet] for packet in packets]
    assert passed(part(3, 8), packets, 0) == words

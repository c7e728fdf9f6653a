# SPDX-License-Identifier: Apache-2.0
"""The datapath copies rows of bytes, and products before and after do not notice."""

from typing import Any

import numpy as np
import pytest

from hw.coprocessor.datapath import Datapath
from tests.hw.coprocessor.memory import Memory, simulate
from tests.hw.coprocessor.test_datapath import CUBE, Case, memory_of

#: Rows, bytes of a row, gaps behind the rows of both sides, first bytes within a word.
COPIES = [
    (1, 1, 0, 0, 0, 0),
    (3, 5, 2, 3, 1, 7),
    (2, 8, 0, 0, 0, 0),
    (4, 33, 5, 7, 3, 2),
    (1, 700, 0, 0, 5, 6),
    (2, 128, 3, 0, 7, 1),
    (3, 129, 0, 3, 0, 0),
]


def place(memory: Memory, sizes: tuple[int, ...], seed: int = 0) -> tuple[dict[str, int], Any]:
    """Put rows into memory; return the job, and the bytes that are due with their addresses."""
    m, n, a_gap, c_gap, a_skew, c_skew = sizes
    data = np.random.default_rng(seed).integers(0, 256, (m, n), dtype=np.uint8)
    a = memory.place(m * (n + a_gap), 16, a_skew)
    c = memory.place(m * (n + c_gap), 16, c_skew)
    for row in range(m):
        memory.put(a + row * (n + a_gap), data[row].tobytes())
    job = {"m": m, "n": n, "k": 1, "a": a, "c": c, "copy": 1}
    job |= {"a_stride": n + a_gap, "c_stride": n + c_gap}
    return job, (c + (n + c_gap) * np.arange(m)[:, None] + np.arange(n), data)


def run(memory: Memory, jobs: list[dict[str, int]]) -> list[int]:
    """Run jobs; return the cycles of each."""
    dut, cycles = Datapath(memory.params), list[int]()

    async def bench(ctx: Any) -> None:
        cycles.extend(await memory.serve(ctx, dut, jobs))

    simulate(dut, bench)
    return cycles


@pytest.mark.parametrize("options", [{}, {"data_width": 32, "max_burst": 2, "outstanding": 1}])
def test_every_byte_and_no_other(options: dict[str, int]) -> None:
    memory = memory_of(CUBE, options, pause=0.2)
    placed = [place(memory, sizes, seed) for seed, sizes in enumerate(COPIES)]
    due = bytearray(memory.image)
    for _, (where, data) in placed:
        for at, value in zip(where.ravel(), data.ravel(), strict=True):
            due[at] = value
    run(memory, [job for job, _ in placed])
    assert memory.image == due
    assert len(memory.written) == sum(m * n for m, n, *_ in COPIES)
    assert memory.counts["macs"] == memory.counts["compute"] == 0


def test_products_between_copies_are_exact() -> None:
    memory = memory_of(CUBE, {}, pause=0.1)
    first, (where, data) = place(memory, COPIES[3])
    cases = [Case(memory, (5, 5, 13), seed=7, activation=1), Case(memory, (3, 2, 9), seed=8)]
    cases[0].c = np.maximum(cases[0].c, 0)
    last, (there, other) = place(memory, COPIES[5], seed=1)
    run(memory, [first, cases[0].job, last, cases[1].job])
    image = np.frombuffer(bytes(memory.image), np.uint8)
    assert (image[where] == data).all() and (image[there] == other).all()
    for case in cases:
        assert case.stored().tobytes() == case.wanted()


def test_a_long_row_keeps_the_bus_busy() -> None:
    memory = memory_of(CUBE, {}, latency=30)
    job, (where, data) = place(memory, (1, 4000, 0, 0, 3, 0))
    (cycles,) = run(memory, [job])
    assert (np.frombuffer(bytes(memory.image), np.uint8)[where] == data).all()
    assert memory.words == 501 and memory.bursts == 32
    assert cycles <= 501 / 0.95 + 2 * 30 + 20


def test_no_more_is_read_than_there_is_room_for() -> None:
    memory = memory_of(CUBE, {"max_burst": 2, "outstanding": 2}, slow=0.8)
    job, (where, data) = place(memory, (3, 900, 1, 0, 1, 3))
    run(memory, [job])
    assert (np.frombuffer(bytes(memory.image), np.uint8)[where] == data).all()


def test_a_cleared_copy_leaves_nothing() -> None:
    memory = memory_of(CUBE, {})
    job, (where, data) = place(memory, COPIES[4])
    dut = Datapath(memory.params)

    async def bench(ctx: Any) -> None:
        for name, value in {**job, "n": 60_000}.items():
            ctx.set(getattr(dut.job.payload, name), value)
        ctx.set(dut.job.valid, 1)
        await ctx.tick().repeat(9)
        ctx.set(dut.job.valid, 0)
        ctx.set(dut.a_command.ready, 1)
        ctx.set(dut.a_beat.valid, 1)
        await ctx.tick().repeat(5)
        ctx.set(dut.a_beat.valid, 0)
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        ctx.set(dut.a_command.ready, 0)
        assert not ctx.get(dut.a_command.valid) and not ctx.get(dut.c_command.valid)
        assert not ctx.get(dut.c_beat.valid) and ctx.get(dut.job.ready)
        await memory.serve(ctx, dut, [job])

    simulate(dut, bench)
    assert (np.frombuffer(bytes(memory.image), np.uint8)[where] == data).all()

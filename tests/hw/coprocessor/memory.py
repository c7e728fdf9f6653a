# SPDX-License-Identifier: Apache-2.0
"""A memory behind the reader and the writer of the co-processor, and jobs for its datapath."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from amaranth.sim import Simulator

from hw.coprocessor.datapath import Datapath
from hw.coprocessor.engine_text import resolved_engine
from hw.coprocessor.params import CoprocessorParams
from sim.golden.mpgemm.unit import Unit

SIZE = 1 << 16
#: Outputs that are added up over a run.
COUNTS = (
    *("engine_error", "nan", "compute", "load_wait", "store_wait", "stall_backpressure"),
    *("macs", "lookups"),
)
GUARD = 0xA5  #: What memory holds where nothing was put.


def unit_of(params: CoprocessorParams, number: int = 0) -> Unit:
    """Return the golden model of an engine."""
    parameters = dict(resolved_engine(params.parts[number].text))
    return Unit.of({"unit": parameters.pop("unit"), "parameters": parameters})


def rows_of(a: np.ndarray, slot: int) -> list[bytes]:
    """Return the bytes of each row of codes."""
    rows = []
    for row in a.tolist():
        word = sum(code << i * slot for i, code in enumerate(row))
        rows.append(word.to_bytes(-(-len(row) * slot // 8), "little"))
    return rows


def panel_of(words: list[int], slot: int) -> bytes:
    """Return beats as slots of ``slot`` bytes."""
    return b"".join(word.to_bytes(slot, "little") for word in words)


@dataclass(repr=False)
class Memory:
    """A bus that moves a word each way a cycle, ``latency`` cycles after it was asked for.

    Commands are split into bursts; clients take turns. ``pause`` is the probability with which a
    side stands still for a cycle, ``slow`` that for the side that writes if it is another.
    """

    params: CoprocessorParams
    latency: int = 5
    pause: float = 0.0
    slow: float | None = None
    image: bytearray = field(default_factory=lambda: bytearray([GUARD] * SIZE))
    read: set[int] = field(default_factory=set)  #: Bytes that were read, as whole bus words.
    written: set[int] = field(default_factory=set)
    bursts: int = 0
    words: int = 0
    deadline: int = 20_000
    top: int = 0x100  #: Where the next operand may lie.
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(1)

    def put(self, address: int, data: bytes) -> None:
        """Store ``data`` before a run."""
        self.image[address : address + len(data)] = data

    def place(self, size: int, align: int, skew: int = 0) -> int:
        """Return an address for ``size`` bytes, ``skew`` behind a multiple of ``align``."""
        address = -(-self.top // align) * align + skew
        self.top = address + size + 3
        assert self.top <= SIZE
        return address

    def _bursts(self, client: str, address: int, size: int) -> list[tuple[str, int, int]]:
        """Return the bursts of a command: client, words and beats that are complete with them."""
        bus = self.params.bus_bytes
        first, last = address // bus, (address + size - 1) // bus
        self.read.update(range(first * bus, (last + 1) * bus))
        beats, found = -(-size // bus), []
        words, late = last - first + 1, last - first + 1 - beats
        for begin in range(0, words, self.params.max_burst):
            count = min(self.params.max_burst, words - begin)
            done = max(0, begin + count - late) - max(0, begin - late)
            found.append((client, count, done))
        return found

    def _beats(self, address: int, size: int) -> list[tuple[int, int]]:
        bus = self.params.bus_bytes
        data = bytes(self.image[address : address + size])
        starts = range(0, size, bus)
        junk = int(self.rng.integers(1 << 31)) << 8 * bus  # bytes beyond are undefined
        beats = []
        for at in starts:
            part = data[at : at + bus]
            word = int.from_bytes(part, "little") | (junk | 0x5A5A5A5A) << 8 * len(part)
            beats.append((word & (1 << 8 * bus) - 1, at + bus >= size))
        return beats

    async def serve(self, ctx: Any, dut: Datapath, jobs: list[dict[str, int]]) -> list[int]:
        """Run jobs one after the other; return the cycles of each.

        Ends early with an engine that fails.
        """
        kinds, bus = dut.kinds, self.params.bus_bytes
        todo: dict[str, deque] = {k: deque() for k in kinds}
        beats: dict[str, deque] = {k: deque() for k in kinds}
        flight: deque[list[Any]] = deque()
        turn, now, cycles, begun, left = 0, 0, [], 0, list(jobs)
        writes: deque[list[int]] = deque()
        answers: deque[int] = deque()
        sampled = []
        for kind in kinds:
            command = getattr(dut, f"{kind}_command")
            sampled += [command.valid, command.ready, command.payload.addr, command.payload.bytes]
        sampled += [dut.c_command.valid, dut.c_command.ready, dut.c_command.payload.addr]
        sampled += [dut.c_command.payload.bytes, dut.c_beat.valid, dut.c_beat.ready]
        sampled += [dut.c_beat.payload.data, dut.c_beat.payload.last]
        sampled += [dut.done, dut.job.ready, dut.job.valid]
        sampled += [getattr(dut, name) for name in COUNTS]
        set_job(ctx, dut, left[0])
        while True:
            values = (await ctx.tick().sample(*sampled))[2:]
            now += 1
            assert now < self.deadline
            for name, value in zip(COUNTS, values[-len(COUNTS) :], strict=True):
                self.counts[name] += value
            if self.counts["engine_error"]:
                return cycles
            for i, kind in enumerate(kinds):
                valid, ready, address, size = values[4 * i : 4 * i + 4]
                if valid and ready:
                    assert size >= 1 and address + size <= SIZE
                    align = {"w": self.params.w_align, "s": self.params.s_align}.get(kind, 1)
                    assert address % align == 0
                    todo[kind].extend(self._bursts(kind, address, size))
                    beats[kind].extend(self._beats(address, size))
            at = 4 * len(kinds)
            c_valid, c_ready, c_addr, c_bytes, b_valid, b_ready, data, last = values[at : at + 8]
            done, taken = values[at + 8], values[at + 9] and values[at + 10]
            if c_valid and c_ready:
                assert c_bytes >= 1
                writes.append([c_addr, c_bytes])
            if b_valid and b_ready:
                address, size = writes[0]
                part = data.to_bytes(bus, "little")[:size]
                assert self.written.isdisjoint(range(address, address + len(part)))
                self.written.update(range(address, address + len(part)))
                self.image[address : address + len(part)] = part
                writes[0] = [address + bus, size - bus]
                assert last == (size <= bus)
                if last:
                    writes.popleft()
                    answers.append(now + self.latency)
            if taken:
                begun = now
                left.pop(0)
                ctx.set(dut.job.valid, 0)
            if done:
                assert not answers and not writes
                cycles.append(now - begun)
                if not left:
                    return cycles
                set_job(ctx, dut, left[0])

            # A burst of one client after the other, words in order of bursts.
            if len(flight) < self.params.outstanding:
                for k in range(len(kinds)):
                    kind = kinds[(turn + k) % len(kinds)]
                    if todo[kind]:
                        _, words, complete = todo[kind].popleft()
                        flight.append([kind, words, complete, now + self.latency])
                        self.bursts += 1
                        turn += k + 1
                        break
            stands = self.pause > 0 and self.rng.random() < self.pause
            for kind in kinds:
                ctx.set(getattr(dut, f"{kind}_beat").valid, 0)
                busy = len(todo[kind]) >= 2 or (self.pause > 0 and self.rng.random() < self.pause)
                ctx.set(getattr(dut, f"{kind}_command").ready, not busy)
            if flight and flight[0][3] <= now and not stands:
                burst = flight[0]
                self.words += 1
                burst[1] -= 1
                if burst[1] < burst[2]:
                    word, last = beats[burst[0]].popleft()
                    burst[2] -= 1
                    side = getattr(dut, f"{burst[0]}_beat")
                    ctx.set(side.valid, 1)
                    ctx.set(side.payload.data, word)
                    ctx.set(side.payload.last, last)
                if burst[1] == 0:
                    flight.popleft()
            slow = self.pause if self.slow is None else self.slow
            stands = slow > 0 and self.rng.random() < slow
            ctx.set(dut.c_command.ready, len(writes) < 3 and not stands)
            ctx.set(dut.c_beat.ready, bool(writes) and not stands)
            ctx.set(dut.c_written, bool(answers) and answers[0] <= now)
            if answers and answers[0] <= now:
                answers.popleft()


def set_job(ctx: Any, dut: Datapath, job: dict[str, int]) -> None:
    """Offer a job."""
    names = ("m", "n", "k", "bits", "a", "w", "c", "s", "a_stride", "c_stride", "w_stride")
    for name in (*names, "activation", "high", "low", "copy", "engine", "gemv", "accumulate"):
        ctx.set(getattr(dut.job.payload, name), job.get(name, 0))
    ctx.set(dut.job.valid, 1)


def simulate(dut: Any, bench: Any) -> None:
    """Run ``bench`` against ``dut``."""
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


@dataclass(repr=False)
class Feed:
    """A memory behind one buffer of operands, and a reader of what it sends."""

    dut: Any  #: RowBuffer or PanelBuffer.
    side: Any  #: Its stream of beats.
    image: bytes
    latency: int = 3
    pause: float = 0.0  #: Probability with which either side stands still for a cycle.
    commands: list[tuple[int, int]] = field(default_factory=list)
    beats: list[tuple[int, int]] = field(default_factory=list)  #: What was sent, and ``tlast``.
    cycles: int = 0  #: From the job to its last beat.
    words: int = 0  #: Beats of the bus.

    def run(self, count: int, quiet: int = 0, **job: int) -> "Feed":
        """Give one job; take ``count`` beats; see that nothing happens for ``quiet`` cycles."""

        async def bench(ctx: Any) -> None:
            dut, side, bus = self.dut, self.side, self.dut.params.bus_bytes
            rng, due = np.random.default_rng(count), deque[tuple[int, int, int]]()
            for name, value in {**job, "start": 1}.items():
                ctx.set(getattr(dut, name), value)
            await ctx.tick()
            ctx.set(dut.start, 0)
            now, ends = 0, None
            command = dut.command
            signals = [command.valid, command.ready, command.payload.addr, command.payload.bytes]
            signals += [side.valid, side.ready, side.payload.tdata, side.payload.tlast]
            while ends is None or now < ends:
                values = (await ctx.tick().sample(*signals))[2:]
                now += 1
                assert now < 20_000
                if values[0] and values[1]:
                    address, size = values[2:4]
                    assert size >= 1 and address + size <= len(self.image)
                    self.commands.append((address, size))
                    for at in range(0, size, bus):
                        part = self.image[address + at : address + min(at + bus, size)]
                        word = int.from_bytes(part.ljust(bus, b"\x5a"), "little")
                        due.append((now + self.latency, word, at + bus >= size))
                if values[4] and values[5]:
                    self.beats.append((values[6], values[7]))
                    if len(self.beats) == count:
                        self.cycles, ends = now, now + quiet
                    assert len(self.beats) <= count
                comes = bool(due) and due[0][0] <= now and rng.random() >= self.pause
                ctx.set(dut.beat.valid, comes)
                if comes:
                    _, word, last = due.popleft()
                    self.words += 1
                    ctx.set(dut.beat.payload.data, word)
                    ctx.set(dut.beat.payload.last, last)
                ctx.set(command.ready, rng.random() >= self.pause)
                ctx.set(side.ready, rng.random() >= self.pause)
            assert not due

        simulate(self.dut, bench)
        return self

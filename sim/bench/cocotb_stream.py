# SPDX-License-Identifier: Apache-2.0
"""Cocotb side of the stream bench: feeds every input stream, drains every output stream.

Runs inside the simulator. What to do stands in the JSON file that ``BITLOOM_JOB`` names (written by
:mod:`sim.bench.check`); what was seen goes to the file ``BITLOOM_SEEN``. The values of results are
not judged here, the rules of transfer are.
"""

import json
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from sim.bench.stalls import pattern

PERIOD = 10  # nanoseconds


class Fault(Exception):
    """The design broke a rule."""


class Source:
    """Offers the beats of one input stream, one after the other."""

    def __init__(self, dut: Any, stream: dict[str, Any], words: dict[str, list[int]], seed: int):
        self.valid, self.ready = getattr(dut, stream["valid"]), getattr(dut, stream["ready"])
        self.stream, self.name = stream["name"], stream["ready"]
        self.fields = [getattr(dut, field) for field in stream["fields"]]
        self.beats = list(zip(*(words[field] for field in stream["fields"]), strict=True))
        self.limit = len(self.beats)
        self.willing = pattern(stream["stall"], seed)
        self.sent = 0
        self.offering = self.taken = False
        self.said: bool | None = None
        self.shown = -1

    @property
    def done(self) -> bool:
        return self.sent == self.limit

    def drive(self) -> None:
        # Once valid is up it must stay up until the beat is taken.
        willing = self.willing(self.taken, True)
        self.offering = not self.done and ((self.offering and not self.taken) or willing)
        if self.offering is not self.said:
            self.valid.value = int(self.offering)
            self.said = self.offering
        if self.offering and self.shown != self.sent:
            self.shown = self.sent
            for field, word in zip(self.fields, self.beats[self.sent], strict=True):
                field.value = word

    def sample(self) -> bool:
        self.taken = known(self.ready, self.name) == 1 and self.offering
        self.sent += self.taken
        return self.taken


class Sink:
    """Takes the results of one output stream and watches that they wait for it unchanged."""

    def __init__(self, dut: Any, stream: dict[str, Any], expected: int, seed: int):
        self.valid, self.ready = getattr(dut, stream["valid"]), getattr(dut, stream["ready"])
        self.stream, self.name = stream["name"], stream["valid"]
        self.fields = [(name, getattr(dut, name)) for name in stream["fields"]]
        self.willing = pattern(stream["stall"], seed)
        self.expected = expected
        self.got: list[tuple[int, ...]] = []
        self.waiting: tuple[int, ...] | None = None
        self.taken = self.accepting = False
        self.said: bool | None = None

    @property
    def done(self) -> bool:
        return len(self.got) == self.expected

    def drive(self) -> None:
        self.accepting = self.willing(self.taken, self.waiting is not None)
        if self.accepting is not self.said:
            self.ready.value = int(self.accepting)
            self.said = self.accepting

    def sample(self) -> bool:
        valid = known(self.valid, self.name) == 1
        payload = tuple(known(field, name) for name, field in self.fields) if valid else None
        if self.waiting is not None:
            if payload is None:
                raise Fault(f"{self.name} fell before its result was taken")
            if payload != self.waiting:
                raise Fault(f"the payload beside {self.name} changed while it waited")
        self.taken = valid and self.accepting
        self.waiting = None if self.taken else payload
        if self.taken and payload is not None:
            if self.done:
                raise Fault(f"a result too many: {self.expected} were due on {self.name}")
            self.got.append(payload)
        return self.taken

    def words(self) -> dict[str, list[int]]:
        """Return what was taken, per port."""
        columns = zip(*self.got, strict=True) if self.got else ((),) * len(self.fields)
        names = (name for name, _ in self.fields)
        return dict(zip(names, map(list, columns), strict=True))


def known(handle: Any, name: str) -> int:
    """Return what stands on a port; raise :class:`Fault` for X and Z."""
    text = str(handle.value)
    try:
        return int(text, 2)
    except ValueError:
        raise Fault(f"{name} is {text if len(text) <= 40 else 'X'}") from None


S = TypeVar("S", bound=Source)


async def reset(dut: Any, clock: dict[str, Any], cycles: int) -> None:
    """Hold the reset for ``cycles`` edges."""
    if clock["reset"]:
        active = int(clock.get("reset_active") != "low")
        pin = getattr(dut, clock["reset"])
        pin.value = active
        for _ in range(cycles):
            await RisingEdge(getattr(dut, clock["name"]))
        pin.value = 1 - active


def partners(
    dut: Any, job: dict[str, Any], step: dict[str, Any], kind: type[S]
) -> tuple[list[S], list[Sink]]:
    """Return a source of type ``kind`` for each input stream and a sink for each output stream."""
    sources, sinks = [], []
    for index, stream in enumerate(job["streams"]):
        seed = step["seed"] + index
        if stream["dir"] == "in":
            sources.append(kind(dut, {**stream, "stall": step["source"]}, job["words"], seed))
        else:
            plan = {**stream, "stall": step["sink"]}
            sinks.append(Sink(dut, plan, job["results"][stream["name"]], seed))
    return sources, sinks


async def exchange(
    dut: Any, job: dict[str, Any], step: dict[str, Any], seen: dict[str, Any]
) -> None:
    """Send every beat and collect every result of one pass, under its stalls."""
    edge = RisingEdge(getattr(dut, job["clock"]["name"]))
    sources, sinks = partners(dut, job, step, Source)
    agents: list[Source | Sink] = [*sources, *sinks]
    idle = quiet = 0
    try:
        while quiet <= job["quiet"]:
            for agent in agents:
                agent.drive()
            await ReadOnly()
            moved = False
            for agent in agents:
                moved |= agent.sample()
            done = all(agent.done for agent in agents)
            seen["cycles"] += not quiet
            quiet += done
            idle = 0 if moved or done else idle + 1
            if idle > job["patience"]:
                raise Fault(stuck(sources, sinks, idle))
            await edge
    finally:
        for sink in sinks:
            seen["words"] |= sink.words()
    if step["deadline"] and seen["cycles"] > step["deadline"]:
        raise Fault(f"it took {seen['cycles']} cycles, {step['deadline']} are promised")


def stuck(sources: Sequence[Source], sinks: Sequence[Sink], cycles: int) -> str:
    """Return what waits for what after ``cycles`` without a transfer."""
    for sink in sinks:
        if all(source.done for source in sources) and not sink.done:
            return (
                f"{len(sink.got)} of {sink.expected} results on {sink.name}, then none for "
                f"{cycles} cycles"
            )
    counts = ", ".join(f"{s.sent} of {s.limit} beats taken by {s.name}" for s in sources)
    return f"no transfer for {cycles} cycles: {counts}"


@cocotb.test()
async def streams(dut: Any) -> None:
    """Run every pass of the job."""
    job = json.loads(Path(os.environ["BITLOOM_JOB"]).read_text(encoding="utf-8"))
    await every_pass(dut, job, exchange)


async def every_pass(dut: Any, job: dict[str, Any], run: Callable[..., Awaitable[None]]) -> None:
    """Run each pass by ``run``; it starts with a reset in the middle of other traffic."""
    passes: list[dict[str, Any]] = []
    clock = getattr(dut, job["clock"]["name"])
    for stream in job["streams"]:
        driven = (
            [stream["valid"], *stream["fields"]] if stream["dir"] == "in" else [stream["ready"]]
        )
        for name in driven:
            getattr(dut, name).value = 0
    for name in job["words"].keys() - {f for s in job["streams"] for f in s["fields"]}:
        getattr(dut, name).value = job["words"][name][0]  # a port beside the streams: a setting
    Clock(clock, PERIOD, unit="ns").start()
    await reset(dut, job["clock"], 2)
    fault = None
    for number, step in enumerate(job["passes"]):
        seen: dict[str, Any] = {"cycles": 0, "words": {}}
        passes.append(seen)
        # Beats that a reset throws away: what they leave behind must not show in a result.
        for stream in job["streams"]:
            if stream["dir"] == "out":
                getattr(dut, stream["ready"]).value = 0
                continue
            getattr(dut, stream["valid"]).value = int(bool(job["clock"]["reset"]))
            for field in stream["fields"]:
                getattr(dut, field).value = next(iter(job["words"][field]), 0)
        for _ in range(1 + number % 3):
            await RisingEdge(clock)
        await reset(dut, job["clock"], 1)
        try:
            if number == 0:
                await _all_known(dut, job)
            await run(dut, job, step, seen)
        except Fault as found:
            fault = f"{found} (cycle {seen['cycles']}, stalls {step['source']}/{step['sink']})"
            break
    record = {"fault": fault, "passes": passes}
    Path(os.environ["BITLOOM_SEEN"]).write_text(json.dumps(record), encoding="utf-8")
    assert fault is None, fault


async def _all_known(dut: Any, job: dict[str, Any]) -> None:
    """Require that no output is X in the first cycle after the reset."""
    for stream in job["streams"]:
        if stream["dir"] == "in":
            getattr(dut, stream["valid"]).value = 0
    await ReadOnly()
    for name in job["outputs"]:
        known(getattr(dut, name), name)
    await RisingEdge(getattr(dut, job["clock"]["name"]))

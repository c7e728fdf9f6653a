# SPDX-License-Identifier: Apache-2.0
"""Cocotb side of the bench of matrix engines: packets on several streams at once.

Runs inside the simulator, with the same files as :mod:`sim.bench.cocotb_stream`, whose agents it
uses. Every stream has its own number of beats, written in hexadecimal because they may have
thousands of bits. In a pass ``alone`` the next job is offered after all of the one before it has
come out and the unit is quiet; the others offer everything as fast as it is taken.
"""

import json
import os
from bisect import bisect
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from sim.bench.cocotb_stream import Fault, Sink, Source, every_pass, partners, stuck


class Sender(Source):
    """Source that shows the opposite of the last beat while it offers none."""

    def drive(self) -> None:
        super().drive()
        if self.offering or self.shown < 0:
            return
        for field, word in zip(self.fields, self.beats[self.shown], strict=True):
            field.value = word ^ (1 << len(field)) - 1
        self.shown = -1


async def exchange(
    dut: Any, job: dict[str, Any], step: dict[str, Any], seen: dict[str, Any]
) -> None:
    """Send the packets of all jobs and collect all results of one pass."""
    sources, sinks = partners(dut, job, step, Sender)
    agents: list[Source | Sink] = [*sources, *sinks]
    seen["spent"] = []
    whole = len(job["ends"][sinks[0].stream])
    try:
        for number in range(whole) if step["alone"] else [whole - 1]:
            for source in sources:
                source.limit = job["ends"][source.stream][number]
            for sink in sinks:
                sink.expected = job["ends"][sink.stream][number]
            seen["spent"].append(await _settle(dut, job, agents, sinks, seen))
    except Fault:
        begun = min(bisect(job["ends"][sink.stream], len(sink.got)) for sink in sinks)
        seen["job"] = number if step["alone"] else begun
        raise
    finally:
        for sink in sinks:
            words = sink.words().items()
            seen["words"] |= {name: [f"{word:x}" for word in column] for name, column in words}


async def _settle(
    dut: Any,
    job: dict[str, Any],
    agents: list[Source | Sink],
    sinks: list[Sink],
    seen: dict[str, Any],
) -> int:
    """Run until all is transferred and the unit is quiet; return the cycles to the last result."""
    edge = RisingEdge(getattr(dut, job["clock"]["name"]))
    cycles = spent = idle = quiet = 0
    while quiet <= job["quiet"]:
        for agent in agents:
            agent.drive()
        await ReadOnly()
        moved = False
        for agent in agents:
            moved |= agent.sample()
        cycles += 1
        if any(sink.taken for sink in sinks):
            spent = cycles
        done = all(agent.done for agent in agents)
        seen["cycles"] += not quiet
        quiet += done
        idle = 0 if moved or done else idle + 1
        if idle > job["patience"]:
            sources = [agent for agent in agents if isinstance(agent, Source)]
            raise Fault(stuck(sources, sinks, idle))
        await edge
    return spent


@cocotb.test()
async def jobs(dut: Any) -> None:
    """Run every pass of the job."""
    job = json.loads(Path(os.environ["BITLOOM_JOB"]).read_text(encoding="utf-8"))
    job["words"] = {name: [int(word, 16) for word in words] for name, words in job["words"].items()}
    await every_pass(dut, job, exchange)

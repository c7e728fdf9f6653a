# SPDX-License-Identifier: Apache-2.0
"""Cocotb side of the benches for bare cells, which have no handshake.

Runs inside the simulator, with the same files as :mod:`sim.bench.cocotb_stream`. A combinational
cell gets one vector after the other. An accumulating cell gets beats through the enables of its
pipeline, with pauses in which it must hold, and shows its sum after each beat.
"""

import json
import os
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge, Timer

from sim.bench.cocotb_stream import PERIOD, Fault, known, reset
from sim.bench.stalls import pattern


async def combinational(dut: Any, job: dict[str, Any]) -> dict[str, list[int]]:
    """Return what the outputs show for each vector."""
    inputs = [(getattr(dut, name), words) for name, words in job["words"].items()]
    outputs = [(name, getattr(dut, name)) for name in job["outputs"]]
    seen: dict[str, list[int]] = {name: [] for name in job["outputs"]}
    for vector in zip(*(words for _, words in inputs), strict=True):
        for (handle, _), word in zip(inputs, vector, strict=True):
            handle.value = word
        await Timer(PERIOD, unit="ns")
        for name, handle in outputs:
            seen[name].append(known(handle, name))
    return seen


async def accumulating(
    dut: Any, job: dict[str, Any], step: dict[str, Any], seen: dict[str, Any]
) -> None:
    """Record the outputs after each beat has reached the accumulator."""
    inputs = [(getattr(dut, name), words) for name, words in job["words"].items() if name != "clr"]
    outputs = [(name, getattr(dut, name)) for name in job["outputs"]]
    count, stages = job["beats"], job["stages"]
    willing, present = (
        pattern(step["source"], step["seed"]),
        pattern(step["sink"], step["seed"] + 1),
    )
    edge = RisingEdge(getattr(dut, job["clock"]["name"]))
    seen["words"] = {name: [] for name in job["outputs"]}
    held: dict[str, int] | None = None
    sent = finished = 0
    inside = [False] * (stages - 1)
    starts = job["words"]["clr"]
    while finished < count:
        move = willing(False, True)
        beat = move and sent < count and present(False, True)
        loads = [beat, *inside] if move else [False] * stages
        dut.en.value = sum(load << k for k, load in enumerate(loads))
        # While no stage loads, the inputs carry another beat, which nothing may look at.
        for handle, words in inputs:
            handle.value = words[min(sent, count - 1) if beat else -1 - sent % count]
        # ``clr`` belongs to the beat that reaches the accumulator, and to nothing else.
        dut.clr.value = starts[finished] if loads[-1] else 1
        await edge
        if move:
            inside = loads[:-1]
        sent += beat
        dut.en.value = 0
        await ReadOnly()
        now = {name: known(handle, name) for name, handle in outputs}
        if loads[-1]:
            for name, word in now.items():
                seen["words"][name].append(word)
            finished += 1
        elif held is not None and _meaning(now, job) != held:
            raise Fault("the accumulator changed without en")
        held = _meaning(now, job)
        seen["cycles"] += 1
        await Timer(1, unit="ns")


def _meaning(now: dict[str, int], job: dict[str, Any]) -> dict[str, int]:
    """Return what the outputs stand for: of words that make up a sum, only the sum counts."""
    held = dict(now)
    for group in job["redundant"]:
        total = sum(held.pop(name) for name in group["ports"])
        held[group["ports"][0]] = total % (1 << group["width"])
    return held


@cocotb.test()
async def cell(dut: Any) -> None:
    """Run the job on a bare cell."""
    job = json.loads(Path(os.environ["BITLOOM_JOB"]).read_text(encoding="utf-8"))
    passes: list[dict[str, Any]] = []
    fault = None
    if job["clock"]:
        Clock(getattr(dut, job["clock"]["name"]), PERIOD, unit="ns").start()
    for step in job["passes"]:
        seen: dict[str, Any] = {"cycles": 0, "words": {}}
        passes.append(seen)
        try:
            if job["clock"]:
                dut.en.value = 0
                # What a closed stage may not look at may still not be X: it is masked, not held.
                for name, words in job["words"].items():
                    getattr(dut, name).value = words[0]
                await reset(dut, job["clock"], 2)
                await accumulating(dut, job, step, seen)
            else:
                seen["words"] = await combinational(dut, job)
        except Fault as found:
            fault = f"{found} (cycle {seen['cycles']})"
            break
    record = {"fault": fault, "passes": passes}
    Path(os.environ["BITLOOM_SEEN"]).write_text(json.dumps(record), encoding="utf-8")
    assert fault is None, fault

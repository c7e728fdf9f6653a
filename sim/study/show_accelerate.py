# SPDX-License-Identifier: Apache-2.0
"""What ``python -m sim accelerate`` prints: pairs of a label and a line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim.coprocessor import MemoryModel
from sim.study.accelerate import Outcome, Task
from sim.study.dot import sqnr
from sim.study.show import Lines

__all__ = ["hardware_lines", "result_lines", "task_lines"]


def task_lines(path: Path, task: Task, group: int, scale: str) -> Lines:
    """Say which numbers of which layer are multiplied."""
    (rows, width), channels = task.acts.shape, task.weights.shape[1]
    return [
        ("model", str(path)),
        ("layer", f"{task.tensor}{' (chosen: no --layer)' if task.chosen else ''}"),
        ("product", f"M {rows} tokens, K {width}, N {channels} of {task.outputs} output channels"),
        ("activations", task.source),
        ("formats", f"weights {task.w.format} with an {scale} scale for {group}, in the engine"),
        ("", f"activations {task.a.format} with a scale for each token, on the host"),
    ]


def hardware_lines(manifest: Mapping[str, Any], memory: MemoryModel) -> Lines:
    """Say which co-processor did it, and with which memory."""
    contract = manifest["contract"]
    bus, latency = contract["data_width"], memory.read_latency
    return [
        ("co-processor", manifest["command"]),
        ("", f"{contract['macs_per_cycle']} MACs per cycle, bus of {bus} bits"),
        ("memory", f"{latency} cycles to the first beat, then a beat per cycle"),
    ]


def result_lines(task: Task, outcome: Outcome, manifest: Mapping[str, Any]) -> Lines:
    """Say how the results compare with the golden model, the roofline and real numbers."""
    count, model, size = outcome.counters, outcome.model, outcome.c.size
    busy, peak = max(1, count["busy"]), manifest["contract"]["macs_per_cycle"]
    verdict = "yes" if outcome.passed else "NO"
    rate = outcome.cycles / outcome.seconds
    waits = ("load_wait", "store_wait", "stall_backpressure")
    return [
        ("bit-exact", f"{verdict}: {outcome.exact} of {size} results as the golden model"),
        ("cycles", f"{count['busy']} busy, {count['compute']} of them computing"),
        ("", ", ".join(f"{name} {count[name]}" for name in waits)),
        ("", f"roofline {model.cycles}, bound by {model.bound}: {100 * model.cycles / busy:.1f} %"),
        (
            "utilisation",
            f"{model.macs / busy:.2f} of {peak} MACs per cycle: "
            f"{100 * model.macs / busy / peak:.1f} %",
        ),
        ("bytes read", _moved(count["rd_bytes"], model.read_bytes, count["rd_bursts"])),
        ("written", _moved(count["wr_bytes"], model.write_bytes, count["wr_bursts"])),
        ("simulation", f"{outcome.cycles} cycles in {outcome.seconds:.1f} s: {rate:.0f} a second"),
        ("SQNR", f"{sqnr(task.exact, outcome.values):.1f} dB against the unquantised layer"),
    ]


def _moved(found: int, due: int, bursts: int) -> str:
    return f"{found} in {bursts} bursts, roofline {due}"

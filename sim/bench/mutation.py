# SPDX-License-Identifier: Apache-2.0
"""Would the bench notice? Faults in the gates of a unit, and which of them it catches.

Every mutant gets the stimulus that the cocotb bench gives the healthy unit, under the same rules of
transfer, and must answer the golden model's results. Mutants run side by side in
:class:`fpga.synth.machine.Copies`; one that answers differently, breaks a rule or falls silent is
killed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from fpga.synth.cut import cut
from fpga.synth.machine import Copies, Fault, Machine
from sim.bench import drive_memory
from sim.bench.accelerator_script import script_of
from sim.bench.check import golden_of, takes_jobs
from sim.bench.drive import PATTERNS, Bits
from sim.bench.drive_cells import accumulating, column, column_stimulus, combinational
from sim.bench.drive_cfu import instructions
from sim.bench.drive_jobs import UNDER_STALLS, flat, jobs
from sim.bench.drive_nodes import axi
from sim.bench.drive_streams import streams
from sim.bench.equivalence import equivalent, reduced
from sim.bench.streams import joined, short_jobs, single_sizes, stimulus_of, tile_of

__all__ = ["GOAL", "Score", "mutate", "stimulus"]

#: Gates that do nothing are faults that do nothing. The script of Yosys leaves more of them, and
#: takes minutes for a multiplier.
_OPTIMISED = ("strash", "ifraig", "dc2", "ifraig", "dc2", "strash", "map")

_REDUCE_SECONDS = 900.0  #: For a unit of tens of thousands of gates.

CACHE = Path("build/simulators")  #: Where compiled benches stay.

BEATS_OF_A_JOB = 50  #: A matrix engine gets one job for so many beats.

ANSWERED = 25  #: A unit behind an instruction port gets one job for so many beats.

GOAL = 0.95  #: Share of the mutants that a bench should kill.


@dataclass(frozen=True)
class Score:
    """What became of the mutants."""

    gates: int
    mutants: int
    killed: int
    #: Of those that lived, proved to change no output ever; not looked for if enough were killed.
    equal: int
    left: tuple[Fault, ...]  #: Neither killed nor proved equal.

    @property
    def ratio(self) -> float:
        """Share of the mutants not proved equal that were killed."""
        return self.killed / max(1, self.mutants - self.equal)


def mutate(
    verilog: str,
    manifest: Mapping[str, Any],
    folder: Path,
    *,
    mutants: int = 512,
    beats: int = 1000,
    seed: int = 1,
) -> Score:
    """Return the score of ``mutants`` faults drawn from all that the unit's gates can have.

    Raises ``ValueError`` if the bench condemns the healthy unit, or cannot drive it.
    """
    if _has_memory(manifest):
        return _before_memory(verilog, manifest, folder, mutants, seed)
    machine = Machine.read(verilog, manifest["module"], folder, _OPTIMISED)
    machine = reduced(machine, folder)
    rng = np.random.default_rng(seed)
    vectors, due = stimulus(manifest, beats, seed)
    every = machine.faults()
    chosen = rng.choice(len(every), min(mutants, len(every)), replace=False)
    faults = sorted(every[index] for index in chosen)
    drive = _driver(manifest)
    alive: list[Fault | None] = [None, *faults]
    patterns = PATTERNS if manifest["clock"] else PATTERNS[:1]
    # Jobs that run alone take the most cycles: the fewest copies are left for them.
    for pattern in (*patterns[1:], patterns[0]) if takes_jobs(manifest) else patterns:
        dead = drive(Copies(machine, alive), manifest, vectors, due, pattern, rng)
        if dead[0]:
            raise ValueError(f"the bench condemns the healthy {manifest['unit']} ({pattern})")
        alive = [fault for fault, gone in zip(alive, dead, strict=True) if not gone]
    survivors = tuple(fault for fault in alive if fault is not None)
    return _score(machine, faults, survivors, folder)


def _score(
    machine: Machine, faults: Sequence[Fault], survivors: Sequence[Fault], folder: Path
) -> Score:
    """Return the score; where too few are killed, look which survivors change nothing."""
    killed = len(faults) - len(survivors)
    equal = [False] * len(survivors)
    if killed < GOAL * len(faults):
        enough = ceil(len(faults) - killed / GOAL)
        equal = equivalent(machine, survivors, folder, enough=enough)
    left = tuple(fault for fault, same in zip(survivors, equal, strict=True) if not same)
    return Score(len(machine.gates), len(faults), killed, sum(equal), left)


def _before_memory(
    verilog: str, manifest: Mapping[str, Any], folder: Path, mutants: int, seed: int
) -> Score:
    """Return the score of a unit with an AXI4 master; its memories have no faults.

    All mutants run at once, which bounds their number.
    """
    mutants = min(mutants, drive_memory.COPIES - 1)
    machine, memories = cut(verilog, manifest["module"], folder, _OPTIMISED)
    machine = reduced(machine, folder, seconds=_REDUCE_SECONDS)
    every = machine.faults()
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(every), min(mutants, len(every)), replace=False)
    faults = sorted(every[index] for index in chosen)
    limits = {name: int(manifest["contract"][name]) for name in ("max_burst", "outstanding")}
    died, _ = drive_memory.run(
        machine, memories, [None, *faults], script_of(manifest, seed), CACHE, **limits
    )
    if died[0] >= 0:
        raise ValueError(f"the bench condemns the healthy {manifest['unit']} at {died[0]}")
    survivors = [fault for fault, at in zip(faults, died[1:], strict=True) if at < 0]
    return _score(machine, faults, survivors, folder)


def stimulus(
    manifest: Mapping[str, Any], beats: int = 1000, seed: int = 1
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what goes into the copies of a unit, and the results that are due."""
    if _has_memory(manifest):
        script = script_of(manifest, seed)
        return {"steps": script.steps, "images": [crc32(image) for image in script.images]}, {}
    rng = np.random.default_rng(seed)
    if _driver(manifest) is instructions:
        beats = max(1, beats // ANSWERED)
    if _driver(manifest) is column:
        return column_stimulus(manifest, rng, beats)
    golden, parameters = golden_of(manifest), manifest["parameters"]
    if takes_jobs(manifest):
        packets = stimulus_of(golden, parameters, rng, max(1, beats // BEATS_OF_A_JOB))
        some, tile = golden.vectors(parameters, rng, 9), tile_of(manifest)
        short = short_jobs(some, tile)
        stalled = joined(short, packets, single_sizes(some, manifest, 6))
        every = joined(stalled, single_sizes(some, manifest, 12))
        counts = [len(part["s_axis_job"]["tdata"]) for part in (stalled, short)]
        under_stalls = {UNDER_STALLS: counts}
        return flat(every) | under_stalls, flat(golden.run(parameters, every))
    vectors = golden.vectors(parameters, rng, beats)
    return vectors, golden.run(parameters, vectors)


def _has_memory(manifest: Mapping[str, Any]) -> bool:
    """Return whether the unit has registers and a master of a memory."""
    return {"s_axi_ctrl_awaddr", "m_axi_araddr"} <= {port["name"] for port in manifest["ports"]}


def _driver(manifest: Mapping[str, Any]) -> Callable[..., Bits]:
    """Return what drives the unit. Raises ``ValueError`` if nothing does."""
    names = {port["name"] for port in manifest["ports"]}
    if takes_jobs(manifest):
        return jobs
    if manifest["streams"]:
        return streams
    if not manifest["clock"]:
        return combinational
    if {"en", "clr"} <= names:
        return accumulating
    if {"start", "position"} <= names:
        return column
    if "s_axi_ctrl_awaddr" in names:
        return axi
    if "cmd_payload_function_id" in names:
        return instructions
    raise ValueError(f"unit {manifest['unit']!r} has no port by which it could be driven")

# SPDX-License-Identifier: Apache-2.0
"""Would the bench notice? Faults in the gates of a unit, and which of them it catches.

Every mutant gets the stimulus that the cocotb bench gives the healthy unit, under the same rules of
transfer, and must answer the golden model's results. Mutants run side by side in
:class:`fpga.synth.machine.Copies`; one that answers differently, breaks a rule or falls silent is
killed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpga.synth.machine import Copies, Fault, Machine, bits_of
from sim.bench.check import golden_of
from sim.bench.equivalence import equivalent
from sim.bench.pack import pack

__all__ = ["GOAL", "Score", "mutate"]

Bits = NDArray[np.bool_]

#: Willingness of source and sink, by cycle: always, at random, and each much slower than the other.
PATTERNS = ("none", "random", "slow source", "slow sink")
GOAL = 0.95  #: Share of the mutants that a bench should kill.
_PATIENCE = 64  #: Cycles without a transfer, beyond the latency, that count as a deadlock.


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
    beats: int = 400,
    seed: int = 1,
) -> Score:
    """Return the score of ``mutants`` faults drawn from all that the unit's gates can have.

    Raises ``ValueError`` if the bench condemns the healthy unit, or cannot drive it.
    """
    machine = Machine.read(verilog, manifest["module"], folder)
    rng = np.random.default_rng(seed)
    every = machine.faults()
    chosen = rng.choice(len(every), min(mutants, len(every)), replace=False)
    faults = sorted(every[index] for index in chosen)
    golden, parameters = golden_of(manifest), manifest["parameters"]
    vectors = golden.vectors(parameters, rng, beats)
    due = golden.run(parameters, vectors)
    drive = _streams if manifest["streams"] else _vectors
    if manifest["clock"] and not manifest["streams"]:
        raise ValueError(f"unit {manifest['unit']!r} has neither streams nor is it combinational")
    alive: list[Fault | None] = [None, *faults]
    for pattern in PATTERNS if manifest["streams"] else PATTERNS[:1]:
        dead = drive(Copies(machine, alive), manifest, vectors, due, pattern, rng)
        if dead[0]:
            raise ValueError(f"the bench condemns the healthy {manifest['unit']} ({pattern})")
        alive = [fault for fault, gone in zip(alive, dead, strict=True) if not gone]
    survivors = tuple(fault for fault in alive if fault is not None)
    killed = len(faults) - len(survivors)
    doubtful = killed < GOAL * len(faults)
    equal = equivalent(machine, survivors, folder) if doubtful else [False] * len(survivors)
    left = tuple(fault for fault, same in zip(survivors, equal, strict=True) if not same)
    return Score(len(machine.gates), len(faults), killed, sum(equal), left)


def _table(port: Mapping[str, Any], columns: Mapping[str, Any]) -> Bits:
    short = port["name"].removeprefix(f"{port.get('stream')}_")
    values = columns.get(port["name"], columns.get(short))
    if values is None:
        raise ValueError(f"nothing is known of the port {port['name']!r}")
    values = np.asarray(values)
    return bits_of(pack(values, port["width"]), port["width"])


def _vectors(
    copies: Copies,
    manifest: Mapping[str, Any],
    vectors: Mapping[str, Any],
    due: Mapping[str, Any],
    pattern: str,
    rng: np.random.Generator,
) -> Bits:
    """One vector after the other through combinational copies."""
    inputs = {p["name"]: _table(p, vectors) for p in manifest["ports"] if p["dir"] == "in"}
    outputs = {p["name"]: _table(p, due) for p in manifest["ports"] if p["dir"] == "out"}
    killed = np.zeros(copies.count, dtype=bool)
    for row in range(len(next(iter(inputs.values())))):
        for name, table in inputs.items():
            copies.drive(name, table[row])
        copies.settle()
        for name, table in outputs.items():
            killed |= (copies.read(name) != table[row]).any(axis=1)
    return killed


class _Source:
    """Beats of one stream, offered to every copy at its own pace."""

    def __init__(
        self, copies: Copies, manifest: Mapping[str, Any], stream: Any, vectors: Mapping[str, Any]
    ):
        self.valid, self.ready = stream["valid"], stream["ready"]
        ports = [p for p in manifest["ports"] if p["name"] in stream["fields"]]
        self.tables = {p["name"]: _table(p, vectors) for p in ports}
        self.beats = len(next(iter(self.tables.values())))
        self.sent = np.zeros(copies.count, dtype=np.int64)
        self.offering = np.zeros(copies.count, dtype=bool)

    def drive(self, copies: Copies, willing: bool) -> None:
        self.offering = (self.offering | willing) & (self.sent < self.beats)
        copies.drive(self.valid, self.offering[:, np.newaxis])
        at = np.minimum(self.sent, self.beats - 1)
        for name, table in self.tables.items():
            copies.drive(name, table[at])

    def sample(self, copies: Copies) -> Bits:
        taken: Bits = self.offering & copies.read(self.ready)[:, 0]
        self.sent += taken
        self.offering &= ~taken
        return taken


class _Sink:
    """Results of one stream, taken from every copy and compared."""

    def __init__(
        self, copies: Copies, manifest: Mapping[str, Any], stream: Any, due: Mapping[str, Any]
    ):
        self.valid, self.ready = stream["valid"], stream["ready"]
        ports = [p for p in manifest["ports"] if p["name"] in stream["fields"]]
        self.names = [p["name"] for p in ports]
        self.table = np.concatenate([_table(p, due) for p in ports], axis=1)
        self.got = np.zeros(copies.count, dtype=np.int64)
        self.waiting = np.zeros(copies.count, dtype=bool)
        self.was = np.zeros((copies.count, self.table.shape[1]), dtype=bool)
        self.wrong = np.zeros(copies.count, dtype=bool)

    def sample(self, copies: Copies, willing: bool) -> Bits:
        valid = copies.read(self.valid)[:, 0]
        now = np.concatenate([copies.read(name) for name in self.names], axis=1)
        self.wrong |= self.waiting & (~valid | (now != self.was).any(axis=1))
        extra = valid & (self.got >= len(self.table))
        at = np.minimum(self.got, len(self.table) - 1)
        self.wrong |= extra | valid & (now != self.table[at]).any(axis=1)
        taken: Bits = valid & willing
        self.got += taken
        self.waiting, self.was = valid & ~taken, now
        return taken


def _willing(pattern: str, rng: np.random.Generator, cycle: int) -> tuple[bool, bool]:
    if pattern == "random":
        source, sink = rng.random(2) < 0.5
        return bool(source), bool(sink)
    return pattern != "slow source" or cycle % 3 == 0, pattern != "slow sink" or cycle % 3 == 0


def _streams(
    copies: Copies,
    manifest: Mapping[str, Any],
    vectors: Mapping[str, Any],
    due: Mapping[str, Any],
    pattern: str,
    rng: np.random.Generator,
) -> Bits:
    """All beats through every copy, under one pattern of stalls, after a reset in mid-traffic."""
    clock = manifest["clock"]
    active = np.array([clock.get("reset_active") != "low"])
    ways: dict[str, list[Any]] = {"in": [], "out": []}
    for stream in manifest["streams"]:
        ways[stream["dir"]].append(stream)
    sources = [_Source(copies, manifest, stream, vectors) for stream in ways["in"]]
    sinks = [_Sink(copies, manifest, stream, due) for stream in ways["out"]]
    for port in manifest["ports"]:
        if port["dir"] == "in" and port["role"] == "data":
            copies.drive(port["name"], _table(port, vectors)[0])
    copies.drive(clock["reset"], ~active)
    for cycle in range(6):  # traffic that a reset throws away
        for source in sources:
            source.drive(copies, True)
            source.offering[:] = False
        for sink in sinks:
            copies.drive(sink.ready, np.array([cycle > 3]))
        if cycle == 5:
            copies.drive(clock["reset"], active)
        copies.settle()
        copies.clock()
    copies.drive(clock["reset"], ~active)
    latency = int(manifest["latency"] or 0)
    patience = _PATIENCE + latency
    free = latency + int(np.ceil(sources[0].beats / (manifest["beats_per_cycle"] or 1)))
    idle = np.zeros(copies.count, dtype=np.int64)
    late = np.zeros(copies.count, dtype=bool)
    cycle = quiet = 0
    while quiet <= 8 + 2 * latency:
        give, take = _willing(pattern, rng, cycle)
        for source in sources:
            source.drive(copies, give)
        for sink in sinks:
            copies.drive(sink.ready, np.array([take]))
        copies.settle()
        moved = np.zeros(copies.count, dtype=bool)
        for source in sources:
            moved |= source.sample(copies)
        for sink in sinks:
            moved |= sink.sample(copies, take)
        copies.clock()
        idle = np.where(moved, 0, idle + 1)
        done = np.all([s.sent == s.beats for s in sources], axis=0)
        done &= np.all([s.got >= len(s.table) for s in sinks], axis=0)
        wrong = np.any([sink.wrong for sink in sinks], axis=0)
        cycle += 1
        if pattern == "none" and cycle > free:
            late |= ~done
        quiet += bool(np.all(done | wrong | late | (idle > patience)))
    wrong = np.any([sink.wrong for sink in sinks], axis=0)
    return wrong | ~done | late

# SPDX-License-Identifier: Apache-2.0
"""Traffic on the streams of many copies of a unit, each at its own pace, and which of them err."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fpga.synth.machine import Copies
from sim.bench.drive import PATIENCE, Bits, table, willing

__all__ = ["Sink", "Source", "begin", "streams"]


class Source:
    """Beats of one stream, offered to every copy at its own pace, up to ``limit`` of them."""

    def __init__(
        self, copies: Copies, manifest: Mapping[str, Any], stream: Any, vectors: Mapping[str, Any]
    ):
        self.valid, self.ready = stream["valid"], stream["ready"]
        ports = [p for p in manifest["ports"] if p["name"] in stream["fields"]]
        self.tables = {p["name"]: table(p, vectors) for p in ports}
        self.beats = self.limit = len(next(iter(self.tables.values())))
        self.sent = np.zeros(copies.count, dtype=np.int64)
        self.offering = np.zeros(copies.count, dtype=bool)
        self._driven = np.full(copies.count, -1)  # beat that each copy sees

    def drive(self, copies: Copies, wants: bool) -> None:
        self.offering = (self.offering | wants) & (self.sent < self.limit)
        copies.drive(self.valid, self.offering[:, np.newaxis])
        at = np.minimum(self.sent, self.beats - 1)
        if np.array_equal(at, self._driven):
            return
        self._driven, alike = at, bool((at == at[0]).all())
        for name, rows in self.tables.items():
            copies.drive(name, rows[at[0]] if alike else rows[at])

    def sample(self, copies: Copies) -> Bits:
        taken: Bits = self.offering & copies.read(self.ready)[:, 0]
        self.sent += taken
        self.offering &= ~taken
        return taken


class Sink:
    """Results of one stream, taken from every copy and compared."""

    def __init__(
        self, copies: Copies, manifest: Mapping[str, Any], stream: Any, due: Mapping[str, Any]
    ):
        self.valid, self.ready = stream["valid"], stream["ready"]
        ports = [p for p in manifest["ports"] if p["name"] in stream["fields"]]
        self.names = [p["name"] for p in ports]
        self.rows = np.concatenate([table(p, due) for p in ports], axis=1)
        self.got = np.zeros(copies.count, dtype=np.int64)
        self.waiting = np.zeros(copies.count, dtype=bool)
        self.was = np.zeros((copies.count, self.rows.shape[1]), dtype=bool)
        self.wrong = np.zeros(copies.count, dtype=bool)

    def sample(self, copies: Copies, wants: bool) -> Bits:
        valid = copies.read(self.valid)[:, 0]
        now = np.concatenate([copies.read(name) for name in self.names], axis=1)
        self.wrong |= self.waiting & (~valid | (now != self.was).any(axis=1))
        extra = valid & (self.got >= len(self.rows))
        at = np.minimum(self.got, len(self.rows) - 1)
        self.wrong |= extra | valid & (now != self.rows[at]).any(axis=1)
        taken: Bits = valid & wants
        self.got += taken
        self.waiting, self.was = valid & ~taken, now
        return taken


def begin(
    copies: Copies,
    manifest: Mapping[str, Any],
    vectors: Mapping[str, Any],
    due: Mapping[str, Any],
) -> tuple[list[Source], list[Sink]]:
    """Return the partners of every copy, after a reset in mid-traffic."""
    clock = manifest["clock"]
    active = np.array([clock.get("reset_active") != "low"])
    ways: dict[str, list[Any]] = {"in": [], "out": []}
    for stream in manifest["streams"]:
        ways[stream["dir"]].append(stream)
    sources = [Source(copies, manifest, stream, vectors) for stream in ways["in"]]
    sinks = [Sink(copies, manifest, stream, due) for stream in ways["out"]]
    for port in manifest["ports"]:
        if port["dir"] == "in" and port["role"] == "data":
            copies.drive(port["name"], table(port, vectors)[0])
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
    return sources, sinks


def streams(
    copies: Copies,
    manifest: Mapping[str, Any],
    vectors: Mapping[str, Any],
    due: Mapping[str, Any],
    pattern: str,
    rng: np.random.Generator,
) -> Bits:
    """All beats through every copy, under one pattern of stalls, after a reset in mid-traffic."""
    sources, sinks = begin(copies, manifest, vectors, due)
    latency = int(manifest["latency"] or 0)
    patience = PATIENCE + latency
    free = latency + int(np.ceil(sources[0].beats / (manifest["beats_per_cycle"] or 1)))
    idle = np.zeros(copies.count, dtype=np.int64)
    late = np.zeros(copies.count, dtype=bool)
    cycle = quiet = 0
    while quiet <= 8 + 2 * latency:
        give, take = willing(pattern, rng, cycle)
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
        done &= np.all([s.got >= len(s.rows) for s in sinks], axis=0)
        wrong = np.any([sink.wrong for sink in sinks], axis=0)
        cycle += 1
        if pattern == "none" and cycle > free:
            late |= ~done
        quiet += bool(np.all(done | wrong | late | (idle > patience)))
    wrong = np.any([sink.wrong for sink in sinks], axis=0)
    return wrong | ~done | late

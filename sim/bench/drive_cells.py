# SPDX-License-Identifier: Apache-2.0
"""Vectors through many copies of a bare cell, which has no handshake, and which of them err.

The rules are those of :mod:`sim.bench.cocotb_cell`. The sparse column (``--arch sparse-digit --core
accumulate``), which takes digits instead of activations, is driven here alone.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpga.synth.machine import Copies
from sim.bench.check import golden_of
from sim.bench.drive import Bits, table, willing

__all__ = ["accumulating", "column", "column_stimulus", "combinational"]

Columns = Mapping[str, Any]

_COLUMN_LATENCY = 3  #: Cycles from a digit's position to the words that hold it.


def combinational(
    copies: Copies,
    manifest: Mapping[str, Any],
    vectors: Columns,
    due: Columns,
    pattern: str,
    rng: np.random.Generator,
) -> Bits:
    """One vector after the other."""
    inputs = {p["name"]: table(p, vectors) for p in manifest["ports"] if p["dir"] == "in"}
    outputs = {p["name"]: table(p, due) for p in manifest["ports"] if p["dir"] == "out"}
    killed = np.zeros(copies.count, dtype=bool)
    for row in range(len(next(iter(inputs.values())))):
        for name, rows in inputs.items():
            copies.drive(name, rows[row])
        copies.settle()
        for name, rows in outputs.items():
            killed |= (copies.read(name) != rows[row]).any(axis=1)
    return killed


class _Outputs:
    """Every output and what is due on it, the words of a redundant sum added up."""

    def __init__(self, manifest: Mapping[str, Any], due: Columns):
        ports = {p["name"]: p for p in manifest["ports"] if p["dir"] == "out"}
        groups = manifest.get("contract", {}).get("redundant", {})
        self.words = {name: list(words) for name, words in groups.items()}
        taken = {word for words in groups.values() for word in words}
        self.words |= {name: [name] for name in ports if name not in taken and name in due}
        widths = {name: ports[words[0]]["width"] for name, words in self.words.items()}
        self.due = {n: table({"name": n, "width": widths[n]}, due) for n in self.words}
        self.lanes = {name: np.asarray(due[name])[:1].size for name in self.words}

    def read(self, copies: Copies) -> dict[str, Bits]:
        """Return for each result its bits, shape ``(copies, width)``."""
        found = {}
        for name, (first, *others) in self.words.items():
            found[name] = copies.read(first)
            for other in others:
                found[name] = _added(found[name], copies.read(other), self.lanes[name])
        return found

    def wrong(self, now: Mapping[str, Bits], rows: Any) -> Bits:
        """Return which copies do not show what is due in row ``rows``, one for each or for all."""
        return np.any([(now[n] != due[rows]).any(axis=1) for n, due in self.due.items()], axis=0)


def _added(a: Bits, b: Bits, lanes: int) -> Bits:
    """Return the sums of two words in each of ``lanes``."""
    a, b = (word.reshape(len(word), lanes, -1) for word in (a, b))
    total, carry = np.empty_like(a), np.zeros(a.shape[:2], dtype=bool)
    for k in range(a.shape[2]):
        x, y = a[:, :, k], b[:, :, k]
        total[:, :, k] = x ^ y ^ carry
        carry = x & y | carry & (x | y)
    return total.reshape(len(total), -1)


def _reset(copies: Copies, clock: Mapping[str, Any], idle: Columns) -> None:
    """Hold the reset for two cycles, with the inputs ``idle``."""
    active = clock.get("reset_active") != "low"
    for name, bits in idle.items():
        copies.drive(name, bits)
    for _ in range(2):
        copies.drive(clock["reset"], np.array([active]))
        copies.settle()
        copies.clock()
    copies.drive(clock["reset"], np.array([not active]))


def accumulating(
    copies: Copies,
    manifest: Mapping[str, Any],
    vectors: Columns,
    due: Columns,
    pattern: str,
    rng: np.random.Generator,
) -> Bits:
    """Beats through the enables of the pipeline, with pauses in which the sum must hold."""
    ports = {p["name"]: p for p in manifest["ports"] if p["dir"] == "in" and p["role"] == "data"}
    stages = ports.pop("en")["width"]
    rows = {name: table(port, vectors) for name, port in ports.items()}
    starts = rows.pop("clr")
    outputs = _Outputs(manifest, due)
    off = np.zeros(stages, dtype=bool)
    first = {name: bits[0] for name, bits in (*rows.items(), ("clr", starts))}
    _reset(copies, manifest["clock"], {"en": off, **first})
    killed = np.zeros(copies.count, dtype=bool)
    count, sent, finished, cycle = len(starts), 0, 0, 0
    inside, held = [False] * (stages - 1), None
    while finished < count:
        move, present = willing(pattern, rng, cycle)
        cycle += 1
        beat = move and present and sent < count
        loads = [beat, *inside] if move else [False] * stages
        copies.drive("en", np.array(loads))
        # While no stage loads, the inputs carry another beat, which nothing may look at.
        for name, bits in rows.items():
            copies.drive(name, bits[min(sent, count - 1) if beat else -1 - sent % count])
        copies.drive("clr", starts[finished] if loads[-1] else np.array([True]))
        copies.settle()
        copies.clock()
        inside = loads[:-1] if move else inside
        sent += beat
        copies.drive("en", off)
        copies.settle()
        now = outputs.read(copies)
        if loads[-1]:
            killed |= outputs.wrong(now, finished)
            finished += 1
        elif held is not None:
            killed |= np.any([(now[name] != held[name]).any(axis=1) for name in now], axis=0)
        held = now
    return killed


def column_stimulus(
    manifest: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return groups of four digits with their weights, and the sums after each group.

    ``digits`` and ``w`` are the activations and weights of a dot product of int3, from -2 to 2.
    """
    parameters = {**manifest["parameters"], "act": "int3", "core": "accumulate"}
    golden = golden_of(manifest)
    vectors = golden.vectors(parameters, rng, beats)
    digits = (np.asarray(vectors["a"]) ^ 4) - 4
    digits = np.where(np.abs(digits) > 2, digits % 3 - 1, digits)
    digits[rng.random(digits.shape) < 0.25] = 0
    vectors["a"] = digits & 7
    due = golden.run(parameters, vectors)
    # -1 is written as 3, or as 1 with the sign; a digit 0 may have any sign.
    three = (np.abs(digits) == 1) & (rng.random(digits.shape) < 0.5)
    sign = np.where(digits == 0, rng.random(digits.shape) < 0.5, (digits < 0) ^ three)
    code = np.where(three, 3, np.abs(digits))
    found = {"code": code, "sign": sign.astype(np.int64), "clr": vectors["clr"]}
    return {**found, "w": np.asarray(vectors["w"]), "cycles": (digits != 0).sum(axis=1)}, due


def column(
    copies: Copies,
    manifest: Mapping[str, Any],
    vectors: Columns,
    due: Columns,
    pattern: str,
    rng: np.random.Generator,
) -> Bits:
    """Groups of digits, each when the copy is ready, and the weights of the lane that it names."""
    ports = {p["name"]: p for p in manifest["ports"] if p["role"] == "data"}
    groups = {name: table(ports[name], vectors) for name in ("code", "sign", "clr")}
    count, columns = len(groups["clr"]), int(manifest["parameters"]["columns"])
    lanes = groups["sign"].shape[1]
    weights = np.asarray(vectors["w"]).reshape(count, columns, lanes)
    words = np.stack([table(ports["w"], {"w": weights[:, :, k]}) for k in range(lanes)], axis=1)
    outputs = _Outputs(manifest, due)
    cycles = np.maximum(1, vectors["cycles"])
    _reset(copies, manifest["clock"], {"start": np.zeros(1, dtype=bool)})
    killed = np.zeros(copies.count, dtype=bool)
    group = np.full(copies.count, -1)  # that is in work; 0 digits left while ``busy`` is not set
    busy, spent = killed.copy(), np.zeros(copies.count, dtype=np.int64)
    shown: list[NDArray[np.int64]] = [np.full(copies.count, -1) for _ in range(_COLUMN_LATENCY)]
    chosen, cycle, quiet = words[np.zeros(copies.count, dtype=int), 0], 0, 0
    while quiet <= _COLUMN_LATENCY:
        wants, _ = willing(pattern, rng, cycle)
        cycle += 1
        at = np.minimum(group + 1, count - 1)
        copies.drive("start", np.zeros(1, dtype=bool))
        copies.settle()
        ready, place = copies.read("ready")[:, 0], copies.read("position")
        copies.drive("w", chosen)
        chosen = words[np.maximum(group, 0), place @ (1 << np.arange(place.shape[1]))]
        start = ready & wants & (group + 1 < count)
        for name, bits in groups.items():
            copies.drive(name, bits[at])
        copies.drive("start", start[:, np.newaxis])
        copies.settle()
        killed |= copies.read("ready")[:, 0] != ready
        spent += busy
        done = busy & ready
        # Every digit takes a cycle, and four zeros one.
        killed |= (busy & (spent > cycles[np.maximum(group, 0)])) | (~busy & ~ready)
        now = outputs.read(copies)
        settled = shown.pop(0)
        killed |= (settled >= 0) & outputs.wrong(now, np.maximum(settled, 0))
        shown.append(np.where(done, group, -1))
        group, busy = np.where(start, at, group), start | busy & ~ready
        spent[start] = 0
        copies.clock()
        finished = killed | ((group + 1 == count) & ~busy)
        quiet += bool(finished.all())
    return killed

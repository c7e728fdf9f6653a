# SPDX-License-Identifier: Apache-2.0
"""Hold emitted Verilog to its golden model: the half of the benches outside the simulator.

Everything is driven by the manifest: its streams and ports say what to connect, its latency and
beats per cycle give the deadline, its ``golden`` names the model. An output that comes as several
words of which only the sum counts (``redundant`` in the manifest's contract) is judged by the sum.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.bench.launch import launch
from sim.bench.pack import pack, unpack
from sim.bench.stalls import PATTERNS

__all__ = [
    "PATIENCE",
    "Mismatch",
    "Pass",
    "Report",
    "check",
    "golden_of",
    "passes_for",
    "takes_jobs",
]

#: Cycles without a transfer that are a deadlock, beyond latency, time of a beat and longest stall.
PATIENCE = 64


@dataclass(frozen=True)
class Mismatch:
    """The first result that differs from the golden model."""

    result: int  #: Its number, from 0.
    port: str
    expected: int
    got: int
    operands: dict[str, list[list[int]]]  #: Codes of the beats that went into it, per field.
    stalls: str

    def lines(self) -> list[str]:
        """Return the text for a person, a line for each fact."""
        text = [
            f"result {self.result} on {self.port}, stalls {self.stalls}: "
            f"expected {self.expected}, got {self.got}"
        ]
        for name, beats in self.operands.items():
            shown = " ".join("{" + " ".join(f"{c:#x}" for c in beat) + "}" for beat in beats[:8])
            more = f" and {len(beats) - 8} beats more" if len(beats) > 8 else ""
            text.append(f"  {name} = {shown}{more}")
        return text


@dataclass(frozen=True)
class Pass:
    """One run over all the beats, with one stall pattern on each side."""

    source: str
    sink: str
    cycles: int = 0
    alone: bool = False  #: Whether each job of a matrix engine waits for the one before it.


@dataclass(frozen=True)
class Report:
    """What a check found."""

    simulator: str
    vectors: int  #: Beats (or vectors, for a combinational cell) of each pass.
    results: int  #: Results of each pass that the golden model expects.
    passes: list[Pass] = field(default_factory=list)
    fault: str | None = None  #: A broken rule of transfer, in one line.
    mismatch: Mismatch | None = None
    waves: Path | None = None
    #: What came out in the last pass that was begun, per port: ``(n,)`` integers.
    outputs: dict[str, NDArray[Any]] = field(default_factory=dict)
    #: Of matrix engines: what each job is, its cycles alone without stalls, those of the model.
    times: list[tuple[str, int, int | None]] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return self.fault is None and self.mismatch is None


def golden_of(manifest: Mapping[str, Any]) -> Any:
    """Return the golden model's module. Raises ``ValueError`` if it does not exist."""
    try:
        return importlib.import_module(manifest["golden"])
    except ModuleNotFoundError as error:
        raise ValueError(
            f"unit {manifest['unit']!r} has no golden model: {error.name} is missing"
        ) from None


def takes_jobs(manifest: Mapping[str, Any]) -> bool:
    """Return whether the unit is a matrix engine: it has several input streams."""
    return sum(stream["dir"] == "in" for stream in manifest["streams"]) > 1


def passes_for(stall: str) -> list[Pass]:
    """Return the passes that a user's choice of stalls means.

    ``all`` is every pattern on both sides, and each side alone slower than the other. Raises
    ``ValueError`` for an unknown name.
    """
    if stall == "all":
        pairs = [(name, name) for name in PATTERNS] + [("none", "random"), ("slow", "none")]
        return [Pass(source, sink) for source, sink in pairs]
    if stall not in PATTERNS:
        raise ValueError(f"stall must be one of {', '.join(('all', *PATTERNS))}, not {stall!r}")
    return [Pass(stall, stall)]


def check(
    verilog: Path,
    manifest: Mapping[str, Any],
    beats: Mapping[str, Any],
    build_dir: Path,
    *,
    passes: Sequence[Pass] = (Pass("none", "none"),),
    expected: Mapping[str, Any] | None = None,
    seed: int = 1,
    simulator: str | None = None,
    waves: bool = False,
) -> Report:
    """Simulate ``verilog`` with ``beats`` under each of ``passes`` and compare with ``expected``.

    ``beats`` has one array per input payload, named as its port or without the stream's prefix, of
    shape ``(n,)`` or ``(n, lanes)``. ``expected`` is what the golden model gives for them unless it
    is passed in. Of a unit with several input streams, a matrix engine, both have the columns of
    every stream instead, see :mod:`sim.bench.streams`. Raises
    :class:`sim.runner.SimulationError` if the simulation itself fails.
    """
    if takes_jobs(manifest):
        from sim.bench import streams

        return streams.check(
            verilog,
            manifest,
            beats,
            build_dir,
            passes=passes,
            expected=expected,
            seed=seed,
            simulator=simulator,
            waves=waves,
        )
    job = _job(manifest, beats, passes, seed)
    if expected is None:
        expected = golden_of(manifest).run(manifest["parameters"], beats)
    vectors = len(next(iter(beats.values())))
    results = len(next(iter(expected.values())))
    for stream in job["streams"]:
        if stream["dir"] == "out":
            job["results"][stream["name"]] = results
    bench = f"sim.bench.cocotb_{'stream' if job['streams'] else 'cell'}"
    seen = launch(
        verilog, manifest["module"], bench, job, build_dir, simulator=simulator, waves=waves
    )
    done = [
        Pass(plan.source, plan.sink, found["cycles"])
        for plan, found in zip(passes, seen.passes, strict=False)
    ]
    wrong = None
    for plan, found in zip(passes, seen.passes, strict=False):
        wrong = wrong or _compare(manifest, beats, expected, found["words"], plan)
    last = seen.passes[-1]["words"] if seen.passes else {}
    outputs = {
        port["name"]: unpack(words, port["width"], 1, port["signed"])
        for port, words in _observed(manifest, last)
    }
    return Report(seen.simulator, vectors, results, done, seen.fault, wrong, seen.waves, outputs)


def _job(
    manifest: Mapping[str, Any],
    beats: Mapping[str, NDArray[Any]],
    passes: Sequence[Pass],
    seed: int,
) -> dict[str, Any]:
    """Return the plan for the simulator's side. Raises ``ValueError`` for ports it cannot drive."""
    names = {port["name"] for port in manifest["ports"]}
    if manifest["clock"] and not manifest["streams"] and not {"en", "clr"} <= names:
        unit = manifest["unit"]
        raise ValueError(f"unit {unit!r} cannot be checked: it has neither streams nor an enable")
    inputs = [p for p in manifest["ports"] if p["dir"] == "in" and p["role"] in ("payload", "data")]
    inputs = [port for port in inputs if port["name"] != "en"]
    words = {p["name"]: pack(_column(p, beats), p["width"]) for p in inputs}
    count = len(next(iter(words.values())))
    latency = manifest["latency"] or 0
    rate = manifest["beats_per_cycle"]
    taken = _beats(manifest, beats, count)
    free = latency + int(np.ceil(taken / rate)) + _waits(manifest, beats) if rate else None
    enables = [p["width"] for p in manifest["ports"] if p["name"] == "en"]
    widths = {p["name"]: p["width"] for p in manifest["ports"]}
    return {
        "clock": manifest["clock"],
        "streams": manifest["streams"],
        "outputs": [
            p["name"]
            for p in manifest["ports"]
            if p["dir"] == "out" and (manifest["streams"] or p["role"] in ("payload", "data"))
        ],
        "words": words,
        "beats": count,
        "stages": enables[0] if enables else 0,
        "redundant": [
            {"ports": parts, "width": widths[parts[0]]} for parts in _redundant(manifest).values()
        ],
        "results": {},
        "quiet": 8 + 2 * latency if manifest["streams"] else 0,
        "patience": PATIENCE + latency + (int(np.ceil(1 / rate)) if rate else 0),
        "passes": [
            {
                "source": p.source,
                "sink": p.sink,
                "seed": 1000 * seed + 10 * number,
                "deadline": free if p.source == p.sink == "none" else None,
            }
            for number, p in enumerate(passes)
        ],
    }


def _waits(manifest: Mapping[str, Any], beats: Mapping[str, NDArray[Any]]) -> int:
    """Return the cycles for which packets that fill tables may wait for the rows before them."""
    wait = int(manifest["contract"].get("load_wait", 0))
    if not wait or "load" not in beats:
        return 0
    opens = np.concatenate([[True], np.asarray(beats["last"][:-1], dtype=bool)])
    return wait * int((opens & np.asarray(beats["load"], dtype=bool)).sum())


def _beats(manifest: Mapping[str, Any], beats: Mapping[str, NDArray[Any]], count: int) -> int:
    """Return ``count``, with more for rows that are shorter than ``row_cycles`` of the contract."""
    least = int(manifest["contract"].get("row_cycles", 1))
    if least == 1 or "last" not in beats:
        return count
    ends = np.flatnonzero(beats["last"]) + 1
    return count + int(np.maximum(least - np.diff(ends), 0).sum())


def _redundant(manifest: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the results that come as a sum of words: name -> ports of equal width."""
    groups: dict[str, list[str]] = manifest.get("contract", {}).get("redundant", {})
    return groups


def _observed(
    manifest: Mapping[str, Any], words: Mapping[str, list[int]]
) -> list[tuple[dict[str, Any], list[int]]]:
    """Return (port, its words) of every output that was seen, the words of a sum added up."""
    ports = {port["name"]: port for port in manifest["ports"] if port["name"] in words}
    found = []
    for name, parts in _redundant(manifest).items():
        if not set(parts) <= set(ports):
            continue
        whole = {**ports[parts[0]], "name": name, "signed": True}
        mask = (1 << whole["width"]) - 1
        sums = [sum(row) & mask for row in zip(*(words[part] for part in parts), strict=True)]
        found.append((whole, sums))
        ports = {key: port for key, port in ports.items() if key not in parts}
    return found + [(port, words[name]) for name, port in ports.items()]


def _short(port: Mapping[str, Any]) -> str:
    """Return the field's name as golden models use it: without the prefix of the stream."""
    stream = port.get("stream")
    return port["name"].removeprefix(f"{stream}_") if stream else port["name"]


def _column(port: Mapping[str, Any], beats: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    for name in (port["name"], _short(port)):
        if name in beats:
            return beats[name]
    raise ValueError(f"no stimulus for the input {port['name']!r}")


def _compare(
    manifest: Mapping[str, Any],
    beats: Mapping[str, NDArray[Any]],
    expected: Mapping[str, NDArray[Any]],
    words: Mapping[str, list[int]],
    plan: Pass,
) -> Mismatch | None:
    """Return the first difference, if any, between what came out and what is due."""
    first: Mismatch | None = None
    for port, column in _observed(manifest, words):
        name = _short(port)
        want = expected.get(port["name"], expected.get(name))
        if want is None:
            raise ValueError(f"the golden model gives nothing for the output {port['name']!r}")
        lanes = 1 if np.ndim(want) == 1 else np.shape(want)[1]
        # A port of several lanes has no sign of its own; they have that of what is due.
        with_sign = port["signed"] or bool((np.asarray(want) < 0).any())
        got = unpack(column, port["width"], lanes, with_sign)
        pairs = zip(np.reshape(want, (-1, lanes)), np.reshape(got, (-1, lanes)), strict=False)
        for index, (due, seen) in enumerate(pairs):
            if [int(v) for v in due] != [int(v) for v in seen]:
                if first is None or index < first.result:
                    lane = next(k for k in range(lanes) if int(due[k]) != int(seen[k]))
                    operands = _operands(manifest, beats, index)
                    stalls = f"{plan.source}/{plan.sink}"
                    values = int(due[lane]), int(seen[lane])
                    first = Mismatch(index, port["name"], *values, operands, stalls)
                break
    return first


def _operands(
    manifest: Mapping[str, Any], beats: Mapping[str, NDArray[Any]], result: int
) -> dict[str, list[list[int]]]:
    """Return the codes that went into one result; none where only packets have answers."""
    answers = manifest["contract"].get("answers")
    if answers == "packets" or (answers == "each" and "load" in beats):
        return {}
    begin, end = result, result + 1
    if manifest["streams"] and "last" in beats and answers != "each":
        ends = np.flatnonzero(beats["last"]) + 1
        row = _row(manifest, ends, result)
        begin, end = int(ends[row - 1]) if row else 0, int(ends[row])
    elif "clr" in beats:
        begin = int(np.flatnonzero(beats["clr"][:end])[-1])
    return {
        name: [[int(c) for c in np.atleast_1d(row)] for row in values[begin:end]]
        for name, values in beats.items()
        if name not in ("last", "clr")
    }


def _row(manifest: Mapping[str, Any], ends: NDArray[Any], result: int) -> int:
    """Return the number of the row, of those that end before ``ends``, that gave a result."""
    contract = manifest["contract"]
    if contract.get("answers") != "beats":
        return result
    lengths = np.diff(ends, prepend=0)
    answers = np.where(lengths > contract["max_beats"], 1, lengths)
    return int(np.searchsorted(np.cumsum(answers), result, side="right"))

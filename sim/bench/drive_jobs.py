# SPDX-License-Identifier: Apache-2.0
"""Jobs through many copies of a matrix engine, and which of the copies err or take another time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fpga.synth.machine import Copies
from hw.spec.gemm import JOB
from sim.bench.check import PATIENCE, golden_of
from sim.bench.drive import Bits, willing
from sim.bench.drive_streams import Sink, Source, begin
from sim.bench.streams import job_ends

__all__ = ["UNDER_STALLS", "flat", "jobs"]

#: Column of the stimulus with two rows: how many of the jobs, the first ones, follow each other
#: without a pause and under stalls, while the others run alone only; and how many of the first ones
#: never run alone.
UNDER_STALLS = "jobs under stalls"


def flat(streams: Mapping[str, Mapping[str, Sequence[int]]]) -> dict[str, Any]:
    """Return the columns of every stream by the names of their ports."""
    return {
        f"{stream}_{field}": np.array(column, dtype=object)  # words of more than 64 bits too
        for stream, fields in streams.items()
        for field, column in fields.items()
    }


def jobs(
    copies: Copies,
    manifest: Mapping[str, Any],
    vectors: Mapping[str, Any],
    due: Mapping[str, Any],
    pattern: str,
    rng: np.random.Generator,
) -> Bits:
    """Jobs through every copy, under one pattern of stalls, after a reset in mid-traffic.

    Without stalls they run one by one first. A good job must then take exactly the cycles that the
    golden model gives, from its first offer to its last result.
    """
    columns = {**vectors, **due}
    ends = {s["name"]: _ends(s["name"], columns) for s in manifest["streams"]}
    number, (together, never) = len(ends["s_axis_job"]), map(int, vectors[UNDER_STALLS])
    patience = PATIENCE + int(manifest["latency"] or 0)
    patience += int(manifest["contract"].get("tile_interval", 0))
    dead = np.zeros(copies.count, dtype=bool)
    for alone in (True, False) if pattern == "none" else (False,):
        sources, sinks = begin(copies, manifest, vectors, due)
        names = [s["name"] for way in ("in", "out") for s in manifest["streams"] if s["dir"] == way]
        for job in range(max(0, never - 1), number) if alone else [together - 1]:
            limits = [ends[name][job] for name in names]
            spent, failed = _settle(
                copies, sources, sinks, limits, patience, pattern, rng, manifest, dead
            )
            dead |= failed
            by_itself = alone and job >= never
            time = _time(manifest, vectors, due, ends, job) if by_itself else None
            if time is not None:
                dead |= spent != time
    return dead


def _ends(name: str, columns: Mapping[str, Any]) -> list[int]:
    fields: dict[str, Any] = {"tdata": columns[f"{name}_tdata"]}
    if f"{name}_tlast" in columns:
        fields["tlast"] = columns[f"{name}_tlast"]
    return job_ends(name, fields)


def _time(
    manifest: Mapping[str, Any],
    vectors: Mapping[str, Any],
    due: Mapping[str, Any],
    ends: Mapping[str, Sequence[int]],
    job: int,
) -> int | None:
    """Return the cycles of a job, if it is a good one and the golden model says."""
    model = getattr(golden_of(manifest), "cycles", None)
    word = int(vectors["s_axis_job_tdata"][job])
    sizes = {f.name: word >> f.offset & (1 << f.bits) - 1 for f in JOB}
    if model is None or int(due["m_axis_out_tuser"][ends["m_axis_out"][job] - 1]) & 15:
        return None
    given = {"bits": sizes["bits"]} if sizes["bits"] else {}
    given |= {"flow": 1} if sizes["reserved"] else {}  # the job is a good one
    return int(model(manifest["parameters"], sizes["m"], sizes["n"], sizes["k"], **given))


def _settle(
    copies: Copies,
    sources: Sequence[Source],
    sinks: Sequence[Sink],
    limits: Sequence[int],
    patience: int,
    pattern: str,
    rng: np.random.Generator,
    manifest: Mapping[str, Any],
    dead: Bits,
) -> tuple[Any, Bits]:
    """Run up to the limits until every copy is quiet; return each one's cycles and whether it errs.

    Copies that are ``dead`` already are not waited for.
    """
    for source, limit in zip(sources, limits, strict=False):
        source.limit = limit
    due = limits[len(sources) :]
    idle, spent = (np.zeros(copies.count, dtype=np.int64) for _ in range(2))
    cycle = quiet = 0
    while quiet <= 8 + 2 * int(manifest["latency"] or 0):
        give, take = willing(pattern, rng, cycle)
        if pattern == "slow sink":  # long enough for every queue to fill
            take = cycle % 64 < 16
        for source in sources:
            source.drive(copies, give)
        for sink in sinks:
            copies.drive(sink.ready, np.array([take]))
        copies.settle()
        moved = np.zeros(copies.count, dtype=bool)
        for source in sources:
            moved |= source.sample(copies)
        cycle += 1
        for sink in sinks:
            taken = sink.sample(copies, take)
            spent[taken] = cycle
            moved |= taken
        copies.clock()
        idle = np.where(moved, 0, idle + 1)
        done = np.all([s.sent == s.limit for s in sources], axis=0)
        done &= np.all([s.got == end for s, end in zip(sinks, due, strict=True)], axis=0)
        wrong = np.any([sink.wrong for sink in sinks], axis=0)
        quiet += bool(np.all(done | wrong | dead | (idle > patience)))
    return spent, wrong | ~done

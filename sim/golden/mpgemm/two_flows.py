# SPDX-License-Identifier: Apache-2.0
"""Arrays whose jobs choose between ``os`` and ``ws``: one set of multipliers, two orders of beats.

Bit 52 of a descriptor, the lowest of those that are reserved elsewhere, is 0 for ``os`` and 1 for
``ws``. Beats and results are those of an array of that dataflow with the same parameters.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sim.golden.mpgemm.draws import joined, split
from sim.golden.mpgemm.jobs import Engine, Job, Schedule, Tile
from sim.golden.mpgemm.stimulus import Streams

__all__ = ["EXTRA", "FLOWS", "WS", "either", "of_flow", "with_other_words"]

#: What bit 52 says.
FLOWS = ("os", "ws")

#: The bit as :func:`sim.golden.mpgemm.draws.with_bits` counts.
WS = 1 << 4

#: Cycles of a job beyond those of an array of its dataflow.
EXTRA = 1


@dataclass(frozen=True)
class _Either(Engine):
    """Takes the lowest reserved bit as the dataflow."""

    def refusal(self, job: Job) -> int:
        return super().refusal(replace(job, reserved=job.reserved >> 1))


def of_flow(parameters: Mapping[str, Any], flow: int) -> dict[str, Any]:
    """Return the parameters of an array of the dataflow that bit 52 says."""
    return {**parameters, "dataflow": FLOWS[flow]}


def either(engines: tuple[Engine, Engine]) -> Engine:
    """Return what the frame has to know of an array that is both ``os`` and ``ws``."""

    def schedule(job: Job) -> Schedule:
        return engines[job.reserved & 1].schedule(job)

    def tiles(job: Job, words: Mapping[str, Sequence[int]], count: int) -> Iterator[Tile]:
        return engines[job.reserved & 1].tiles(job, words, count)

    return _Either(**{**vars(engines[0]), "schedule": schedule, "tiles": tiles})


def with_other_words(streams: Streams) -> Streams:
    """Return the jobs after copies of the first one whose descriptors say what they must not."""
    jobs = split(streams)
    first, packets = jobs[0]
    wrong = [1 << 53, 3 << 52, 1 << 63, 1 << 48, 1 << 52 | 1 << 48]
    return joined([*((first | extra, packets) for extra in wrong), *jobs])

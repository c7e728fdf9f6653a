# SPDX-License-Identifier: Apache-2.0
"""Stimuli made of other stimuli: jobs of fewer bit planes, with directed ones, with scales."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from hw.spec.kinds import TableFormat
from sim.golden.mpgemm import stimulus
from sim.golden.mpgemm.jobs import Job
from sim.golden.mpgemm.stimulus import Source, Streams
from sim.golden.pe.operands import Operand

__all__ = [
    "Packets",
    "alternated",
    "drawn",
    "joined",
    "scaled",
    "scaled_faults",
    "split",
    "steps_of",
]

#: A descriptor's word and its packets by stream.
Packets = tuple[int, dict[str, list[int]]]


def steps_of(values: Sequence[int]) -> Operand:
    """Return an operand whose codes 0, 1 and so on have these values, a power of two of them."""
    bits = (len(values) - 1).bit_length()
    return Operand(TableFormat("values", bits, tuple(values)))


def split(streams: Streams) -> list[Packets]:
    """Return the jobs of a stimulus."""
    ends: dict[str, Iterator[list[int]]] = {
        name: _packets(columns) for name, columns in streams.items() if "tlast" in columns
    }
    return [
        (word, {name: next(packets) for name, packets in ends.items()})
        for word in streams["s_axis_job"]["tdata"]
    ]


def joined(jobs: Iterable[Packets]) -> Streams:
    """Return the stimulus of jobs one after the other. There must be at least one."""
    streams: Streams = {"s_axis_job": {"tdata": []}}
    for word, packets in jobs:
        streams["s_axis_job"]["tdata"].append(word)
        for name, words in packets.items():
            columns = streams.setdefault(name, {"tdata": [], "tlast": []})
            columns["tdata"] += words
            columns["tlast"] += [0] * (len(words) - 1) + [1]
    return streams


def drawn(sources: Sequence[tuple[int, Source]], rng: np.random.Generator, count: int) -> Streams:
    """Return ``count`` good jobs: of the first source every other one, of the others the rest.

    Each source comes with the ``bits`` of its jobs.
    """
    if len(sources) == 1:
        return stimulus.vectors(sources[0][1], rng, count)
    order = [0 if at % 2 == 0 else 1 + at // 2 % (len(sources) - 1) for at in range(count)]
    made = [
        iter(with_bits(split(stimulus.vectors(source, rng, order.count(at))), bits))
        for at, (bits, source) in enumerate(sources)
    ]
    return joined(next(made[at]) for at in order)


def with_bits(jobs: Iterable[Packets], bits: int) -> list[Packets]:
    """Return the jobs with ``bits`` in their descriptors, or more where there was something."""
    return [(word | bits << 48, packets) for word, packets in jobs]


def alternated(sources: Sequence[tuple[int, Source]], rng: np.random.Generator) -> Streams:
    """Return the faulty jobs of the first source and, if there are others, of the last one."""
    first = split(stimulus.faulty(sources[0][1], rng))
    if len(sources) == 1:
        return joined(first)
    bits, source = sources[-1]
    return joined(first + with_bits(split(stimulus.faulty(source, rng)), bits))


def scaled(streams: Streams, scale: Callable[[Job, list[int]], list[int]]) -> Streams:
    """Return the jobs with a packet of scales each.

    ``scale`` makes it from a job and its activations; a job that is refused gets that of another
    size.
    """
    jobs = []
    for word, packets in split(streams):
        job = Job.of(word)
        whole = 0 in (job.m, job.n, job.k) or job.m * job.n > 1 << 16 or job.k > 1 << 12
        words = scale(Job(1, 1, 1) if whole else job, packets["s_axis_act"])
        jobs.append((word, {**packets, "s_axis_scale": words}))
    return joined(jobs)


def scaled_faults(streams: Streams) -> Streams:
    """Return the good jobs of a stimulus, each after copies with faults in the scales.

    These end early or late, alone or together with the weights or the activations.
    """
    jobs: list[Packets] = []
    for at, (word, packets) in enumerate(split(streams)):
        scale, others = packets["s_axis_scale"], ("s_axis_act", "s_axis_wgt")
        for length in {1, len(scale) // 2, len(scale) - 1, len(scale) + 1, len(scale) + 4} - {0}:
            changed = {"s_axis_scale": (scale * 5)[:length]} if length != len(scale) else {}
            jobs.append((word, {**packets, **changed}))
            name = others[at % 2]
            for words in (packets[name][: max(1, len(packets[name]) // 2)], packets[name] * 2):
                jobs.append((word, {**packets, **changed, name: words}))
        jobs.append((word, packets))
    return joined(jobs)


def _packets(columns: dict[str, list[int]]) -> Iterator[list[int]]:
    words: list[int] = []
    for word, last in zip(columns["tdata"], columns["tlast"], strict=True):
        words.append(word)
        if last:
            yield words
            words = []

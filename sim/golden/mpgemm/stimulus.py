# SPDX-License-Identifier: Apache-2.0
"""Jobs for matrix engines: edge shapes, corner codes, and every kind of error."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.golden.mpgemm.jobs import Job
from sim.golden.pe.operands import Operand

__all__ = ["Source", "Streams", "codes", "faulty", "shapes", "vectors"]

Streams = dict[str, dict[str, list[int]]]
Codes = NDArray[np.int64]

#: Patterns of the activations and the weights of the first jobs.
PATTERNS = (
    ("least", "least"),
    ("random", "random"),
    ("most", "least"),
    ("one-hot", "random"),
    ("least", "most"),
    ("random", "one-hot"),
    ("alternating", "alternating"),
    ("zero", "random"),
    ("most", "most"),
    ("random", "zero"),
    ("finite", "finite"),
)

#: A job of the largest K has at most so many steps.
_LONGEST = 256


@dataclass(frozen=True)
class Source:
    """What jobs are made from.

    Parameters
    ----------
    tile
        Rows, columns and products of a step, around which the edge shapes lie.
    max_k, planes
        As :class:`sim.golden.mpgemm.jobs.Engine` has them.
    act, weight
        Formats of the codes.
    pack
        From codes (M, K) and (K, N) to the words of the two streams, with anything outside of them.
    """

    tile: tuple[int, int, int]
    max_k: int
    planes: int
    act: Operand
    weight: Operand
    pack: Callable[[Codes, Codes, np.random.Generator], tuple[list[int], list[int]]]


@dataclass
class _Jobs:
    """Jobs in the order in which they are added."""

    source: Source
    rng: np.random.Generator
    streams: Streams = field(
        default_factory=lambda: {
            "s_axis_job": {"tdata": []},
            "s_axis_act": {"tdata": [], "tlast": []},
            "s_axis_wgt": {"tdata": [], "tlast": []},
        }
    )

    def add(self, word: int, act: Sequence[int], wgt: Sequence[int]) -> None:
        """Add a descriptor and its packets."""
        self.streams["s_axis_job"]["tdata"].append(word)
        for name, words in (("s_axis_act", act), ("s_axis_wgt", wgt)):
            self.streams[name]["tdata"] += words
            self.streams[name]["tlast"] += [0] * (len(words) - 1) + [1]

    def packets(
        self, shape: tuple[int, int, int], kinds: tuple[str, str] = ("finite", "finite")
    ) -> tuple[list[int], list[int]]:
        """Return packets of a job of this shape (m, n, k)."""
        m, n, k = shape
        a = codes(self.source.act, kinds[0], (m, k), self.rng)
        w = codes(self.source.weight, kinds[1], (k, n), self.rng)
        return self.source.pack(a, w, self.rng)

    def good(self, shape: tuple[int, int, int], kinds: tuple[str, str]) -> None:
        """Add a job that is fine."""
        self.add(Job(*shape).word, *self.packets(shape, kinds))


def vectors(source: Source, rng: np.random.Generator, count: int) -> Streams:
    """Return ``count`` good jobs: edge shapes and corner codes first, then any of both."""
    jobs = _Jobs(source, rng)
    for index, shape in enumerate(shapes(source, rng, count)):
        known = index < len(PATTERNS) or rng.random() < 0.5
        jobs.good(shape, PATTERNS[index % len(PATTERNS)] if known else ("random", "random"))
    return jobs.streams


def shapes(source: Source, rng: np.random.Generator, count: int) -> Iterator[tuple[int, int, int]]:
    """Yield ``count`` shapes (m, n, k) of 1, a tile less and more 1, and a prime each.

    The first and the third have the longest K, unless that is very long, and by their patterns the
    largest sums of either sign.
    """
    edges = [_edges(size) for size in source.tile]
    edges[2] = [k for k in edges[2] if k <= source.max_k]
    long = source.max_k if source.max_k <= _LONGEST * source.tile[2] else edges[2][-1]
    for index in range(count):
        if index in (0, 2):
            yield 1, 1, long
        elif index < 10:
            shift = index // 5
            m, n, k = (sizes[(index + at * shift) % len(sizes)] for at, sizes in enumerate(edges))
            yield m, n, k
        else:
            m, n, k = (int(rng.choice(sizes)) for sizes in edges)
            yield m, n, k


def codes(operand: Operand, kind: str, shape: tuple[int, int], rng: np.random.Generator) -> Codes:
    """Return legal codes of a pattern.

    ``least`` and ``most`` (the values), ``alternating`` (of both), ``zero`` (or the value nearest
    to it), ``one-hot`` (``least`` or ``most`` in one place of every row and column), ``finite``
    and ``random`` (any, one in 16 from the non-finite codes if there are, at least one of five).
    """
    ints, marks = operand.decode(operand.codes)
    finite, values = operand.codes[~marks], ints[~marks]
    least, most = finite[np.argmin(values)], finite[np.argmax(values)]
    zero = finite[np.argmin(np.abs(values))]
    row, column = np.ogrid[: shape[0], : shape[1]]
    if kind == "alternating":
        return np.where((row + column) % 2, least, most)
    if kind == "one-hot":
        hot = (row + int(rng.integers(0, 64))) % max(shape) == column % max(shape)
        return np.where(hot, rng.choice([least, most]), zero)
    if kind in ("least", "most", "zero"):
        return np.full(shape, {"least": least, "most": most, "zero": zero}[kind])
    drawn = rng.choice(finite, shape)
    special = operand.codes[marks]
    if kind == "random" and len(special):
        drawn = np.where(rng.random(shape) < 1 / 16, rng.choice(special, shape), drawn)
        if drawn.size > 4:
            drawn.flat[rng.integers(drawn.size)] = rng.choice(special)
    return drawn


def faulty(source: Source, rng: np.random.Generator) -> Streams:
    """Return jobs with each kind of error, alone and together, each before a good job.

    Those that one bit of the descriptor makes wrong come one after the other.
    """
    jobs = _Jobs(source, rng)
    rows, columns, step = source.tile
    shape = (rows + 1, columns + 1, min(2 * step + 1, source.max_k))
    small = (1, columns + 1, min(step + 1, source.max_k))
    jobs.good(small, ("finite", "finite"))
    for word in _bad_words(source):
        act, wgt = jobs.packets(shape)
        jobs.add(word, act[: rng.integers(1, 4)], wgt[: rng.integers(1, 4)])
        jobs.good(small, ("finite", "finite"))
    for word in _single_bits(source):
        jobs.add(word, *(words[:1] for words in jobs.packets(small)))
    jobs.good(small, ("finite", "finite"))
    lengths = [len(words) for words in jobs.packets(shape)]
    for act_length, wgt_length in _bad_lengths(*lengths):
        packets = []
        for words, length in zip(jobs.packets(shape), (act_length, wgt_length), strict=True):
            extra = words * (length // len(words) + 1)
            packets.append(extra[:length])
        jobs.add(Job(*shape).word, *packets)
        jobs.good(small, ("random", "random"))
    return jobs.streams


def _edges(size: int) -> list[int]:
    """1, ``size`` less and more 1, and the first prime above twice ``size``."""
    prime = 2 * size + 1
    while any(prime % divisor == 0 for divisor in range(2, prime)):
        prime += 1
    return sorted({1, max(1, size - 1), size, size + 1, prime})


def _bad_words(source: Source) -> list[int]:
    """Descriptors with each error, and some with several."""
    found = [Job(0, 3, 2), Job(3, 0, 2), Job(3, 2, 0), Job(0, 0, 0, 15, 1)]
    found += [Job(1, 1, 1, 0, 1), Job(1, 1, 1, 0, 1 << 11)]
    if source.planes < 15:
        found += [Job(1, 1, 1, source.planes + 1), Job(2, 3, 4, 15)]
    if source.max_k < 65535:
        found += [Job(1, 1, source.max_k + 1), Job(65535, 65535, 65535, 15, 4095)]
        found += [Job(0, 1, source.max_k + 1)]
    return [job.word for job in found]


def _single_bits(source: Source) -> list[int]:
    """Descriptors that one bit makes wrong: of a mode, or of a K that is no less anywhere else."""
    found = [Job(1, 1, 1, 0, 1 << bit) for bit in range(12)]
    found += [Job(1, 1, 1, 1 << bit) for bit in range(4) if 1 << bit > source.planes]
    clear = [bit for bit in range(16) if not source.max_k >> bit & 1]
    found += [Job(1, 1, (source.max_k >> bit | 1) << bit) for bit in clear]
    return [job.word for job in found]


def _bad_lengths(act: int, wgt: int) -> list[tuple[int, int]]:
    """Lengths of packets in place of these: early, late, both at once and one after the other."""
    pairs = [(1, wgt), (act // 2, wgt), (act - 1, wgt), (act + 1, wgt), (act + 5, wgt)]
    pairs += [(act, 1), (act, wgt // 2), (act, wgt - 1), (act, wgt + 1), (act, wgt + 5)]
    pairs += [(1, 1), (act // 2, wgt // 2), (act // 2, wgt // 2 - 1), (act // 2 - 1, wgt // 2)]
    pairs += [(act + 1, wgt + 1), (act + 3, wgt - 1), (act - 1, wgt + 3), (1, wgt + 2)]
    return [(max(1, a), max(1, w)) for a, w in pairs]

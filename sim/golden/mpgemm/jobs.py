# SPDX-License-Identifier: Apache-2.0
"""What a matrix engine makes of a sequence of jobs, good or faulty.

Every job owns one packet, ended by TLAST, on each operand stream. An engine takes the beats of a
packet in a fixed order, told by a :class:`Schedule`; the first beat at fault (TLAST early, or
missing on the last beat) ends the job with a single beat that carries the error's code, after the
tiles that were complete by then. What is left of the packets is dropped.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.spec.gemm import JOB, error_code

__all__ = ["Engine", "Job", "Schedule", "Tile", "job_word", "out_bits", "run_jobs"]

Streams = Mapping[str, Mapping[str, Sequence[int]]]

#: Sums (rows, columns) of the part of a tile that exists, and marks of those that are NaN.
Tile = tuple[NDArray[Any], NDArray[np.bool_]]

_OPERANDS = {"act": "activations", "wgt": "weights", "scale": "scales"}


@dataclass(frozen=True)
class Job:
    """The fields of a descriptor."""

    m: int
    n: int
    k: int
    bits: int = 0
    reserved: int = 0

    @classmethod
    def of(cls, word: int) -> "Job":
        """Take a descriptor's word apart."""
        return cls(**{f.name: word >> f.offset & (1 << f.bits) - 1 for f in JOB})

    @property
    def word(self) -> int:
        """The descriptor as a word. Raises ``ValueError`` where a field is out of range."""
        total = 0
        for f in JOB:
            value = getattr(self, f.name)
            if not 0 <= value < 1 << f.bits:
                raise ValueError(f"{f.name} must be 0 to {(1 << f.bits) - 1}, not {value}")
            total |= value << f.offset
        return total


def job_word(m: int, n: int, k: int, bits: int = 0, reserved: int = 0) -> int:
    """Return the descriptor of a job. Raises ``ValueError`` where a field is out of range."""
    return Job(m, n, k, bits, reserved).word


@dataclass(frozen=True)
class Schedule:
    """When a good job's beats are taken, as numbers from 0; equal numbers are taken together.

    Parameters
    ----------
    beats
        Beats of each operand stream.
    tiles, end
        Tiles of the output, and the number after the last.
    time
        From a stream's name and the index of a beat to its number.
    done
        From a number to how many tiles are complete before it.
    """

    beats: Mapping[str, int]
    tiles: int
    end: int
    time: Callable[[str, int], int]
    done: Callable[[int], int]


@dataclass(frozen=True)
class Engine:
    """What :func:`run_jobs` has to know of an engine.

    Parameters
    ----------
    max_k, planes
        Largest ``k``, and most bit planes that a job may ask for.
    columns, acc_bits
        Fields of an output beat and the width of a sum.
    schedule
        From a job that is fine to its schedule.
    tiles
        From a job, the words of the operand streams and a number of tiles to those tiles, in order.
    has_nan
        Whether ``tuser`` tells which columns are NaN.
    signed
        Whether results are, else they are not negative.
    streams
        Operand streams, ``act``, ``wgt`` and ``scale``.
    """

    max_k: int
    planes: int
    columns: int
    acc_bits: int
    schedule: Callable[[Job], Schedule]
    tiles: Callable[[Job, Mapping[str, Sequence[int]], int], Iterator[Tile]]
    has_nan: bool = False
    signed: bool = True
    streams: tuple[str, ...] = ("act", "wgt")

    def refusal(self, job: Job) -> int:
        """Return the error code of a descriptor, 0 if it is fine."""
        if 0 in (job.m, job.n, job.k):
            return error_code("zero size")
        if job.k > self.max_k:
            return error_code("k above max_k")
        if job.reserved or job.bits > self.planes:
            return error_code("unsupported mode")
        return error_code("none")


def out_bits(acc_bits: int) -> int:
    """Return the bits of one field of an output beat: 8, 16, 32, 64 and so on."""
    return max(8, 1 << (acc_bits - 1).bit_length())


def run_jobs(engine: Engine, streams: Streams) -> dict[str, dict[str, list[int]]]:
    """Return ``{"m_axis_out": {"tdata", "tkeep", "tuser", "tlast"}}``, one entry for each beat.

    ``streams`` holds ``s_axis_job`` with ``tdata`` and ``s_axis_act`` and so on with ``tdata`` and
    ``tlast``. Where a stream ends too soon, so does the output. Raises ``ValueError`` on an illegal
    code that takes part in a product, and on a sum that does not fit ``acc_bits``.
    """
    packets = {name: _packets(streams[f"s_axis_{name}"]) for name in engine.streams}
    out = _Output(engine.columns, engine.acc_bits, engine.has_nan, engine.signed)
    for word in streams["s_axis_job"]["tdata"]:
        job = Job.of(int(word))
        owned = {name: next(rest) for name, rest in packets.items()}
        code = engine.refusal(job)
        if code:
            out.error(code)
        else:
            _run_job(engine, job, owned, out)
        if not all(complete for _, complete in owned.values()):
            break
    return {"m_axis_out": out.beats}


Packet = tuple[list[int], bool]


def _packets(stream: Mapping[str, Sequence[int]]) -> Iterator[Packet]:
    """The words of each packet and whether TLAST ends it; the rest of the stream does not."""
    words: list[int] = []
    for word, last in zip(stream["tdata"], stream["tlast"], strict=True):
        words.append(int(word))
        if last:
            yield words, True
            words = []
    while True:
        yield words, False
        words = []


def _run_job(engine: Engine, job: Job, owned: Mapping[str, Packet], out: "_Output") -> None:
    schedule = engine.schedule(job)
    stall, faults = schedule.end, [(schedule.end, error_code("none"))]
    for name in engine.streams:
        (words, complete), beats = owned[name], schedule.beats[name]
        if len(words) < beats and complete:
            early = error_code(f"{_OPERANDS[name]} end early")
            faults.append((schedule.time(name, len(words) - 1), early))
        elif len(words) < beats:
            stall = min(stall, schedule.time(name, len(words)))
        elif len(words) > beats or not complete:
            late = error_code(f"{_OPERANDS[name]} end late")
            faults.append((schedule.time(name, beats - 1), late))
    fault, code = min(faults)
    done = schedule.done(min(fault, stall))
    words_of = {name: words for name, (words, _) in owned.items()}
    for index, tile in enumerate(engine.tiles(job, words_of, done) if done else ()):
        out.tile(tile, last=index == schedule.tiles - 1)
    if fault < stall:
        out.error(code)


@dataclass
class _Output:
    """Beats of ``m_axis_out``, as they are made."""

    columns: int
    acc_bits: int
    has_nan: bool
    signed: bool
    beats: dict[str, list[int]] = field(
        default_factory=lambda: {name: [] for name in ("tdata", "tkeep", "tuser", "tlast")}
    )

    def tile(self, tile: Tile, last: bool) -> None:
        """Add the rows of a tile, the final one with TLAST if the tile is the ``last`` of a job."""
        bits = out_bits(self.acc_bits)
        sums, marks = tile
        low = -1 << self.acc_bits - 1 if self.signed else 0
        high, mask = low + (1 << self.acc_bits), (1 << bits) - 1
        keep = (1 << sums.shape[1] * bits // 8) - 1
        for row, (values, nans) in enumerate(zip(sums.tolist(), marks.tolist(), strict=True)):
            data = 0
            for column, value in enumerate(values):
                if not low <= value < high:
                    raise ValueError(f"the sum {value} does not fit {self.acc_bits} bits")
                data |= (value & mask) << column * bits
            nan = sum(mark << column for column, mark in enumerate(nans)) if self.has_nan else 0
            self._add(data, keep, nan << 4, last and row == len(sums) - 1)

    def error(self, code: int) -> None:
        """Add the beat that tells of an error."""
        self._add(0, 0, code, True)

    def _add(self, data: int, keep: int, user: int, last: bool) -> None:
        for name, value in zip(self.beats, (data, keep, user, int(last)), strict=True):
            self.beats[name].append(value)

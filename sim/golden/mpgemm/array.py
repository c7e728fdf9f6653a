# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``array``: matrix products of any size on one array of multipliers.

Sums are exact (see :mod:`sim.golden.pe.pe`), so every dataflow gives the same numbers; they differ
in the order of their beats (:mod:`sim.golden.mpgemm.frame`, :mod:`sim.golden.mpgemm.stationary`)
and in their cycles (:mod:`sim.golden.mpgemm.cycles`). With ``group`` they are sums of groups, which
may be scaled and added, see :mod:`sim.golden.mpgemm.scaled`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import parse
from sim.golden.mpgemm import stimulus
from sim.golden.mpgemm.cycles import cycles
from sim.golden.mpgemm.draws import Packets, joined, scaled, scaled_faults, split
from sim.golden.mpgemm.frame import (
    Padding,
    pack_act,
    pack_wgt,
    plain_schedule,
    plain_tiles,
    unpack_out,
)
from sim.golden.mpgemm.jobs import Engine, Job, Schedule, Tile, run_jobs
from sim.golden.mpgemm.scale_beats import draw_scales, pack_scales, scale_formats
from sim.golden.mpgemm.scaled import group_schedule, group_tiles, out_width, scaled_tiles
from sim.golden.mpgemm.stationary import (
    pack_moving,
    pack_still,
    stationary_schedule,
    stationary_tiles,
)
from sim.golden.mpgemm.stimulus import Source, Streams
from sim.golden.pe.operands import Operand, operands

__all__ = [
    "PLANES",
    "cycles",
    "engine",
    "faulty",
    "pack",
    "pack_scales",
    "run",
    "unpack",
    "vectors",
]

#: Bit planes that a job may ask for: an array takes weights whole.
PLANES = 0

_DATAFLOWS = ("broadcast", "tree", "cube", "os", "ws", "is")


def run(
    parameters: Mapping[str, Any], streams: Mapping[str, Mapping[str, Sequence[int]]]
) -> dict[str, dict[str, list[int]]]:
    """Return the beats of ``m_axis_out`` for any beats of the other streams.

    ``streams`` and the result are as :func:`sim.golden.mpgemm.jobs.run_jobs` has them.
    """
    return run_jobs(engine(parameters), streams)


def vectors(parameters: Mapping[str, Any], rng: np.random.Generator, count: int) -> Streams:
    """Return ``count`` good jobs: edge shapes and corner codes first, then any."""
    streams = stimulus.vectors(_source(parameters), rng, count)
    return scaled(streams, draw_scales(parameters, rng)) if parameters.get("scale") else streams


def faulty(parameters: Mapping[str, Any], rng: np.random.Generator) -> Streams:
    """Return jobs with each kind of error between good ones."""
    streams = stimulus.faulty(_source(parameters), rng)
    if not parameters.get("scale"):
        return streams
    draw = draw_scales(parameters, rng)
    good = joined(_good(parameters, extra, rng) for extra in range(3))
    wrong = scaled_faults(scaled(good, draw))
    return joined([*split(scaled(streams, draw)), *split(wrong)])


def _good(parameters: Mapping[str, Any], extra: int, rng: np.random.Generator) -> Packets:
    """Return a job of up to two groups and a bit, and ``extra`` rows and columns beside a tile."""
    source = _source(parameters)
    rows, columns, group = source.tile
    m, n, k = rows + extra, columns + extra, min(extra * group + 1, source.max_k)
    a = stimulus.codes(source.act, "random", (m, k), rng)
    w = stimulus.codes(source.weight, "random", (k, n), rng)
    act, wgt = source.pack(a, w, rng)
    return Job(m, n, k).word, {"s_axis_act": act, "s_axis_wgt": wgt}


def engine(parameters: Mapping[str, Any]) -> Engine:
    """Return what the frame has to know. Raises ``ValueError`` for an unknown ``dataflow``."""
    flow = parameters["dataflow"]
    if flow not in _DATAFLOWS:
        raise ValueError(f"dataflow must be one of {', '.join(_DATAFLOWS)}, not {flow!r}")
    weight, act = operands(parameters)
    has_nan = weight.fmt.nonfinite or act.fmt.nonfinite or act.window is not None
    if parameters.get("group"):
        return _grouped(parameters, (weight, act), has_nan)

    def schedule(job: Job) -> Schedule:
        if flow == "ws":
            return stationary_schedule(parameters, ("act", "wgt"), (job.m, job.n, job.k))
        if flow == "is":
            return stationary_schedule(parameters, ("wgt", "act"), (job.n, job.m, job.k))
        return plain_schedule(parameters, job)

    def tiles(job: Job, words: Mapping[str, Sequence[int]], count: int) -> Iterator[Tile]:
        if flow == "ws":
            both, sizes = (words["act"], words["wgt"]), (job.m, job.n, job.k)
            return stationary_tiles(parameters, (act, weight), sizes, both, count)
        if flow == "is":
            both, sizes = (words["wgt"], words["act"]), (job.n, job.m, job.k)
            return stationary_tiles(parameters, (weight, act), sizes, both, count)
        return plain_tiles(parameters, weight, act, job, words, count)

    return Engine(
        max_k=int(parameters["max_k"]),
        planes=PLANES,
        columns=int(parameters["columns"]),
        acc_bits=int(parameters["acc_bits"]),
        schedule=schedule,
        tiles=tiles,
        has_nan=has_nan,
    )


def _grouped(parameters: Mapping[str, Any], both: tuple[Operand, Operand], has_nan: bool) -> Engine:
    """What the frame has to know of groups of products of two operands."""
    mode, make = parameters["sum"], scaled_tiles if parameters["scale"] else group_tiles
    if mode == "exact":
        has_nan |= any(fmt.nonfinite for fmt in scale_formats(parameters))
    return Engine(
        max_k=int(parameters["max_k"]),
        planes=PLANES,
        columns=int(parameters["columns"]),
        acc_bits=out_width(parameters),
        schedule=lambda job: group_schedule(parameters, job),
        tiles=lambda job, words, count: make(parameters, both, job, words, count),
        has_nan=has_nan and mode != "fp32-seq",
        streams=("act", "wgt", "scale") if parameters["scale"] else ("act", "wgt"),
    )


def pack(
    parameters: Mapping[str, Any], a: ArrayLike, w: ArrayLike, padding: Padding = None
) -> tuple[list[int], list[int]]:
    """Return the beats ``(act, wgt)`` of a job from codes ``a`` (M, K) and ``w`` (K, N).

    What lies outside of the matrices is 0 or drawn from ``padding``.
    """
    m, n, flow = np.shape(a)[0], np.shape(w)[1], parameters["dataflow"]
    ab, wb = parse(parameters["act"]).bits, parse(parameters["format"]).bits
    if flow == "ws":
        still = pack_still(parameters, w, m, wb, padding)
        return pack_moving(parameters, a, n, ab, padding), still
    if flow == "is":
        moving = pack_moving(parameters, np.transpose(w), m, wb, padding)
        return pack_still(parameters, np.transpose(a), n, ab, padding), moving
    return pack_act(parameters, a, n, padding), pack_wgt(parameters, w, m, padding)


def unpack(
    parameters: Mapping[str, Any], m: int, n: int, beats: Mapping[str, Sequence[int]]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return ``(c, nan)``, (M, N), of the output of one good job.

    Raises ``ValueError`` where the beats are not those of a good job of this size.
    """
    flow = parameters["dataflow"]
    if flow not in ("ws", "is"):
        return unpack_out(parameters, m, n, beats)
    tall = {**parameters, "rows": parameters["depth"]}
    if flow == "ws":
        return unpack_out(tall, m, n, beats)
    c, nan = unpack_out(tall, n, m, beats)
    return c.T, nan.T


def _source(parameters: Mapping[str, Any]) -> Source:
    weight, act = operands(parameters)
    rows, columns, lanes = (int(parameters[name]) for name in ("rows", "columns", "lanes"))
    tile = {
        "ws": (int(parameters.get("depth") or 1), columns, rows * lanes),
        "is": (columns, int(parameters.get("depth") or 1), rows * lanes),
    }.get(str(parameters["dataflow"]), (rows, columns, lanes))
    if parameters.get("group"):
        tile = rows, columns, int(parameters["group"])
    return Source(
        tile=tile,
        max_k=int(parameters["max_k"]),
        planes=PLANES,
        act=act,
        weight=weight,
        pack=lambda a, w, rng: pack(parameters, a, w, rng),
    )

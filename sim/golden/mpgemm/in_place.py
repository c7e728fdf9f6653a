# SPDX-License-Identifier: Apache-2.0
"""Engines whose sums stay in place: what the frame has to know, their jobs and their cycles.

All of them can give the sums of groups of products as they are, or scaled and added, see
:mod:`sim.golden.mpgemm.scaled`, and integers requantised, see :mod:`sim.golden.mpgemm.epilogue`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sim.golden.mpgemm import stimulus
from sim.golden.mpgemm.draws import Packets, joined, scaled, scaled_faults, split, with_bits
from sim.golden.mpgemm.epilogue import requantised, result_bits
from sim.golden.mpgemm.jobs import Engine, Job, Tile
from sim.golden.mpgemm.products import Products
from sim.golden.mpgemm.scale_beats import (
    array_names,
    draw_scales,
    scale_formats,
    takes_scales,
    unpack_requant,
)
from sim.golden.mpgemm.scaled import (
    group_schedule,
    group_steps,
    group_tiles,
    mode_of,
    out_width,
    scaled_tiles,
    tail,
)
from sim.golden.mpgemm.stimulus import Source, Streams

__all__ = [
    "cycles_in_place",
    "in_place_engine",
    "scale_faults",
    "tile_of",
    "with_scale_faults",
    "with_scales",
]


def in_place_engine(parameters: Mapping[str, Any], products: Products, planes: int = 0) -> Engine:
    """Return what the frame has to know; a job may ask for up to ``planes`` bit planes."""
    p = array_names(parameters)
    mode, width, has_nan = mode_of(p), int(p["acc_bits"]), products.has_nan
    if mode != "int":
        width = out_width(p)
        has_nan |= any(fmt.nonfinite for fmt in scale_formats(p))
        has_nan &= mode == "exact"
    has_nan |= products.flagged
    make = group_tiles if mode == "int" else scaled_tiles
    requant = p.get("requant")

    def tiles(job: Job, words: Mapping[str, Sequence[int]], count: int) -> Iterator[Tile]:
        found = make(p, products, job, words, count)
        if not requant:
            return found
        # Of the beats of a tile the last one has the numbers of its columns.
        each = len(group_steps(p, job.k, products.depth))
        given = unpack_requant(p, words["scale"][each - 1 : count * each : each])
        return (requantised(p, *both) for both in zip(given, found, strict=True))

    return Engine(
        max_k=int(p["max_k"]),
        planes=planes,
        columns=int(p["columns"]),
        acc_bits=result_bits(p) if requant else width,
        schedule=lambda job: group_schedule(p, job, products.depth, products.beats(job.bits)),
        tiles=tiles,
        has_nan=has_nan,
        signed=not (requant and p["requant_out"].startswith("u")),
        streams=("act", "wgt", "scale") if takes_scales(p) else ("act", "wgt"),
    )


def tile_of(parameters: Mapping[str, Any], depth: int) -> tuple[int, int, int]:
    """Return the sizes around which the edge shapes lie: rows, columns, ``depth`` or a group."""
    group = array_names(parameters)["group"]
    return int(parameters["rows"]), int(parameters["columns"]), int(group or depth)


def with_scales(
    parameters: Mapping[str, Any], streams: Streams, rng: np.random.Generator
) -> Streams:
    """Return the jobs with scales where the engine takes such."""
    p = array_names(parameters)
    return scaled(streams, draw_scales(p, out_width(p), rng)) if takes_scales(p) else streams


def with_scale_faults(
    parameters: Mapping[str, Any],
    streams: Streams,
    source: tuple[int, Source],
    rng: np.random.Generator,
) -> Streams:
    """Return the jobs with scales, and further ones with faults in these.

    ``source`` is what the further jobs are made of, and their ``bits``.
    """
    if not takes_scales(array_names(parameters)):
        return streams
    good = split(with_scales(parameters, streams, rng))
    return joined([*good, *scale_faults(parameters, source, rng)])


def scale_faults(
    parameters: Mapping[str, Any], source: tuple[int, Source], rng: np.random.Generator
) -> list[Packets]:
    """Return jobs made of ``source``, with its ``bits``, and with faults in their scales."""
    bits, made_of = source
    good = joined(with_bits((_good(made_of, extra, rng) for extra in range(3)), bits))
    return split(scaled_faults(with_scales(parameters, good, rng)))


def _good(source: Source, extra: int, rng: np.random.Generator) -> Packets:
    """A job of up to two groups and a bit, and ``extra`` rows and columns beside a tile."""
    rows, columns, group = source.tile
    m, n, k = rows + extra, columns + extra, min(extra * group + 1, source.max_k)
    a = stimulus.codes(source.act, "random", (m, k), rng)
    w = stimulus.codes(source.weight, "random", (k, n), rng)
    act, wgt = source.pack(a, w, rng)
    return Job(m, n, k).word, {"s_axis_act": act, "s_axis_wgt": wgt}


def cycles_in_place(
    parameters: Mapping[str, Any],
    sizes: tuple[int, int, int],
    depth: int,
    beats: int,
    fill: int,
    load: int = 0,
) -> int:
    """Return the cycles of a job of ``sizes`` (m, n, k), nobody stalling (A.0.5).

    Every step takes ``beats`` cycles, the rows of a tile, or of a group, leave during the next one,
    from a copy of the sums if they are several, and ``fill`` is what other registers add. Before
    its first step a tile has ``load`` cycles in which nothing else happens.
    """
    (m, n, k), p = sizes, array_names(parameters)
    rows = int(p["rows"])
    tiles = -(-m // rows) * -(-n // int(p["columns"]))
    lengths = [steps * beats for steps in group_steps(p, k, depth)]
    lengths[0] += load
    # Each sum but the first takes as long as the rows of the one before need to leave.
    busy = lengths[0] + tiles * sum(max(steps, rows) for steps in lengths) - max(lengths[0], rows)
    fill += tail(p)
    return busy + (m - 1) % rows + 1 + int(rows > 1) + fill

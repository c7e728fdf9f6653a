# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``array``: matrix products of any size on one array of multipliers.

Sums are exact (see :mod:`sim.golden.pe.pe`), so every dataflow gives the same numbers; they differ
in the order of their beats (:mod:`sim.golden.mpgemm.frame`, :mod:`sim.golden.mpgemm.stationary`)
and in their cycles (:mod:`sim.golden.mpgemm.cycles`); with ``os-ws`` each job chooses one of two,
see :mod:`sim.golden.mpgemm.two_flows`. With ``group`` they are sums of groups, which
may be scaled and added, see :mod:`sim.golden.mpgemm.scaled`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import parse
from sim.golden.mpgemm import sparse
from sim.golden.mpgemm.cycles import cycles
from sim.golden.mpgemm.draws import alternated, drawn, joined, split
from sim.golden.mpgemm.epilogue import result_bits
from sim.golden.mpgemm.frame import Padding, pack_act, pack_wgt, unpack_out
from sim.golden.mpgemm.in_place import (
    in_place_engine,
    scale_faults,
    tile_of,
    with_scale_faults,
    with_scales,
)
from sim.golden.mpgemm.jobs import Engine, Job, Schedule, Tile, run_jobs
from sim.golden.mpgemm.products import Fields, Part, Products
from sim.golden.mpgemm.scale_beats import array_names, pack_scales, takes_scales, unpack_requant
from sim.golden.mpgemm.stationary import (
    pack_moving,
    pack_still,
    requantised_rows,
    stationary_schedule,
    stationary_tiles,
)
from sim.golden.mpgemm.stimulus import Source, Streams
from sim.golden.mpgemm.two_flows import WS, either, of_flow, with_other_words
from sim.golden.pe.operands import operands
from sim.golden.pe.pe import matmul

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

Codes = NDArray[np.int64]

#: Bit planes that a job may ask for: an array takes weights whole.
PLANES = 0

_DATAFLOWS = ("broadcast", "tree", "cube", "os", "ws", "is", "os-ws")


def run(
    parameters: Mapping[str, Any], streams: Mapping[str, Mapping[str, Sequence[int]]]
) -> dict[str, dict[str, list[int]]]:
    """Return the beats of ``m_axis_out`` for any beats of the other streams.

    ``streams`` and the result are as :func:`sim.golden.mpgemm.jobs.run_jobs` has them.
    """
    return run_jobs(engine(parameters), streams)


def vectors(parameters: Mapping[str, Any], rng: np.random.Generator, count: int) -> Streams:
    """Return ``count`` good jobs: edge shapes and corner codes first, then any."""
    return with_scales(parameters, drawn(_sources(parameters), rng, count), rng)


def faulty(parameters: Mapping[str, Any], rng: np.random.Generator) -> Streams:
    """Return jobs with each kind of error between good ones."""
    sources = _sources(parameters)
    streams = alternated(sources, rng)
    if parameters.get("sparsity"):
        streams = sparse.with_other_bits(parameters, streams)
    if parameters["dataflow"] == "os-ws":
        streams = with_other_words(streams)
    streams = with_scale_faults(parameters, streams, sources[-1], rng)
    if parameters["dataflow"] == "os-ws" and "s_axis_scale" in streams:
        streams = joined([*split(streams), *scale_faults(parameters, sources[0], rng)])
    return streams


def engine(parameters: Mapping[str, Any]) -> Engine:
    """Return what the frame has to know. Raises ``ValueError`` for an unknown ``dataflow``."""
    flow = parameters["dataflow"]
    if flow not in _DATAFLOWS:
        raise ValueError(f"dataflow must be one of {', '.join(_DATAFLOWS)}, not {flow!r}")
    if flow == "os-ws":
        both = [engine(of_flow(parameters, flow)) for flow in (0, 1)]
        return either((both[0], both[1]))
    if parameters.get("sparsity"):
        return sparse.engine(parameters)
    if flow not in ("ws", "is"):
        return in_place_engine(parameters, _products(parameters))
    weight, act = operands(parameters)

    def schedule(job: Job) -> Schedule:
        if flow == "ws":
            return stationary_schedule(parameters, ("act", "wgt"), (job.m, job.n, job.k))
        return stationary_schedule(parameters, ("wgt", "act"), (job.n, job.m, job.k))

    p = array_names(parameters)
    requant = p.get("requant")

    def tiles(job: Job, words: Mapping[str, Sequence[int]], count: int) -> Iterator[Tile]:
        both, sizes, kinds = ("act", "wgt"), (job.m, job.n, job.k), (act, weight)
        if flow == "is":
            both, sizes, kinds = ("wgt", "act"), (job.n, job.m, job.k), (weight, act)
        own = words[both[0]], words[both[1]]
        found = stationary_tiles(parameters, kinds, sizes, own, count)
        if not requant:
            return found
        given = unpack_requant(p, words["scale"])
        return requantised_rows(p, given, sizes[:2], found)

    return Engine(
        max_k=int(parameters["max_k"]),
        planes=PLANES,
        columns=int(parameters["columns"]),
        acc_bits=result_bits(p) if requant else int(parameters["acc_bits"]),
        schedule=schedule,
        tiles=tiles,
        has_nan=weight.nonfinite or act.nonfinite,
        signed=not (requant and p["requant_out"].startswith("u")),
        streams=("act", "wgt", "scale") if takes_scales(p) else ("act", "wgt"),
    )


def _products(parameters: Mapping[str, Any]) -> Products:
    """How codes of both operands become sums; those beyond K may be anything."""
    (weight, act), lanes = operands(parameters), int(parameters["lanes"])

    def multiply(a: Codes, w: Codes, k: int, bits: int) -> Part:
        a, w = (codes.reshape(len(codes), -1)[:, :k] for codes in (a, w))
        return Part(*matmul(weight, act, a, w), act.decode(a)[0].astype(object).sum(axis=1))

    return Products(
        depth=lanes,
        act=Fields(lanes, act.fmt.bits),
        wgt=Fields(lanes, weight.fmt.bits),
        multiply=multiply,
        has_nan=weight.nonfinite or act.nonfinite,
        lam=weight.lam + act.lam,
    )


def pack(
    parameters: Mapping[str, Any], a: ArrayLike, w: ArrayLike, padding: Padding = None
) -> tuple[list[int], list[int]]:
    """Return the beats ``(act, wgt)`` of a job from codes ``a`` (M, K) and ``w`` (K, N).

    What lies outside of the matrices is 0 or drawn from ``padding``. With ``sparsity`` the weights
    are pruned; for jobs of ``os-ws`` take :func:`sim.golden.mpgemm.two_flows.of_flow`.
    """
    m, n, flow = np.shape(a)[0], np.shape(w)[1], parameters["dataflow"]
    if parameters.get("sparsity"):
        kept = sparse.pruned(parameters, w)
        wgt = sparse.pack_kept(parameters, kept, m, padding)
        return sparse.pack_activations(parameters, a, n, padding), wgt
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


def _sources(parameters: Mapping[str, Any]) -> list[tuple[int, Source]]:
    """What jobs are made of, and their ``bits``."""
    if parameters["dataflow"] == "os-ws":
        return [(bits, _source(of_flow(parameters, bool(bits)))) for bits in (0, WS)]
    source = _source(parameters)
    if not parameters.get("sparsity"):
        return [(0, source)]
    sparsity = sparse.Sparsity.of(parameters)

    def pack(
        dense: bool, a: Codes, w: Codes, rng: np.random.Generator
    ) -> tuple[list[int], list[int]]:
        act = sparse.pack_activations(parameters, a, np.shape(w)[1], rng)
        if dense:
            return act, sparse.pack_dense(parameters, w, len(a), rng)
        return act, sparse.pack_random(parameters, w, len(a), rng)

    tile = tile_of(parameters, sparsity.depth)
    return [
        (bits, replace(source, tile=tile, planes=sparsity.dense, pack=partial(pack, bool(bits))))
        for bits in sorted({0, sparsity.dense})
    ]


def _source(parameters: Mapping[str, Any]) -> Source:
    weight, act = operands(parameters)
    rows, columns, lanes = (int(parameters[name]) for name in ("rows", "columns", "lanes"))
    tile = {
        "ws": (int(parameters.get("depth") or 1), columns, rows * lanes),
        "is": (columns, int(parameters.get("depth") or 1), rows * lanes),
    }.get(str(parameters["dataflow"]), tile_of(parameters, lanes))
    return Source(
        tile=tile,
        max_k=int(parameters["max_k"]),
        planes=PLANES,
        act=act,
        weight=weight,
        pack=lambda a, w, rng: pack(parameters, a, w, rng),
    )

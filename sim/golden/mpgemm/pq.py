# SPDX-License-Identifier: Apache-2.0
"""Golden model of the engine ``pq``: product quantisation (A.8).

K activations are subspaces of ``subvector`` elements. In each, the nearest of ``centroids`` by the
``distance`` ``l1`` or ``l2`` (of equal ones the first) selects an entry of a table that every
column has, and these are added. A step is a subspace s:

* ``s_axis_act``: its elements, i of row r at code ``r * subvector + i``,
* ``s_axis_scale``: the centroids, element i of centroid j at code ``j * subvector + i``,
* ``s_axis_wgt``: the entries (two's complement), j of column n at
  ``(n * centroids + j) * entry_bits``.

Elements beyond K, of activations and centroids, may be anything and count as equal. With
``requant`` the beats of scales have above the centroids the numbers of a tile's columns
(:mod:`sim.golden.mpgemm.epilogue`), of which those of its last beat count.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import parse
from sim.golden.formats import decode
from sim.golden.mpgemm import frame, stimulus
from sim.golden.mpgemm.draws import joined, scaled, scaled_faults, split
from sim.golden.mpgemm.epilogue import Requant, draw_requant, numbers, requantised, result_bits
from sim.golden.mpgemm.frame import Padding, gather
from sim.golden.mpgemm.in_place import cycles_in_place
from sim.golden.mpgemm.jobs import Engine, Job, Schedule, Tile, run_jobs
from sim.golden.mpgemm.products import Fields, check_range, tile_fields, tile_size
from sim.golden.mpgemm.scale_beats import array_names, pack_scales, unpack_requant
from sim.golden.mpgemm.stimulus import Source, Streams
from sim.golden.mpgemm.words import pack_codes, unpack_codes
from sim.golden.pe.operands import Operand

__all__ = [
    "FILL",
    "cycles",
    "encode",
    "engine",
    "faulty",
    "pack_act",
    "pack_centroids",
    "pack_weights",
    "run",
    "unpack_weights",
    "vectors",
]

Integers = NDArray[np.int64]

#: Cycles that the unit's registers add to those of ``pipeline`` and :func:`cycles_in_place`.
FILL = 2

#: How the centroids of the first jobs are drawn.
_KINDS = ("activations", "random", "equal", "corners", "activations", "few")


def run(
    parameters: Mapping[str, Any], streams: Mapping[str, Mapping[str, Sequence[int]]]
) -> dict[str, dict[str, list[int]]]:
    """Return the beats of ``m_axis_out``, see :func:`sim.golden.mpgemm.jobs.run_jobs`."""
    return run_jobs(engine(parameters), streams)


def engine(parameters: Mapping[str, Any]) -> Engine:
    """Return what the frame has to know. Raises ``ValueError`` for an unknown ``distance``."""
    if parameters["distance"] not in ("l1", "l2"):
        raise ValueError(f"distance must be l1 or l2, not {parameters['distance']!r}")

    def schedule(job: Job) -> Schedule:
        tiles = -(-job.m // int(parameters["rows"])) * -(-job.n // int(parameters["columns"]))
        steps = -(-job.k // int(parameters["subvector"]))
        return Schedule(
            beats=dict.fromkeys(("act", "wgt", "scale"), tiles * steps),
            tiles=tiles,
            end=tiles * steps,
            time=lambda name, beat: beat,
            done=lambda time: time // steps,
        )

    requant = parameters.get("requant")

    def tiles(job: Job, words: Mapping[str, Sequence[int]], count: int) -> Iterator[Tile]:
        found = _tiles(parameters, job, words, count)
        if not requant:
            return found
        steps = -(-job.k // int(parameters["subvector"]))
        last = words["scale"][steps - 1 : count * steps : steps]
        given = unpack_requant(array_names(parameters), last, _centroid_bits(parameters))
        return (requantised(parameters, *both) for both in zip(given, found, strict=True))

    return Engine(
        max_k=int(parameters["max_k"]),
        planes=0,
        columns=int(parameters["columns"]),
        acc_bits=result_bits(parameters) if requant else int(parameters["acc_bits"]),
        schedule=schedule,
        tiles=tiles,
        signed=not (requant and parameters["requant_out"].startswith("u")),
        streams=("act", "wgt", "scale"),
    )


def encode(a: ArrayLike, centroids: ArrayLike, distance: str) -> Integers:
    """Return for integers (M, S, v) which of the centroids (S, c, v) is nearest, (M, S).

    Of equally near ones it is the first.
    """
    apart = np.asarray(a, dtype=np.int64)[:, :, None] - np.asarray(centroids, dtype=np.int64)
    far = np.abs(apart) if distance == "l1" else apart * apart
    nearest: Integers = np.argmin(far.sum(axis=-1), axis=-1)
    return nearest


def pack_act(
    parameters: Mapping[str, Any], a: ArrayLike, n: int, padding: Padding = None
) -> list[int]:
    """Return the beats of activations of a job: ``a`` (M, K) codes, for ``n`` columns of output.

    What lies outside of the matrix is 0 or drawn from ``padding``.
    """
    return frame.pack_act({**parameters, "lanes": parameters["subvector"]}, a, n, padding)


def pack_weights(
    parameters: Mapping[str, Any], tables: ArrayLike, m: int = 1, padding: Padding = None
) -> list[int]:
    """Return the beats of weights of a job: ``tables`` (S, c, N) of entries, for ``m`` rows.

    What belongs to no column is 0 or drawn from ``padding``. Raises ``ValueError`` where an entry
    does not fit.
    """
    bits, columns = int(parameters["entry_bits"]), int(parameters["columns"])
    array = check_range(tables, -(1 << bits - 1), (1 << bits - 1) - 1)
    steps, entries, n = array.shape
    shape = -(-m // int(parameters["rows"])), -(-n // columns), steps, columns, entries
    _, j, s, c, e = np.ogrid[tuple(slice(size) for size in shape)]
    row = np.broadcast_to(s * entries + e, shape)
    flat = array.reshape(-1, n) & (1 << bits) - 1
    codes = gather(flat, bits, row, np.broadcast_to(j * columns + c, shape), padding)
    return pack_codes(codes.reshape(-1, columns * entries), bits, padding)


def unpack_weights(parameters: Mapping[str, Any], words: Sequence[int], k: int, n: int) -> Integers:
    """Return the tables (S, c, N) of the beats of weights of a job."""
    columns, entries = int(parameters["columns"]), int(parameters["centroids"])
    tiles, steps = -(-n // columns), -(-k // int(parameters["subvector"]))
    found = _signed_tables(parameters, words[: tiles * steps], tiles)
    every: Integers = found.reshape(tiles * columns, steps, entries)[:n].transpose(1, 2, 0)
    return every


def pack_centroids(
    parameters: Mapping[str, Any],
    centroids: ArrayLike,
    sizes: tuple[int, int],
    padding: Padding = None,
    requant: Requant | None = None,
) -> list[int]:
    """Return the beats of scales of a job: ``centroids`` (S, c, v) codes, ``sizes`` (M, N).

    ``requant`` are the numbers (N,) of columns, where the parameters want them. What does not
    matter is 0 or drawn from ``padding``.
    """
    array = np.asarray(centroids, dtype=np.int64)
    rows, columns = int(parameters["rows"]), int(parameters["columns"])
    tiles = -(-sizes[0] // rows) * -(-sizes[1] // columns)
    every = np.tile(array.reshape(len(array), -1), (tiles, 1))
    bits = parse(parameters["act"]).bits
    if not parameters.get("requant"):
        return pack_codes(every, bits, padding)
    width = columns * sum(part.bits for part in numbers(parameters))
    above = np.zeros((len(every), width), dtype=np.int64)
    if padding is not None:
        above = padding.integers(0, 2, above.shape)
    given = pack_scales(parameters, sizes[0], padding=padding, requant=requant)
    above[len(array) - 1 :: len(array)] = unpack_codes(given, width, 1)
    below = (every[..., None] >> np.arange(bits) & 1).reshape(len(every), -1)
    return pack_codes(np.concatenate([below, above], axis=1), 1, padding)


def _centroid_bits(parameters: Mapping[str, Any]) -> int:
    """Bits of the centroids of a beat."""
    entries, length = int(parameters["centroids"]), int(parameters["subvector"])
    return entries * length * parse(parameters["act"]).bits


def vectors(parameters: Mapping[str, Any], rng: np.random.Generator, count: int) -> Streams:
    """Return ``count`` good jobs: edge shapes, corner codes, centroids equally near."""
    return _with_centroids(parameters, stimulus.vectors(_source(parameters), rng, count), rng)


def faulty(parameters: Mapping[str, Any], rng: np.random.Generator) -> Streams:
    """Return jobs with each kind of error between good ones."""
    streams = stimulus.faulty(_source(parameters), rng)
    jobs = split(_with_centroids(parameters, streams, rng))
    return joined([*jobs, *split(scaled_faults(joined([jobs[0], jobs[-1]])))])


def cycles(parameters: Mapping[str, Any], m: int, n: int, k: int, bits: int = 0) -> int:
    """Return the cycles of one job, nobody stalling, see :func:`sim.golden.mpgemm.lut.cycles`."""
    fill = FILL + int(parameters.get("pipeline") or 0)
    return cycles_in_place(parameters, (m, n, k), int(parameters["subvector"]), 1, fill)


def _tiles(
    parameters: Mapping[str, Any], job: Job, words: Mapping[str, Sequence[int]], tiles: int
) -> Iterator[Tile]:
    """Yield the first ``tiles`` tiles of a job from the words of its streams."""
    rows, length = int(parameters["rows"]), int(parameters["subvector"])
    entries, act = int(parameters["centroids"]), parse(parameters["act"])
    steps = -(-job.k // length)
    beats = {name: list(found[: tiles * steps]) for name, found in words.items()}
    codes = tile_fields(beats["act"], tiles, rows, Fields(length, act.bits))
    used = np.arange(steps * length).reshape(steps, length) < job.k
    near = unpack_codes(beats["scale"], entries * length, act.bits)
    near = near.reshape(tiles, steps, entries, length)
    near = decode(act, np.where(used[:, None], near, 0))[0]
    tables = _signed_tables(parameters, beats["wgt"], tiles)
    for tile in range(tiles):
        height, width = tile_size(parameters, job, tile)
        a = decode(act, np.where(used, codes[tile, :height], 0))[0]
        found = encode(a, near[tile], parameters["distance"])
        sums = tables[tile, :width, np.arange(steps), found].sum(axis=1)
        yield sums, np.zeros(sums.shape, dtype=bool)


def _signed_tables(parameters: Mapping[str, Any], words: Sequence[int], tiles: int) -> Integers:
    """Entries (tiles, columns, steps, centroids) of the beats of weights."""
    fields = Fields(int(parameters["centroids"]), int(parameters["entry_bits"]))
    raw = tile_fields(words, tiles, int(parameters["columns"]), fields)
    return raw - (raw >> fields.bits - 1 << fields.bits)


def _source(parameters: Mapping[str, Any]) -> Source:
    """Entries of the tables are drawn like weights, and repeated or cut to as many as needed."""
    length, entries = int(parameters["subvector"]), int(parameters["centroids"])
    weight = Operand(parse(f"int{int(parameters['entry_bits'])}"))

    def pack(a: Integers, w: Integers, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        steps = -(-np.shape(a)[1] // length)
        values, _ = weight.decode(np.resize(w, (steps, entries, w.shape[1])))
        act = pack_act(parameters, a, w.shape[1], rng)
        return act, pack_weights(parameters, values, np.shape(a)[0], rng)

    return Source(
        tile=(int(parameters["rows"]), int(parameters["columns"]), length),
        max_k=int(parameters["max_k"]),
        planes=0,
        act=Operand(parse(parameters["act"])),
        weight=weight,
        pack=pack,
    )


def _with_centroids(
    parameters: Mapping[str, Any], streams: Streams, rng: np.random.Generator
) -> Streams:
    """Each job with centroids, some of them its activations, some equal, some far away."""
    kinds, entries = itertools.cycle(_KINDS), int(parameters["centroids"])
    length, rows = int(parameters["subvector"]), int(parameters["rows"])
    act = Operand(parse(parameters["act"]))
    ordered = act.codes[np.argsort(act.decode(act.codes)[0])]
    draw = None
    if parameters.get("requant"):
        draw = draw_requant(parameters, int(parameters["acc_bits"]), rng)

    def scale(job: Job, words: list[int]) -> list[int]:
        kind, shape = next(kinds), (-(-job.k // length), entries, length)
        found = rng.choice(act.codes, shape)
        if kind == "activations":
            codes = unpack_codes(words, rows * length, act.fmt.bits).reshape(-1, rows, length)
            row = rng.integers(0, rows, shape[:2])
            found = codes[np.arange(shape[0])[:, None] % len(codes), row]
        elif kind == "corners":
            found = rng.choice(ordered[[0, -1]], shape)
        elif kind == "few":
            found = rng.choice(ordered[len(ordered) // 2 :][:2], shape)
        elif kind == "equal":
            found = np.broadcast_to(found[:, :1], shape)
        requant = draw(job) if draw else None
        return pack_centroids(parameters, found, (job.m, job.n), rng, requant)

    return scaled(streams, scale)

# SPDX-License-Identifier: Apache-2.0
"""Golden model of the engine ``codebook``: weights are codes of a book (A.7).

The code of column c and lane l lies at ``(c * lanes + l) * bits``. The ``book`` is a table format,
or ``rows``: then every column has ``2**bits`` signed entries of its own (GANQ), which come on
``s_axis_scale``. Before the first step of every tile there is one beat for each entry, ascending,
with that of column c at ``c * entry_bits``; entries of columns beyond N may be anything. Results
are in units of those of the formats.

How products are made changes no result (``products``): ``each`` on its own; in ``buckets``, where
activations are added by the magnitude of their weight, and the sums multiplied at the end of the
tile; ``shared``, each activation times every magnitude for all columns of the tile.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import parse
from sim.golden.formats import decode, legal_codes
from sim.golden.mpgemm import stimulus
from sim.golden.mpgemm.draws import joined, scaled, scaled_faults, split
from sim.golden.mpgemm.frame import Padding, gather, pack_act
from sim.golden.mpgemm.in_place import (
    cycles_in_place,
    in_place_engine,
    tile_of,
    with_scale_faults,
    with_scales,
)
from sim.golden.mpgemm.jobs import Engine, Job, Schedule, Tile, run_jobs
from sim.golden.mpgemm.products import (
    Coding,
    Fields,
    exact_product,
    plain_act,
    plain_marks,
    tile_fields,
    tile_size,
    unpack_columns,
    weight_blocks,
)
from sim.golden.mpgemm.scale_beats import array_names
from sim.golden.mpgemm.scaled import group_steps, tail
from sim.golden.mpgemm.stimulus import Source, Streams
from sim.golden.mpgemm.words import pack_codes
from sim.golden.pe.operands import Operand, activations

__all__ = [
    "FILL",
    "code_bits",
    "cycles",
    "engine",
    "faulty",
    "pack_act",
    "pack_books",
    "pack_weights",
    "run",
    "saved",
    "unpack_weights",
    "vectors",
]

Integers = NDArray[np.int64]

#: Cycles that the unit's registers add to those of ``pipeline`` and :func:`cycles_in_place`.
FILL = 2

#: Entries of the books of the first jobs; with the activations they make the largest sums.
_KINDS = ("least", "random", "least", "most", "random", "alternating")


def run(
    parameters: Mapping[str, Any], streams: Mapping[str, Mapping[str, Sequence[int]]]
) -> dict[str, dict[str, list[int]]]:
    """Return the beats of ``m_axis_out``, see :func:`sim.golden.mpgemm.jobs.run_jobs`.

    Raises ``ValueError`` on a code that the book lacks.
    """
    return run_jobs(engine(parameters), streams)


def engine(parameters: Mapping[str, Any]) -> Engine:
    """Return what the frame has to know."""
    if not _loaded(parameters):
        return in_place_engine(parameters, _coding(parameters).products)

    def tiles(job: Job, words: Mapping[str, Sequence[int]], count: int) -> Iterator[Tile]:
        return _tiles(parameters, job, words, count)

    return Engine(
        max_k=int(parameters["max_k"]),
        planes=0,
        columns=int(parameters["columns"]),
        acc_bits=int(parameters["acc_bits"]),
        schedule=lambda job: _schedule(parameters, job),
        tiles=tiles,
        streams=("act", "wgt", "scale"),
    )


def code_bits(parameters: Mapping[str, Any]) -> int:
    """Return the bits of a code."""
    return int(parameters["bits"]) if _loaded(parameters) else parse(parameters["book"]).bits


def pack_weights(
    parameters: Mapping[str, Any], w: ArrayLike, m: int = 1, padding: Padding = None
) -> list[int]:
    """Return the beats of weights of a job: codes ``w`` (K, N), for ``m`` rows of output.

    What lies outside of the matrix is 0 or drawn from ``padding``.
    """
    lanes, bits = int(parameters["lanes"]), code_bits(parameters)
    blocks = weight_blocks(parameters, lanes, w, m, bits, padding)
    return pack_codes(blocks.reshape(-1, int(parameters["columns"]) * lanes), bits, padding)


def unpack_weights(parameters: Mapping[str, Any], words: Sequence[int], k: int, n: int) -> Integers:
    """Return the codes (K, N) of the beats of weights of a job."""
    plain = {**parameters, "book": f"uint{code_bits(parameters)}"}
    return unpack_columns(parameters, _coding(plain), words, k, n)


def pack_books(
    parameters: Mapping[str, Any], books: ArrayLike, m: int = 1, padding: Padding = None
) -> list[int]:
    """Return the beats of scales of a job: ``books`` (N, 2**bits) signed, for ``m`` rows.

    What belongs to no column is 0 or drawn from ``padding``. Raises ``ValueError`` where an entry
    does not fit.
    """
    array, bits = np.asarray(books, dtype=np.int64), int(parameters["entry_bits"])
    limit, entries = 1 << bits - 1, 1 << code_bits(parameters)
    if array.ndim != 2 or array.shape[1] != entries:
        raise ValueError(f"books must have shape (columns, {entries}), not {array.shape}")
    if not -limit <= array.min() <= array.max() < limit:
        raise ValueError(f"entries must be {-limit} to {limit - 1}")
    columns = int(parameters["columns"])
    shape = -(-m // int(parameters["rows"])), -(-len(array) // columns), entries, columns
    _, j, e, c = np.ogrid[tuple(slice(size) for size in shape)]
    column = np.broadcast_to(j * columns + c, shape)
    codes = gather(array & 2 * limit - 1, bits, column, np.broadcast_to(e, shape), padding)
    return pack_codes(codes.reshape(-1, columns), bits, padding)


def vectors(parameters: Mapping[str, Any], rng: np.random.Generator, count: int) -> Streams:
    """Return ``count`` good jobs: edge shapes, corner codes and corner entries first."""
    streams = stimulus.vectors(_source(parameters), rng, count)
    if _loaded(parameters):
        return _with_books(parameters, streams, rng)
    return with_scales(parameters, streams, rng)


def faulty(parameters: Mapping[str, Any], rng: np.random.Generator) -> Streams:
    """Return jobs with each kind of error between good ones."""
    source = _source(parameters)
    streams = stimulus.faulty(source, rng)
    if not _loaded(parameters):
        return with_scale_faults(parameters, streams, (0, source), rng)
    jobs = split(_with_books(parameters, streams, rng))
    return joined([*jobs, *split(scaled_faults(joined([jobs[0], jobs[-1]])))])


def cycles(parameters: Mapping[str, Any], m: int, n: int, k: int, bits: int = 0) -> int:
    """Return the cycles of one job, nobody stalling, see :func:`sim.golden.mpgemm.lut.cycles`.

    A loaded book takes a cycle for every entry, before the first step of the tile. With ``buckets``
    every row of a tile, those beyond M too, then takes a cycle for each of its sums, during which
    nothing of the next tile is taken.
    """
    fill = FILL + int(parameters.get("pipeline") or 0)
    load = 1 << code_bits(parameters) if _loaded(parameters) else 0
    if parameters.get("products") == "buckets":
        rows, sums = int(parameters["rows"]), max(1, len(_magnitudes(parameters)))
        tiles = -(-m // rows) * -(-n // int(parameters["columns"]))
        p = array_names(parameters)
        lengths = group_steps(p, k, int(parameters["lanes"]))
        steps, ends = tiles * (load + sum(lengths)), tiles * len(lengths)
        shown = (m - 1) % rows + 1
        fill += tail(p)
        return steps + (ends - 1) * (rows * sums - 1) + shown * sums + 1 + fill
    return cycles_in_place(parameters, (m, n, k), int(parameters["lanes"]), 1, fill, load)


def saved(parameters: Mapping[str, Any], m: int, n: int, k: int) -> tuple[int, int]:
    """Return ``(made, naive)``: multiplications of a job.

    The naive number is one for each activation and weight. Magnitudes of weights are multiplied
    with whether they occur or not, but for 0.
    """
    count = len(_magnitudes(parameters))
    made = {
        "buckets": m * n * count,
        "shared": m * k * count * -(-n // int(parameters["columns"])),
    }
    return made.get(str(parameters.get("products")), m * n * k), m * n * k


def _magnitudes(parameters: Mapping[str, Any]) -> list[int]:
    """Those of the book that are not 0; of a loaded one the codes, whatever their entries are."""
    if _loaded(parameters):
        return list(range(1 << code_bits(parameters)))
    book = parse(parameters["book"])
    values = decode(book, legal_codes(book))[0]
    return sorted({abs(int(value)) for value in values} - {0})


def _loaded(parameters: Mapping[str, Any]) -> bool:
    return bool(parameters["book"] == "rows")


def _coding(parameters: Mapping[str, Any]) -> Coding:
    lanes, act = int(parameters["lanes"]), activations(parameters)
    book = parse(parameters["book"])

    def weights(fields: Integers, bits: int) -> NDArray[Any]:
        codes = fields.reshape(len(fields), -1)
        return decode(book, codes)[0]

    return Coding(
        depth=lanes,
        act=Fields(lanes, act.fmt.bits),
        wgt=Fields(lanes, book.bits),
        values=plain_act(act),
        weights=weights,
        marks=plain_marks(act),
        lam=book.lam + act.lam,
    )


def _schedule(parameters: Mapping[str, Any], job: Job) -> Schedule:
    """For each tile its entries, then its steps."""
    tiles = -(-job.m // int(parameters["rows"])) * -(-job.n // int(parameters["columns"]))
    steps, entries = -(-job.k // int(parameters["lanes"])), 1 << code_bits(parameters)
    each = steps + entries

    def time(name: str, beat: int) -> int:
        if name == "scale":
            return beat // entries * each + beat % entries
        return beat // steps * each + entries + beat % steps

    return Schedule(
        beats={"act": tiles * steps, "wgt": tiles * steps, "scale": tiles * entries},
        tiles=tiles,
        end=tiles * each,
        time=time,
        done=lambda time: time // each,
    )


def _tiles(
    parameters: Mapping[str, Any], job: Job, words: Mapping[str, Sequence[int]], tiles: int
) -> Iterator[Tile]:
    """Yield the first ``tiles`` tiles of a job whose books are loaded."""
    rows, columns, lanes = (int(parameters[name]) for name in ("rows", "columns", "lanes"))
    bits, width = code_bits(parameters), int(parameters["entry_bits"])
    act = activations(parameters)
    steps = -(-job.k // lanes)
    a = tile_fields(words["act"][: tiles * steps], tiles, rows, Fields(lanes, act.fmt.bits))
    w = tile_fields(words["wgt"][: tiles * steps], tiles, columns, Fields(lanes, bits))
    raw = tile_fields(words["scale"][: tiles << bits], tiles, columns, Fields(1, width))[..., 0]
    books = raw - (raw >> width - 1 << width)
    for tile in range(tiles):
        down, across = tile_size(parameters, job, tile)
        codes = w[tile, :across].reshape(across, -1)[:, : job.k]
        weights = np.take_along_axis(books[tile, :across], codes, axis=1)
        sums = exact_product(plain_act(act)(a[tile, :down], job.k), weights)
        yield sums, np.zeros(sums.shape, dtype=bool)


def _source(parameters: Mapping[str, Any]) -> Source:
    def pack(a: Integers, w: Integers, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        act = pack_act(parameters, a, np.shape(w)[1], rng)
        return act, pack_weights(parameters, w, np.shape(a)[0], rng)

    book = f"uint{code_bits(parameters)}" if _loaded(parameters) else parameters["book"]
    return Source(
        tile=tile_of(parameters, int(parameters["lanes"])),
        max_k=int(parameters["max_k"]),
        planes=0,
        act=activations(parameters),
        weight=Operand(parse(book)),
        pack=pack,
    )


def _with_books(
    parameters: Mapping[str, Any], streams: Streams, rng: np.random.Generator
) -> Streams:
    """Each job with the books of its columns."""
    kinds, limit = itertools.cycle(_KINDS), 1 << int(parameters["entry_bits"]) - 1

    def scale(job: Job, act: list[int]) -> list[int]:
        shape, kind = (job.n, 1 << code_bits(parameters)), next(kinds)
        ends = {"least": [-limit], "most": [limit - 1], "alternating": [-limit, limit - 1]}
        drawn = (
            rng.choice(ends[kind], shape) if kind in ends else rng.integers(-limit, limit, shape)
        )
        return pack_books(parameters, drawn, job.m, rng)

    return scaled(streams, scale)

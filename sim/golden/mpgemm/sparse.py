# SPDX-License-Identifier: Apache-2.0
"""Arrays that keep N of every M weights (B.7, B.10): their beats, and products of these.

A beat of activations has ``lanes / N`` blocks of M for each row, so a step takes that many
products. Lane l of column c of a beat of weights belongs to block ``l // N`` and lies at
``(c * lanes + l) * (bits + index_bits)``: its code, and above it the index of its activation in the
block. A job with ``bits`` M is dense: beat p of the ``M / N`` of a step has weights
``p * N`` to ``p * N + N - 1`` of each block, whose indices are ignored.

In a sparse block the indices ascend strictly; one whose do not, and that has a product at all, adds
nothing and marks the column. What belongs to a product beyond K does not matter otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.gemm import error_code
from sim.golden.mpgemm.draws import joined, split
from sim.golden.mpgemm.frame import Padding, pack_act
from sim.golden.mpgemm.in_place import in_place_engine
from sim.golden.mpgemm.jobs import Engine, Job
from sim.golden.mpgemm.products import (
    Fields,
    Part,
    Products,
    exact_product,
    tile_fields,
    weight_blocks,
)
from sim.golden.mpgemm.stimulus import Streams
from sim.golden.mpgemm.words import pack_codes
from sim.golden.pe.nm import prune, ratio
from sim.golden.pe.operands import operands

__all__ = [
    "Sparsity",
    "dropped",
    "engine",
    "pack_activations",
    "pack_dense",
    "pack_kept",
    "pack_random",
    "pruned",
    "unpack_weights",
    "with_other_bits",
]

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Sparsity:
    """N of every M weights, and what follows from it."""

    n: int
    m: int
    lanes: int
    width: int  #: Bits of a code.

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "Sparsity":
        """Take the parameters of a manifest."""
        weight, _ = operands(parameters)
        return cls(*ratio(parameters), int(parameters["lanes"]), weight.fmt.bits)

    @property
    def index_bits(self) -> int:
        """Bits of an index."""
        return (self.m - 1).bit_length()

    @property
    def depth(self) -> int:
        """Products of a step."""
        return self.lanes // self.n * self.m

    @property
    def dense(self) -> int:
        """The ``bits`` of dense jobs, 0 where there are none: four bits, and N divides M."""
        return self.m if self.m % self.n == 0 and self.m < 16 else 0

    def passes(self, bits: int) -> int:
        """Return the beats of weights of a step, by the job's ``bits``."""
        return self.m // self.n if bits else 1


@dataclass(frozen=True)
class _Sparse(Engine):
    """Takes jobs of one number of ``bits`` beside 0."""

    def refusal(self, job: Job) -> int:
        code = super().refusal(job)
        return error_code("unsupported mode") if not code and 0 < job.bits < self.planes else code


def engine(parameters: Mapping[str, Any]) -> Engine:
    """Return what the frame has to know."""
    dense = Sparsity.of(parameters).dense
    return _Sparse(**vars(in_place_engine(parameters, _products(parameters), dense)))


def _products(parameters: Mapping[str, Any]) -> Products:
    """How the beats become sums."""
    sparsity, (weight, act) = Sparsity.of(parameters), operands(parameters)
    n, width = sparsity.n, sparsity.width

    def multiply(a: Codes, w: Codes, k: int, bits: int) -> Part:
        ia, na = act.decode(a.reshape(len(a), -1)[:, :k])
        passes, columns = sparsity.passes(bits), len(w)
        fields = w.reshape(columns, -1, passes, sparsity.lanes // n, n)
        place, kept = _places(sparsity, fields >> width, bool(bits))
        begun = place[..., 0] // sparsity.m * sparsity.m < k
        bad = ~kept.all(axis=-1) & begun
        alive = kept & (place < k)
        codes = np.where(alive, fields & (1 << width) - 1, weight.codes[0])
        iw, nw = weight.decode(codes)
        matrix = np.zeros((columns, fields.shape[1] * sparsity.depth), dtype=iw.dtype)
        met = np.zeros(matrix.shape, dtype=bool)
        at = np.nonzero(alive)
        matrix[at[0], place[at]], met[at[0], place[at]] = iw[at], True
        marks = na.astype(np.int64) @ met[:, :k].T > 0
        marks |= (nw & alive).reshape(columns, -1).any(axis=1)
        flags = np.broadcast_to(bad.reshape(columns, -1).any(axis=1), marks.shape)
        acts = ia.astype(object).sum(axis=1)
        return Part(exact_product(ia, matrix[:, :k]), marks, acts, flags)

    return Products(
        depth=sparsity.depth,
        act=Fields(sparsity.depth, act.fmt.bits),
        wgt=Fields(sparsity.lanes, width + sparsity.index_bits),
        multiply=multiply,
        beats=sparsity.passes,
        has_nan=weight.nonfinite or act.nonfinite,
        lam=weight.lam + act.lam,
        flagged=True,
    )


def _places(sparsity: Sparsity, index: Codes, dense: bool) -> tuple[Codes, NDArray[np.bool_]]:
    """Which product each weight (columns, steps, passes, blocks, n) meets, and if its block may."""
    _, steps, passes, blocks, n = index.shape
    start = np.arange(steps * blocks).reshape(steps, 1, blocks, 1) * sparsity.m
    if dense:
        index = np.broadcast_to(np.arange(passes)[:, None, None] * n + np.arange(n), index.shape)
        return start + index, np.ones(index.shape, dtype=bool)
    ascending = (np.diff(index, axis=-1) > 0).all(axis=-1, keepdims=True)
    return start + index, np.broadcast_to(ascending, index.shape)


def pack_activations(
    parameters: Mapping[str, Any], a: ArrayLike, n: int, padding: Padding = None
) -> list[int]:
    """Return the beats of activations of a job: codes ``a`` (M, K), for ``n`` columns."""
    wide = {**parameters, "lanes": Sparsity.of(parameters).depth}
    return pack_act(wide, a, n, padding)


def pruned(parameters: Mapping[str, Any], w: ArrayLike) -> tuple[Codes, Codes]:
    """Return ``(codes, idx)``, each (kept, columns), of weights ``w`` (K, columns) by magnitude.

    See :func:`sim.golden.pe.nm.prune`; K is filled up with zeros, what is not finite is kept first.
    """
    sparsity, (weight, _) = Sparsity.of(parameters), operands(parameters)
    ints, marks = weight.decode(weight.codes)
    zero = int(weight.codes[np.argmin(np.abs(ints) + marks)])
    full = _filled(w, sparsity.m, zero)
    values, special = weight.decode(full)
    size = np.where(special, weight.max_int + 1, np.abs(values))
    _, idx = prune(size, sparsity.n, sparsity.m)
    blocks = full.reshape(len(full), -1, sparsity.m)
    codes = np.take_along_axis(blocks, idx.reshape(len(full), -1, sparsity.n), axis=-1)
    return codes.reshape(len(full), -1).T, idx.T


def dropped(parameters: Mapping[str, Any], w: ArrayLike) -> int:
    """Return how many weights of ``w`` (K, columns) other than 0 :func:`pruned` leaves out."""
    weight, _ = operands(parameters)

    def count(codes: ArrayLike) -> int:
        values, special = weight.decode(np.asarray(codes, dtype=np.int64))
        return int(np.count_nonzero((values != 0) | special))

    return count(w) - count(pruned(parameters, w)[0])


def pack_kept(
    parameters: Mapping[str, Any],
    kept: tuple[ArrayLike, ArrayLike],
    m: int = 1,
    padding: Padding = None,
) -> list[int]:
    """Return the beats of weights of a sparse job of ``m`` rows: codes and their indices.

    Both have the shape (kept, columns), N for each block of M products. Raises ``ValueError`` where
    the indices of a block do not ascend strictly, so also where one occurs twice.
    """
    sparsity = Sparsity.of(parameters)
    codes, idx = (np.asarray(part, dtype=np.int64) for part in kept)
    blocks = idx.reshape(-1, sparsity.n, idx.shape[1])
    wrong = np.argwhere(~(np.diff(blocks, axis=1) > 0).all(axis=1))
    if idx.min() < 0 or idx.max() >= sparsity.m:
        raise ValueError(f"indices must be 0 to {sparsity.m - 1}, not {idx.min()} to {idx.max()}")
    if len(wrong):
        block, column = wrong[0].tolist()
        told = ", ".join(str(index) for index in blocks[block, :, column])
        raise ValueError(f"indices of block {block} of column {column} must ascend, not be {told}")
    return _packed(parameters, codes | idx << sparsity.width, m, padding)


def pack_dense(
    parameters: Mapping[str, Any], w: ArrayLike, m: int = 1, padding: Padding = None
) -> list[int]:
    """Return the beats of weights of a dense job: codes ``w`` (K, N), for ``m`` rows of output.

    Raises ``ValueError`` where the array has no such jobs.
    """
    sparsity = Sparsity.of(parameters)
    if not sparsity.dense:
        raise ValueError(f"an array of {sparsity.n}:{sparsity.m} has no dense jobs")
    codes = np.asarray(w, dtype=np.int64)
    k, columns = codes.shape
    full = np.zeros((-(-k // sparsity.depth) * sparsity.depth, columns), dtype=np.int64)
    full[:k] = codes
    if padding is not None:
        full[k:] = padding.integers(0, 1 << sparsity.width, full[k:].shape)
        full |= padding.integers(0, sparsity.m, full.shape) << sparsity.width
    steps = full.reshape(-1, sparsity.lanes // sparsity.n, sparsity.m, columns)
    passes = steps.reshape(*steps.shape[:2], -1, sparsity.n, columns).swapaxes(1, 2)
    return _packed(parameters, passes.reshape(-1, columns), m, padding)


def pack_random(
    parameters: Mapping[str, Any], w: ArrayLike, m: int, rng: np.random.Generator
) -> list[int]:
    """Return the beats of a sparse job that keeps any weights of codes ``w`` (K, N).

    One block in 32 is spoilt; what does not matter is anything.
    """
    sparsity, codes = Sparsity.of(parameters), np.asarray(w, dtype=np.int64)
    (k, columns), n = codes.shape, sparsity.n
    full = rng.integers(0, 1 << sparsity.width, (-(-k // sparsity.m) * sparsity.m, columns))
    full[:k] = codes
    blocks = full.reshape(-1, sparsity.m, columns)
    idx = np.sort(rng.random(blocks.shape).argsort(axis=1)[:, :n], axis=1)
    kept = np.take_along_axis(blocks, idx, axis=1)
    if n > 1:
        spoilt = rng.random((len(blocks), 1, columns)) < 1 / 32
        again = rng.integers(0, sparsity.m, idx.shape)
        again[:, -1] = again[:, -2] - rng.integers(0, again[:, -2] + 1)
        idx = np.where(spoilt, again, idx)
    fields = (kept | idx << sparsity.width).reshape(-1, columns)
    return _packed(parameters, fields, m, rng)


def unpack_weights(
    parameters: Mapping[str, Any], words: Sequence[int], k: int, n: int, bits: int = 0
) -> Codes:
    """Return the codes (K, N) of the beats of weights of a job of one row.

    Weights that were not kept are the code of 0, and those of blocks whose indices do not ascend.
    """
    sparsity, (weight, _) = Sparsity.of(parameters), operands(parameters)
    columns, passes = int(parameters["columns"]), sparsity.passes(bits)
    tiles = -(-n // columns)
    fields = tile_fields(
        words, tiles, columns, Fields(sparsity.lanes, sparsity.width + sparsity.index_bits)
    )
    blocks = fields.reshape(tiles * columns, -1, passes, sparsity.lanes // sparsity.n, sparsity.n)
    place, counts = _places(sparsity, blocks >> sparsity.width, bool(bits))
    ints, marks = weight.decode(weight.codes)
    zero = int(weight.codes[np.argmin(np.abs(ints) + marks)])
    found = np.full((tiles * columns, blocks.shape[1] * sparsity.depth), zero)
    at = np.nonzero(counts)
    found[at[0], place[at]] = (blocks & (1 << sparsity.width) - 1)[at]
    return found[:n, :k].T


def with_other_bits(parameters: Mapping[str, Any], streams: Streams) -> Streams:
    """Return the jobs after copies of the first one whose ``bits`` are no mode of the array."""
    jobs = split(streams)
    job, packets = Job.of(jobs[0][0]), jobs[0][1]
    legal = {0, Sparsity.of(parameters).dense}
    wrong = [bits for bits in (1, 2, 3, 4, 8) if bits not in legal]
    words = [Job(job.m, job.n, job.k, bits).word for bits in wrong]
    return joined([*((word, packets) for word in words), *jobs])


def _filled(w: ArrayLike, m: int, zero: int) -> Codes:
    """Codes (columns, K) of ``w`` (K, columns), K filled up to whole blocks."""
    codes = np.asarray(w, dtype=np.int64).T
    return np.pad(codes, ((0, 0), (0, -codes.shape[1] % m)), constant_values=zero)


def _packed(parameters: Mapping[str, Any], fields: Codes, m: int, padding: Padding) -> list[int]:
    """Beats of the fields (lanes of all beats, columns), which may end within a step."""
    sparsity, columns = Sparsity.of(parameters), int(parameters["columns"])
    bits = sparsity.width + sparsity.index_bits
    blocks = weight_blocks(parameters, sparsity.lanes, fields, m, bits, padding)
    return pack_codes(blocks.reshape(-1, columns * sparsity.lanes), bits, padding)

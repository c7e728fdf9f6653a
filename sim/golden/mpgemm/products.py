# SPDX-License-Identifier: Apache-2.0
"""What the beats of engines stand for whose sums stay in place, and exact products of it.

The order of beats is that of :mod:`sim.golden.mpgemm.frame`, with one or more beats of weights for
each of activations. A beat holds as many fields for each row of A, or column of W, as the next,
those of row or column 0 lowest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.mpgemm.frame import Padding, gather
from sim.golden.mpgemm.jobs import Job
from sim.golden.mpgemm.words import unpack_codes
from sim.golden.pe.operands import Operand

__all__ = [
    "Coding",
    "Fields",
    "Part",
    "Products",
    "check_range",
    "exact_product",
    "plain_act",
    "plain_marks",
    "tile_fields",
    "tile_size",
    "unpack_columns",
    "weight_blocks",
]

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Fields:
    """``count`` fields of ``bits`` bits in a beat, for each row or each column."""

    count: int
    bits: int


@dataclass(frozen=True)
class Part:
    """Products of some steps, added."""

    sums: NDArray[Any]  #: (rows, columns), int64 or Python integers.
    marks: NDArray[np.bool_]  #: Which of them met what has no value.
    acts: NDArray[Any]  #: Sums (rows,) of the activations.
    flags: NDArray[np.bool_] | bool = False  #: Which lack products, for other reasons than marks.


@dataclass(frozen=True)
class Products:
    """How the beats of an engine become sums.

    Parameters
    ----------
    depth
        Products of a step.
    act, wgt
        Fields of a beat of activations for a row and of a beat of weights for a column.
    multiply
        From the fields (rows, steps, fields) of activations, those (columns, beats, fields) of
        weights, the number of products that exist and the job's ``bits`` to the sums of the steps.
    beats
        From the job's ``bits`` to how many beats of weights a step has.
    has_nan, flagged
        Whether there may be marks, and flags.
    lam
        Exponent of the unit of the sums.
    """

    depth: int
    act: Fields
    wgt: Fields
    multiply: Callable[[Integers, Integers, int, int], Part]
    beats: Callable[[int], int] = lambda bits: 1
    has_nan: bool = False
    lam: int = 0
    flagged: bool = False


@dataclass(frozen=True)
class Coding:
    """What the beats of an engine stand for whose activations and weights are integers.

    Parameters
    ----------
    depth, act, wgt, beats, lam
        As :class:`Products` has them.
    values
        From the fields (rows, steps, fields) of activations and K to integers (rows, K).
    weights
        From the fields (columns, beats, fields) of weights and the job's ``bits`` to integers
        (columns, products), as many products as the steps have.
    marks
        As ``values``, to marks (rows,) of those with a non-finite activation; ``None`` without any.
    sums
        From fields of activations (rows, steps, fields) and of weights (columns, beats, fields) and
        the beats of a step to results (rows, columns), where these are no products of integers; the
        sums of activations are then 0.
    """

    depth: int
    act: Fields
    wgt: Fields
    values: Callable[[Integers, int], NDArray[Any]]
    weights: Callable[[Integers, int], NDArray[Any]]
    beats: Callable[[int], int] = lambda bits: 1
    marks: Callable[[Integers, int], NDArray[np.bool_]] | None = None
    sums: Callable[[Integers, Integers, int], NDArray[Any]] | None = None
    lam: int = 0

    @property
    def products(self) -> Products:
        """Exact products of the integers."""
        has_nan = self.marks is not None
        return Products(
            self.depth, self.act, self.wgt, self._multiply, self.beats, has_nan, self.lam
        )

    def _multiply(self, a: Integers, w: Integers, k: int, bits: int) -> Part:
        if self.sums:
            sums, acts = self.sums(a, w, self.beats(bits)), np.zeros(len(a), dtype=np.int64)
        else:
            values = self.values(a, k)
            sums = exact_product(values, self.weights(w, bits)[:, :k])
            acts = values.astype(object).sum(axis=1)
        marks = np.zeros(sums.shape, dtype=bool)
        if self.marks:
            marks |= self.marks(a, k)[:, None]
        return Part(sums, marks, acts)


def tile_fields(words: Sequence[int], tiles: int, height: int, fields: Fields) -> Integers:
    """Return the fields (tiles, height, beats, fields) of the words of ``tiles`` tiles."""
    found = unpack_codes(words, height * fields.count, fields.bits)
    return found.reshape(tiles, -1, height, fields.count).swapaxes(1, 2)


def tile_size(parameters: Mapping[str, Any], job: Job, tile: int) -> tuple[int, int]:
    """Return how many rows and columns of a tile exist."""
    rows, columns = int(parameters["rows"]), int(parameters["columns"])
    down, across = divmod(tile, -(-job.n // columns))
    return min(rows, job.m - down * rows), min(columns, job.n - across * columns)


def exact_product(a: NDArray[Any], w: NDArray[Any]) -> NDArray[Any]:
    """Return the exact ``a @ w.T`` of integers (M, K) and (N, K), int64 or Python integers."""
    bound = a.shape[-1] * int(np.abs(a).max(initial=0)) * int(np.abs(w).max(initial=0))
    if bound < 1 << 53:
        # Every partial sum is an integer that float64 holds, in whatever order they are added.
        return (a.astype(np.float64) @ w.astype(np.float64).T).astype(np.int64)
    return np.asarray(a.astype(object) @ w.astype(object).T)


def plain_act(act: Operand) -> Callable[[Integers, int], NDArray[Any]]:
    """Return the ``values`` of activations that come as their codes, in the order of products.

    Codes beyond K may be anything; non-finite ones count as 0.
    """

    def values(fields: Integers, k: int) -> NDArray[Any]:
        return act.decode(fields.reshape(len(fields), -1)[:, :k])[0]

    return values


def plain_marks(act: Operand) -> Callable[[Integers, int], NDArray[np.bool_]] | None:
    """Return the ``marks`` of the same activations, ``None`` where all are finite."""
    if not act.nonfinite:
        return None

    def marks(fields: Integers, k: int) -> NDArray[np.bool_]:
        found = act.decode(fields.reshape(len(fields), -1)[:, :k])[1]
        return np.asarray(found.any(axis=-1))

    return marks


def weight_blocks(
    parameters: Mapping[str, Any],
    depth: int,
    codes: ArrayLike,
    m: int,
    bits: int,
    padding: Padding = None,
) -> Integers:
    """Return ``codes`` (K, N) as the beats need them, for ``m`` rows of output.

    The shape is (tiles of rows, tiles of columns, steps, ``columns``, ``depth``); outside of the
    matrix there is 0, or what ``padding`` draws of ``bits`` bits.
    """
    k, n = np.shape(codes)
    rows, columns = int(parameters["rows"]), int(parameters["columns"])
    shape = -(-m // rows), -(-n // columns), -(-k // depth), columns, depth
    _, j, s, c, x = np.ogrid[tuple(slice(size) for size in shape)]
    row = np.broadcast_to(s * depth + x, shape)
    return gather(codes, bits, row, np.broadcast_to(j * columns + c, shape), padding)


def unpack_columns(
    parameters: Mapping[str, Any],
    coding: Coding,
    words: Sequence[int],
    k: int,
    n: int,
    bits: int = 0,
) -> NDArray[Any]:
    """Return the integers (K, N) of the beats of weights of a job, from its first tiles."""
    columns = int(parameters["columns"])
    tiles, beats = -(-n // columns), -(-k // coding.depth) * coding.beats(bits)
    found = tile_fields(words[: tiles * beats], tiles, columns, coding.wgt)
    every = coding.weights(found.reshape(tiles * columns, beats, coding.wgt.count), bits)
    return every[:n, :k].T


def check_range(w: ArrayLike, low: int, high: int) -> Integers:
    """Return ``w`` as int64. Raises ``ValueError`` where it is not within ``low`` to ``high``."""
    array = np.asarray(w, dtype=np.int64)
    if array.size and not low <= array.min() <= array.max() <= high:
        raise ValueError(f"weights must be {low} to {high}, not {array.min()} to {array.max()}")
    return array

# SPDX-License-Identifier: Apache-2.0
"""Beats of the matrix engines whose sums stay in place, and of every engine's output.

For each tile of ``rows`` rows of A, for each tile of ``columns`` columns of W, for each step of
``lanes`` products there is one beat of activations (row r, lane l: code ``r * lanes + l``) and one
of weights (column c, lane l: code ``c * lanes + l``). Codes outside of the matrices do not matter.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import parse
from sim.golden.mpgemm.jobs import Engine, Job, Schedule, job_word, out_bits, run_jobs
from sim.golden.mpgemm.words import pack_codes

__all__ = [
    "Engine",
    "Job",
    "Padding",
    "Schedule",
    "gather",
    "job_word",
    "out_bits",
    "pack_act",
    "pack_wgt",
    "plain_schedule",
    "run_jobs",
    "unpack_out",
]

#: What draws the bits that do not matter; 0 without.
Padding = np.random.Generator | None


def gather(
    codes: ArrayLike, bits: int, row: NDArray[Any], column: NDArray[Any], padding: Padding
) -> NDArray[np.int64]:
    """Return ``codes[row, column]`` for indices that broadcast.

    Outside of the matrix it is 0, or any pattern of ``bits`` bits from ``padding``.
    """
    matrix = np.asarray(codes, dtype=np.int64)
    inside = (row < matrix.shape[0]) & (column < matrix.shape[1])
    found = matrix[np.minimum(row, matrix.shape[0] - 1), np.minimum(column, matrix.shape[1] - 1)]
    other = np.zeros(1) if padding is None else padding.integers(0, 1 << bits, inside.shape)
    return np.where(inside, found, other).astype(np.int64)


def pack_act(
    parameters: Mapping[str, Any], a: ArrayLike, n: int, padding: Padding = None
) -> list[int]:
    """Return the activation beats of a job: ``a`` (M, K) codes, for ``n`` columns of output.

    What lies outside of the matrix is 0 or drawn from ``padding``.
    """
    rows, lanes = int(parameters["rows"]), int(parameters["lanes"])
    row_tiles, steps = -(-np.shape(a)[0] // rows), -(-np.shape(a)[1] // lanes)
    column_tiles = -(-n // int(parameters["columns"]))
    i, _, s, r, x = np.ogrid[:row_tiles, :column_tiles, :steps, :rows, :lanes]
    shape = (row_tiles, column_tiles, steps, rows, lanes)
    bits = parse(parameters["act"]).bits
    row = np.broadcast_to(i * rows + r, shape)
    codes = gather(a, bits, row, np.broadcast_to(s * lanes + x, shape), padding)
    return pack_codes(codes.reshape(-1, rows * lanes), bits, padding)


def pack_wgt(
    parameters: Mapping[str, Any], w: ArrayLike, m: int, padding: Padding = None
) -> list[int]:
    """Return the weight beats of a job: ``w`` (K, N) codes, for ``m`` rows of output.

    What lies outside of the matrix is 0 or drawn from ``padding``.
    """
    columns, lanes = int(parameters["columns"]), int(parameters["lanes"])
    steps, column_tiles = -(-np.shape(w)[0] // lanes), -(-np.shape(w)[1] // columns)
    row_tiles = -(-m // int(parameters["rows"]))
    _, j, s, c, x = np.ogrid[:row_tiles, :column_tiles, :steps, :columns, :lanes]
    shape = (row_tiles, column_tiles, steps, columns, lanes)
    bits = parse(parameters["format"]).bits
    row = np.broadcast_to(s * lanes + x, shape)
    codes = gather(w, bits, row, np.broadcast_to(j * columns + c, shape), padding)
    return pack_codes(codes.reshape(-1, columns * lanes), bits, padding)


def unpack_out(
    parameters: Mapping[str, Any], m: int, n: int, beats: Mapping[str, Sequence[int]]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return ``(c, nan)``, (M, N), of one good job's output: Python integers and marks.

    Raises ``ValueError`` where the beats are not those of a good job of this size.
    """
    rows, columns = int(parameters["rows"]), int(parameters["columns"])
    bits = out_bits(int(parameters["acc_bits"]))
    c, nan = np.zeros((m, n), dtype=object), np.zeros((m, n), dtype=bool)
    places = [
        (row, left)
        for top in range(0, m, rows)
        for left in range(0, n, columns)
        for row in range(top, min(top + rows, m))
    ]
    listed = list(zip(*(beats[name] for name in ("tdata", "tkeep", "tuser", "tlast")), strict=True))
    if len(listed) != len(places):
        raise ValueError(f"a job of {m} x {n} has {len(places)} beats, not {len(listed)}")
    for at, ((row, left), (data, keep, user, last)) in enumerate(zip(places, listed, strict=True)):
        width = min(columns, n - left)
        if user & 15 or last != (at == len(places) - 1) or keep != (1 << width * bits // 8) - 1:
            raise ValueError(f"beat {at}: tuser {user}, tlast {last}, tkeep {keep:#x}")
        for column in range(width):
            value = data >> column * bits & (1 << bits) - 1
            c[row, left + column] = value - (value >> bits - 1 << bits)
            nan[row, left + column] = user >> 4 + column & 1
    return c, nan


def plain_schedule(parameters: Mapping[str, Any], job: Job, planes: int = 1) -> Schedule:
    """Return when the beats are taken; for each of activations there are ``planes`` of weights."""
    tiles = -(-job.m // int(parameters["rows"])) * -(-job.n // int(parameters["columns"]))
    steps = -(-job.k // int(parameters["lanes"]))
    return Schedule(
        beats={"act": tiles * steps, "wgt": tiles * steps * planes},
        tiles=tiles,
        end=tiles * steps,
        time=lambda name, beat: beat // planes if name == "wgt" else beat,
        done=lambda time: time // steps,
    )

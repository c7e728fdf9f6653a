# SPDX-License-Identifier: Apache-2.0
"""Beats of the arrays that keep one operand in place while the other streams past.

With ``ws`` the weights stay: for each tile of ``depth`` rows of A, each tile of ``columns`` columns
of W and each tile of ``rows * lanes`` products, ``rows`` beats of weights come first (beat r,
column c, lane x: code ``c * lanes + x`` is product ``r * lanes + x`` of the tile), then one beat of
activations for each row of A that exists (all ``rows * lanes`` codes of the tile, ascending). The
output has one beat for each row of A, with ``columns`` fields.

``is`` is the same machine with the operands exchanged, which computes the transpose of C:
``s_axis_act`` carries tiles of ``columns`` rows of A that stay, ``s_axis_wgt`` one beat for each
column of W, and an output beat is part of a column of C. With ``load`` ``tile``, which ``ws``
offers, one beat brings a whole tile: column c's ``rows * lanes`` products, ascending. Weights are
loaded before they are used, so of two beats at fault in one tile that of the operand which stays
decides the error.

Where sums are requantised (:mod:`sim.golden.mpgemm.epilogue`) the numbers of columns of C come on
``s_axis_scale``. With ``ws`` there is one beat for each batch of ``depth`` rows and tile of
columns, taken with the first row of the batch in its last tile of K. With ``is`` there is one for
each beat of the output, taken with the weights that end it; it holds the numbers of that column.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sim.golden.mpgemm.epilogue import Requant, requantised
from sim.golden.mpgemm.frame import Padding, gather
from sim.golden.mpgemm.jobs import Schedule, Tile
from sim.golden.mpgemm.words import pack_codes, unpack_codes
from sim.golden.pe.operands import Operand
from sim.golden.pe.pe import matmul

__all__ = [
    "load_beats",
    "pack_moving",
    "pack_still",
    "requantised_rows",
    "stationary_schedule",
    "stationary_tiles",
]


def load_beats(parameters: Mapping[str, Any]) -> int:
    """Return the beats that bring a tile of the operand that stays."""
    return 1 if parameters.get("load") == "tile" else int(parameters["rows"])


def pack_still(
    parameters: Mapping[str, Any], w: ArrayLike, moving: int, bits: int, padding: Padding = None
) -> list[int]:
    """Return the beats of the operand that stays.

    Parameters
    ----------
    w
        Codes (K, N) of ``bits`` bits.
    moving
        Rows of the other operand.
    padding
        Draws what lies outside of the matrix; without, it is 0.
    """
    rows, columns, lanes = (int(parameters[name]) for name in ("rows", "columns", "lanes"))
    k, n = np.shape(w)
    shape = (
        -(-moving // int(parameters["depth"])),
        -(-n // columns),
        -(-k // (rows * lanes)),
        rows,
        columns,
        lanes,
    )
    _, j, t, r, c, x = np.ogrid[tuple(slice(size) for size in shape)]
    row = np.broadcast_to((t * rows + r) * lanes + x, shape)
    codes = gather(w, bits, row, np.broadcast_to(j * columns + c, shape), padding)
    if load_beats(parameters) == 1:
        by_column = codes.reshape(-1, rows, columns, lanes).swapaxes(1, 2)
        return pack_codes(by_column.reshape(-1, rows * columns * lanes), bits, padding)
    return pack_codes(codes.reshape(-1, columns * lanes), bits, padding)


def pack_moving(
    parameters: Mapping[str, Any], a: ArrayLike, still: int, bits: int, padding: Padding = None
) -> list[int]:
    """Return the beats of the operand that streams past.

    Parameters
    ----------
    a
        Codes (M, K) of ``bits`` bits.
    still
        Columns of the other operand.
    padding
        Draws what lies outside of the matrix; without, it is 0.
    """
    width = int(parameters["rows"]) * int(parameters["lanes"])
    column_tiles, depth = -(-still // int(parameters["columns"])), int(parameters["depth"])
    m, k = np.shape(a)
    words: list[int] = []
    for top in range(0, m, depth):
        shape = (column_tiles, -(-k // width), min(depth, m - top), width)
        _, t, r, x = np.ogrid[tuple(slice(size) for size in shape)]
        row = np.broadcast_to(top + r, shape)
        codes = gather(a, bits, row, np.broadcast_to(t * width + x, shape), padding)
        words += pack_codes(codes.reshape(-1, width), bits, padding)
    return words


def stationary_schedule(
    parameters: Mapping[str, Any], names: tuple[str, str], sizes: tuple[int, int, int]
) -> Schedule:
    """Return when the beats are taken.

    ``names`` are the streams of the operand that moves and of that which stays; ``sizes`` the rows
    of the first, the columns of the second and K. Beats of numbers are of no account where there
    is no such stream.
    """
    rows, depth = int(parameters["rows"]), int(parameters["depth"])
    column_tiles = -(-sizes[1] // int(parameters["columns"]))
    k_tiles = -(-sizes[2] // (rows * int(parameters["lanes"])))
    rows = load_beats(parameters)
    full, rest = divmod(sizes[0], depth)
    shared = parameters["dataflow"] == "is"  # by all fields of a beat of the output
    whole, short = full * column_tiles * k_tiles, column_tiles * k_tiles if rest else 0

    def block_of(index: int, size: int, last_size: int) -> tuple[int, int]:
        """Which load of the array item ``index`` belongs to, and which of its items it is."""
        if index < whole * size:
            return divmod(index, size)
        block, place = divmod(index - whole * size, last_size)
        return whole + block, place

    def start(block: int) -> int:
        return block * (rows + depth) - max(0, block - whole) * (depth - rest)

    def time(name: str, beat: int) -> int:
        if name == "scale":
            # Batches and tiles of columns, without those of K, and the row of the batch.
            batch, row = beat, 0
            if shared:
                short_batch = beat >= whole // k_tiles * depth
                base = whole // k_tiles * depth if short_batch else 0
                batch, row = divmod(beat - base, rest if short_batch else depth)
                batch += whole // k_tiles if short_batch else 0
            return start(batch * k_tiles + k_tiles - 1) + rows + row
        if name == names[0]:
            block, place = block_of(beat, depth, rest)
            return start(block) + rows + place
        return start(beat // rows) + beat % rows

    def done(number: int) -> int:
        block, place = block_of(number, rows + depth, rows + rest)
        tile, k_tile = divmod(block, k_tiles)
        before = tile * depth - max(0, tile - whole // k_tiles) * (depth - rest)
        return before + (max(0, place - rows) if k_tile == k_tiles - 1 else 0)

    return Schedule(
        beats={
            names[0]: sizes[0] * column_tiles * k_tiles,
            names[1]: (whole + short) * rows,
            "scale": sizes[0] * column_tiles if shared else (whole + short) // k_tiles,
        },
        tiles=sizes[0] * column_tiles,
        end=start(whole + short),
        time=time,
        done=done,
    )


def stationary_tiles(
    parameters: Mapping[str, Any],
    operands: tuple[Operand, Operand],
    sizes: tuple[int, int, int],
    words: tuple[Sequence[int], Sequence[int]],
    tiles: int,
) -> Iterator[Tile]:
    """Yield the first ``tiles`` rows of tiles of the product of what moves and what stays.

    A row leaves once its last tile of K was added, whatever happens to the rows after it.
    ``operands`` and ``words`` belong to these two, in this order; ``sizes`` are the rows of the
    first, the columns of the second and K.
    """
    rows, columns, lanes = (int(parameters[name]) for name in ("rows", "columns", "lanes"))
    (moving, still), (m, n, k), depth = operands, sizes, int(parameters["depth"])
    column_tiles, k_tiles = -(-n // columns), -(-k // (rows * lanes))
    begin = tile = 0
    while tiles > 0:
        height = min(depth, m - tile // column_tiles * depth)
        width = min(columns, n - tile % column_tiles * columns)
        taken = words[0][begin : begin + k_tiles * height]
        begin += k_tiles * height
        a = np.zeros((k_tiles * height, rows * lanes), np.int64)
        a[: len(taken)] = unpack_codes(taken, rows * lanes, moving.fmt.bits)
        a = a.reshape(k_tiles, height, -1).swapaxes(0, 1).reshape(height, -1)
        loads = k_tiles * load_beats(parameters)
        loaded = words[1][tile * loads : (tile + 1) * loads]
        size = k_tiles * rows // loads * lanes
        w = unpack_codes(loaded, columns * size, still.fmt.bits)
        w = w.reshape(-1, columns, size).swapaxes(0, 1).reshape(columns, -1)
        sums, marks = matmul(still, moving, a[:, :k], w[:width, :k])
        for row in range(min(height, tiles)):
            yield sums[row : row + 1], marks[row : row + 1]
        tiles -= height
        tile += 1


def requantised_rows(
    parameters: Mapping[str, Any],
    given: Sequence[Requant],
    sizes: tuple[int, int],
    rows: Iterator[Tile],
) -> Iterator[Tile]:
    """Yield the rows of :func:`stationary_tiles` requantised.

    ``given`` are the numbers of each beat of scales, ``sizes`` the rows of what moves and the
    columns of what stays.
    """
    depth, column_tiles = int(parameters["depth"]), -(-sizes[1] // int(parameters["columns"]))
    for number, (sums, marks) in enumerate(rows):
        if parameters["dataflow"] == "is":
            own = {name: np.repeat(values, sums.shape[1]) for name, values in given[number].items()}
        else:
            above = number // (depth * column_tiles)
            height = min(depth, sizes[0] - above * depth)
            own = dict(given[above * column_tiles + number % (depth * column_tiles) // height])
        yield requantised(parameters, own, (sums, marks))

# SPDX-License-Identifier: Apache-2.0
"""Groups of products with scales: what ``s_axis_scale`` carries and what comes out.

Every ``group`` products, and the end of K, close a group, for sums that stay in place. With ``sum``
``int`` each group of a tile gives the tile's rows as they are. Otherwise one beat of scales, taken
with the last step of its group, comes for each tile of rows, tile of columns and group: ``columns``
codes s of the format ``scale``, then with ``zero_point`` as many int8 z, then with ``act_scale``
``rows`` codes t of that format, the first lowest. An output is

    y[m, n] = sum over groups g of s[g, n] * t[g, m] * (sum of a * w - z[g, n] * sum of a)

added as :mod:`sim.golden.dequant` adds: the code of a binary32, or an exact integer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.golden import dequant
from sim.golden.mpgemm.jobs import Job, Schedule, Tile
from sim.golden.mpgemm.products import Fields, tile_fields, tile_size
from sim.golden.mpgemm.scale_beats import scale_formats, unpack_scales
from sim.golden.pe.group import dequant_parameters
from sim.golden.pe.operands import Operand
from sim.golden.pe.pe import matmul

__all__ = [
    "group_schedule",
    "group_steps",
    "group_tiles",
    "out_width",
    "scaled_tiles",
]

Codes = NDArray[np.int64]


def group_steps(parameters: Mapping[str, Any], k: int) -> list[int]:
    """Return the steps of each group of a dot product of ``k`` products."""
    lanes, group = int(parameters["lanes"]), int(parameters["group"])
    return [-(-min(group, k - start) // lanes) for start in range(0, k, group)]


def out_width(parameters: Mapping[str, Any]) -> int:
    """Return the bits of an output.

    Those of a group's sum, of a binary32, or so many that no exact sum overflows, where a group has
    any integer of ``acc_bits`` and takes from it an int8 times another one.
    """
    acc_bits = int(parameters["acc_bits"])
    if parameters["sum"] != "exact":
        return acc_bits if parameters["sum"] == "int" else 32
    most = (129 if parameters["zero_point"] else 1) << acc_bits - 1
    for fmt in scale_formats(parameters):
        most *= Operand(fmt).max_int
    return 1 + (most * -(-int(parameters["max_k"]) // int(parameters["group"]))).bit_length()


def group_schedule(parameters: Mapping[str, Any], job: Job) -> Schedule:
    """Return when the beats are taken; with ``sum`` ``int`` every group counts as a tile."""
    tiles = -(-job.m // int(parameters["rows"])) * -(-job.n // int(parameters["columns"]))
    lengths = group_steps(parameters, job.k)
    ends = np.cumsum(lengths * tiles)
    steps, groups = int(ends[-1]), len(ends)
    results = ends if parameters["sum"] == "int" else ends[len(lengths) - 1 :: len(lengths)]
    return Schedule(
        beats={"act": steps, "wgt": steps, "scale": groups},
        tiles=len(results),
        end=steps,
        time=lambda name, beat: int(ends[beat]) - 1 if name == "scale" else beat,
        done=lambda time: int(np.searchsorted(results, time, side="right")),
    )


@dataclass(frozen=True)
class _Group:
    """One group of one tile."""

    sums: NDArray[Any]  #: (rows, columns), Python integers.
    marks: NDArray[np.bool_]  #: Which of them met a non-finite code.
    acts: NDArray[Any]  #: Sums (rows,) of the activations.


def _groups(
    parameters: Mapping[str, Any],
    operands: tuple[Operand, Operand],
    job: Job,
    words: Mapping[str, Sequence[int]],
    count: int,
) -> Iterator[_Group]:
    """Yield the first ``count`` groups; raises ``ValueError`` on one that ``acc_bits`` is not."""
    weight, act = operands
    rows, columns, lanes = (int(parameters[name]) for name in ("rows", "columns", "lanes"))
    lengths, limit = group_steps(parameters, job.k), 1 << int(parameters["acc_bits"]) - 1
    start = 0
    for number in range(count):
        tile, place = divmod(number, len(lengths))
        beats = slice(start, start := start + lengths[place])
        size = min(int(parameters["group"]), job.k - place * int(parameters["group"]))
        height, width = tile_size(parameters, job, tile)
        a = tile_fields(words["act"][beats], 1, rows, Fields(lanes, act.fmt.bits))[0, :height]
        w = tile_fields(words["wgt"][beats], 1, columns, Fields(lanes, weight.fmt.bits))[0, :width]
        a, w = a.reshape(height, -1)[:, :size], w.reshape(width, -1)[:, :size]
        sums, marks = matmul(weight, act, a, w)
        exact = sums.astype(object)
        for value in (exact.min(), exact.max()):
            if not -limit <= value < limit:
                raise ValueError(f"the sum {value} does not fit {parameters['acc_bits']} bits")
        yield _Group(exact, marks, act.decode(a)[0].astype(object).sum(axis=1))


def group_tiles(
    parameters: Mapping[str, Any],
    operands: tuple[Operand, Operand],
    job: Job,
    words: Mapping[str, Sequence[int]],
    count: int,
) -> Iterator[Tile]:
    """Yield the first ``count`` groups of a job, each the rows of a tile."""
    for group in _groups(parameters, operands, job, words, count):
        yield group.sums, group.marks


def scaled_tiles(
    parameters: Mapping[str, Any],
    operands: tuple[Operand, Operand],
    job: Job,
    words: Mapping[str, Sequence[int]],
    count: int,
) -> Iterator[Tile]:
    """Yield the first ``count`` tiles of a job: codes of binary32 as int32, or exact integers."""
    settings = dequant_parameters(parameters)
    groups = len(group_steps(parameters, job.k))
    beats = unpack_scales(parameters, words["scale"][: count * groups])
    found = list(_groups(parameters, operands, job, words, count * groups))
    for tile in range(count):
        own = slice(tile * groups, (tile + 1) * groups)
        yield _tile(settings, found[own], beats[own])


def _tile(settings: Mapping[str, Any], groups: list[_Group], beats: list[list[Codes]]) -> Tile:
    """Scale and add the groups of one tile."""
    marks = np.logical_or.reduce([group.marks for group in groups])
    sums = np.zeros(marks.shape, dtype=object)
    exact = settings["sum"] == "exact"
    for row, column in np.ndindex(sums.shape):
        blocks = []
        for group, fields in zip(groups, beats, strict=True):
            scales, rest = [int(fields[0][column])], fields[1:]
            value = group.sums[row, column]
            if settings["zero_point"]:
                zero = int(rest.pop(0)[column])
                value -= (zero - (zero >> 7 << 8)) * group.acts[row]
            scales += [int(codes[row]) for codes in rest]
            blocks.append([(int(value), scales)])
        total = dequant.total(settings, blocks)
        if exact:
            sums[row, column], marks[row, column] = total.y, total.nan or marks[row, column]
        else:
            code = dequant.NAN if marks[row, column] else total.y
            sums[row, column] = code - (code >> 31 << 32)
    return sums, marks

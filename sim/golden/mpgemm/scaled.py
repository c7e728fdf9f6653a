# SPDX-License-Identifier: Apache-2.0
"""Groups of products with scales: what ``s_axis_scale`` carries and what comes out.

Every ``group`` products, and the end of K, close a group, for sums that stay in place. With ``sum``
``int`` each group of a tile gives the tile's rows as they are. Otherwise one beat of scales, taken
with the last step of its group, comes for each tile of rows, tile of columns and group: ``columns``
codes s of the format ``scale``, then with ``zero_point`` as many int8 z, then with ``act_scale``
``rows`` codes t of that format, the first lowest. An output is

    y[m, n] = sum over groups g of s[g, n] * t[g, m] * (sum of a * w - z[g, n] * sum of a)

added as :mod:`sim.golden.dequant` adds: the code of a binary32, or an exact integer. Parameters
have the names that the unit ``array`` gives them.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.golden import dequant
from sim.golden.mpgemm.jobs import Job, Schedule, Tile
from sim.golden.mpgemm.products import Part, Products, tile_fields, tile_size
from sim.golden.mpgemm.scale_beats import scale_formats, unpack_scales
from sim.golden.pe.operands import Operand

__all__ = [
    "group_schedule",
    "group_steps",
    "group_tiles",
    "mode_of",
    "out_width",
    "scaled_tiles",
    "tail",
]

Codes = NDArray[np.int64]

#: Cycles that a row of sums takes through the scaling of groups, by how these are added, and
#: through requantisation.
SCALING = {"int": 0, "exact": 2, "fp32-seq": 3}
REQUANT = 1


def mode_of(parameters: Mapping[str, Any]) -> str:
    """Return how groups are added: ``int`` where they are not, or there are none."""
    if not parameters["group"]:
        return "int"
    scale = parameters["scale"]
    default = {None: "int", "int8": "exact"}.get(scale, "fp32-seq")
    return str(parameters.get("sum") or default)


def tail(parameters: Mapping[str, Any]) -> int:
    """Return the cycles that a row takes from its sums to the output."""
    return SCALING[mode_of(parameters)] + (REQUANT if parameters.get("requant") else 0)


def group_steps(parameters: Mapping[str, Any], k: int, depth: int = 0) -> list[int]:
    """Return the steps of each group of a dot product of ``k`` products.

    A step has ``depth`` products, else ``lanes``; without ``group`` all are one.
    """
    step, group = depth or int(parameters["lanes"]), int(parameters["group"] or k)
    return [-(-min(group, k - start) // step) for start in range(0, k, group)]


def out_width(parameters: Mapping[str, Any]) -> int:
    """Return the bits of an output.

    Those of a group's sum, of a binary32, or so many that no exact sum overflows, where a group has
    any integer of ``acc_bits`` and takes from it an int8 times another one.
    """
    acc_bits = int(parameters["acc_bits"])
    mode = mode_of(parameters)
    if mode != "exact":
        return acc_bits if mode == "int" else 32
    most = (129 if parameters["zero_point"] else 1) << acc_bits - 1
    for fmt in scale_formats(parameters):
        most *= Operand(fmt).max_int
    return 1 + (most * -(-int(parameters["max_k"]) // int(parameters["group"]))).bit_length()


def group_schedule(
    parameters: Mapping[str, Any], job: Job, depth: int = 0, beats: int = 1
) -> Schedule:
    """Return when the beats are taken; with ``sum`` ``int`` every group counts as a tile.

    For each beat of activations there are ``beats`` of weights; ``depth`` as :func:`group_steps`.
    """
    tiles = -(-job.m // int(parameters["rows"])) * -(-job.n // int(parameters["columns"]))
    lengths = group_steps(parameters, job.k, depth)
    ends = np.cumsum(lengths * tiles)
    steps, groups = int(ends[-1]), len(ends)
    whole = ends[len(lengths) - 1 :: len(lengths)]
    results = ends if mode_of(parameters) == "int" else whole

    def time(name: str, beat: int) -> int:
        if name == "scale":
            return int(ends[beat]) - 1
        return beat // beats if name == "wgt" else beat

    return Schedule(
        beats={"act": steps, "wgt": steps * beats, "scale": groups},
        tiles=len(results),
        end=steps,
        time=time,
        done=lambda time: int(np.searchsorted(results, time, side="right")),
    )


def _groups(
    parameters: Mapping[str, Any],
    products: Products,
    job: Job,
    words: Mapping[str, Sequence[int]],
    count: int,
) -> Iterator[Part]:
    """Yield the first ``count`` groups; raises ``ValueError`` on one that ``acc_bits`` is not."""
    rows, columns = int(parameters["rows"]), int(parameters["columns"])
    lengths, beats = group_steps(parameters, job.k, products.depth), products.beats(job.bits)
    limit, group = 1 << int(parameters["acc_bits"]) - 1, int(parameters["group"] or job.k)
    start = 0
    for number in range(count):
        tile, place = divmod(number, len(lengths))
        stop = start + lengths[place]
        acts, wgts = words["act"][start:stop], words["wgt"][start * beats : stop * beats]
        start, size = stop, min(group, job.k - place * group)
        height, width = tile_size(parameters, job, tile)
        a = tile_fields(acts, 1, rows, products.act)[0, :height]
        w = tile_fields(wgts, 1, columns, products.wgt)[0, :width]
        part = products.multiply(a, w, size, job.bits)
        for value in (int(part.sums.min()), int(part.sums.max())):
            if not -limit <= value < limit:
                raise ValueError(f"the sum {value} does not fit {parameters['acc_bits']} bits")
        yield part


def group_tiles(
    parameters: Mapping[str, Any],
    products: Products,
    job: Job,
    words: Mapping[str, Sequence[int]],
    count: int,
) -> Iterator[Tile]:
    """Yield the first ``count`` groups of a job, each the rows of a tile."""
    for part in _groups(parameters, products, job, words, count):
        yield part.sums, part.marks | part.flags


def scaled_tiles(
    parameters: Mapping[str, Any],
    products: Products,
    job: Job,
    words: Mapping[str, Sequence[int]],
    count: int,
) -> Iterator[Tile]:
    """Yield the first ``count`` tiles of a job: codes of binary32 as int32, or exact integers."""
    settings = {
        **{name: parameters[name] for name in ("scale", "act_scale", "zero_point")},
        "sum": mode_of(parameters),
        "lam": products.lam,
    }
    groups = len(group_steps(parameters, job.k, products.depth))
    beats = unpack_scales(parameters, words["scale"][: count * groups])
    found = _groups(parameters, products, job, words, count * groups)
    for tile in range(count):
        own = beats[tile * groups : (tile + 1) * groups]
        yield _tile(settings, list(islice(found, groups)), own)


def _tile(settings: Mapping[str, Any], groups: list[Part], beats: list[list[Codes]]) -> Tile:
    """Scale and add the groups of one tile."""
    marks = np.logical_or.reduce([group.marks for group in groups])
    sums = np.zeros(marks.shape, dtype=object)
    exact = settings["sum"] == "exact"
    for row, column in np.ndindex(sums.shape):
        blocks = []
        for group, fields in zip(groups, beats, strict=True):
            scales, rest = [int(fields[0][column])], fields[1:]
            value = int(group.sums[row, column])
            if settings["zero_point"]:
                zero = int(rest.pop(0)[column])
                value -= (zero - (zero >> 7 << 8)) * int(group.acts[row])
            scales += [int(codes[row]) for codes in rest]
            blocks.append([(value, scales)])
        total = dequant.total(settings, blocks)
        if exact:
            sums[row, column], marks[row, column] = total.y, total.nan or marks[row, column]
        else:
            code = dequant.NAN if marks[row, column] else total.y
            sums[row, column] = code - (code >> 31 << 32)
    flags = np.logical_or.reduce([np.broadcast_to(group.flags, marks.shape) for group in groups])
    return sums, marks | flags if exact else flags

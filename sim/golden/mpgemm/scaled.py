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

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import Format, parse
from sim.golden import dequant
from sim.golden.formats import decode, legal_codes
from sim.golden.mpgemm.frame import Padding, gather
from sim.golden.mpgemm.jobs import Job, Schedule, Tile
from sim.golden.mpgemm.products import Fields, tile_fields, tile_size
from sim.golden.mpgemm.words import pack_codes, unpack_codes
from sim.golden.pe.group import dequant_parameters
from sim.golden.pe.operands import Operand
from sim.golden.pe.pe import matmul

__all__ = [
    "draw_scales",
    "group_schedule",
    "group_steps",
    "group_tiles",
    "out_width",
    "pack_scales",
    "scale_formats",
    "scaled_tiles",
]

Codes = NDArray[np.int64]


def scale_formats(parameters: Mapping[str, Any]) -> list[Format]:
    """Return the formats of the scales, those of columns first."""
    return [parse(name) for name in (parameters["scale"], parameters["act_scale"]) if name]


def group_steps(parameters: Mapping[str, Any], k: int) -> list[int]:
    """Return the steps of each group of a dot product of ``k`` products."""
    lanes, group = int(parameters["lanes"]), int(parameters["group"])
    return [-(-min(group, k - start) // lanes) for start in range(0, k, group)]


def out_width(parameters: Mapping[str, Any], weight: Operand, act: Operand) -> int:
    """Return the bits of an output: of a group's sum, of a binary32, or that no sum overflows."""
    acc_bits = int(parameters["acc_bits"])
    if parameters["sum"] != "exact":
        return acc_bits if parameters["sum"] == "int" else 32
    most = 1 << acc_bits - 1
    if parameters["zero_point"]:
        most += 128 * int(parameters["group"]) * act.max_int
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
    beats = _unpack_scales(parameters, words["scale"][: count * groups])
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


def _layout(parameters: Mapping[str, Any]) -> list[Fields]:
    """The fields of a beat of scales."""
    formats = scale_formats(parameters)
    rows, columns = int(parameters["rows"]), int(parameters["columns"])
    zeros = [Fields(columns, 8)] if parameters["zero_point"] else []
    return [Fields(columns, formats[0].bits), *zeros, *(Fields(rows, f.bits) for f in formats[1:])]


def pack_scales(
    parameters: Mapping[str, Any],
    m: int,
    s: ArrayLike,
    z: ArrayLike | None = None,
    t: ArrayLike | None = None,
    padding: Padding = None,
) -> list[int]:
    """Return the beats of scales of a job of ``m`` rows.

    Parameters
    ----------
    s
        Codes (groups, N).
    z, t
        Zero points (groups, N), -128 to 127, and codes (groups, M), where the parameters want them.
    padding
        Draws what lies outside of the matrices; without, it is 0.
    """
    groups, n = np.shape(s)
    rows, columns = int(parameters["rows"]), int(parameters["columns"])
    given = [np.asarray(s, dtype=np.int64)]
    given += [np.asarray(z, dtype=np.int64) & 255] if parameters["zero_point"] else []
    given += [np.asarray(t, dtype=np.int64)] if parameters["act_scale"] else []
    i, j, g, x = np.ogrid[: -(-m // rows), : -(-n // columns), :groups, : max(rows, columns)]
    parts = []
    for at, (fields, codes) in enumerate(zip(_layout(parameters), given, strict=True)):
        of_rows = bool(parameters["act_scale"]) and at == len(given) - 1
        place = i * rows + x + 0 * j if of_rows else j * columns + x + 0 * i
        place = (place + 0 * g)[..., : fields.count]
        found = gather(codes, fields.bits, np.broadcast_to(g, place.shape), place, padding)
        bits = found.reshape(-1, fields.count, 1) >> np.arange(fields.bits) & 1
        parts.append(bits.reshape(len(bits), -1))
    return pack_codes(np.concatenate(parts, axis=1), 1, padding)


def _unpack_scales(parameters: Mapping[str, Any], words: Sequence[int]) -> list[list[Codes]]:
    """The fields of each beat: codes of columns, zero points as bytes, codes of rows."""
    layout = _layout(parameters)
    flat = unpack_codes(words, sum(fields.count * fields.bits for fields in layout), 1)
    parts, start = [], 0
    for fields in layout:
        bits = flat[:, start : start + fields.count * fields.bits]
        start += fields.count * fields.bits
        shaped = bits.reshape(len(words), fields.count, fields.bits)
        parts.append((shaped << np.arange(fields.bits)).sum(axis=-1))
    return [list(beat) for beat in zip(*parts, strict=True)]


#: What the scales of the first jobs are, in turn.
_KINDS = ("most", "close", "least", "any", "finite", "edges")


def draw_scales(
    parameters: Mapping[str, Any], rng: np.random.Generator
) -> Callable[[Job, list[int]], list[int]]:
    """Return what makes the packet of scales of a job, of another kind for each in turn."""
    kinds = cycle(_KINDS)

    def draw(job: Job, _: list[int]) -> list[int]:
        kind = next(kinds)
        groups = len(group_steps(parameters, job.k))
        formats = scale_formats(parameters)
        s = _codes(formats[0], kind, (groups, job.n), rng)
        t = _codes(formats[-1], kind, (groups, job.m), rng) if parameters["act_scale"] else None
        z = {
            "most": np.full(s.shape, 127),
            "least": np.full(s.shape, -128),
            "edges": rng.choice([-128, 0, 127], s.shape),
        }.get(kind, rng.integers(-128, 128, s.shape))
        return pack_scales(parameters, job.m, s, z, t, rng)

    return draw


def _codes(fmt: Format, kind: str, shape: tuple[int, int], rng: np.random.Generator) -> Codes:
    """Codes of a kind: ``close`` within a ninth of them, ``any`` with one in 16 non-finite."""
    legal = legal_codes(fmt)
    ints, marks = decode(fmt, legal)
    finite, special = legal[~marks], legal[marks]
    order = finite[np.argsort(ints[~marks], kind="stable")]
    zero = finite[np.argmin(np.abs(ints[~marks]))]
    if kind in ("most", "least"):
        return np.full(shape, order[-1 if kind == "most" else 0])
    if kind == "edges":
        return rng.choice(np.array([order[0], order[1], zero, order[-2], order[-1]]), shape)
    if kind == "close":
        span = max(1, len(order) // 9)
        return order[int(rng.integers(len(order) - span + 1)) + rng.integers(0, span, shape)]
    drawn = rng.choice(finite, shape)
    if kind == "any" and len(special):
        drawn = np.where(rng.random(shape) < 1 / 16, rng.choice(special, shape), drawn)
    return drawn

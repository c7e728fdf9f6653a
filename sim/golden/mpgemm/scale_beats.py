# SPDX-License-Identifier: Apache-2.0
"""Beats of ``s_axis_scale``: packed, taken apart and drawn.

A beat of a group holds ``columns`` codes of the format ``scale``, then with ``zero_point`` as many
int8, then with ``act_scale`` ``rows`` codes of that format, the first in the lowest bits. With
``requant`` the beat of the last group of a tile, or the only beat of a tile without scales, holds
above these for each column what :mod:`sim.golden.mpgemm.epilogue` says. Arrays with dataflow
``ws`` have a beat for each ``depth`` rows and tile of columns, those with ``is`` for each beat of
the output, with what belongs to one column, and those with ``os-ws`` what the job's dataflow has,
or that of ``os`` where nothing says it.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import Format, parse
from sim.golden.formats import decode, legal_codes
from sim.golden.mpgemm.epilogue import Requant, draw_requant, numbers
from sim.golden.mpgemm.frame import Padding, gather
from sim.golden.mpgemm.jobs import Job
from sim.golden.mpgemm.products import Fields
from sim.golden.mpgemm.two_flows import of_flow
from sim.golden.mpgemm.words import pack_codes, unpack_codes

__all__ = [
    "array_names",
    "draw_scales",
    "pack_scales",
    "scale_formats",
    "takes_scales",
    "unpack_requant",
    "unpack_scales",
]

Codes = NDArray[np.int64]

#: Parameters of groups of ``mpgemm``, and what an array calls them.
_NAMES = {"group_size": "group", "zero_points": "zero_point"}


def array_names(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with those of groups as an array names them, all of them there.

    Those of another engine become those of a ``cube``.
    """
    chosen = {"scale": None, "act_scale": None, "group": None, "zero_point": False, **parameters}
    if not chosen.get("dataflow") or "group_size" in chosen:
        chosen |= {new: chosen.pop(old, None) for old, new in _NAMES.items()}
        chosen["dataflow"] = "cube"
    return chosen


def scale_formats(parameters: Mapping[str, Any]) -> list[Format]:
    """Return the formats of the scales, those of columns first."""
    return [parse(name) for name in (parameters["scale"], parameters["act_scale"]) if name]


def _layout(parameters: Mapping[str, Any]) -> list[Fields]:
    """The fields of a beat of scales."""
    formats = scale_formats(parameters)
    rows, columns = int(parameters["rows"]), int(parameters["columns"])
    zeros = [Fields(columns, 8)] if parameters["zero_point"] else []
    return [Fields(columns, formats[0].bits), *zeros, *(Fields(rows, f.bits) for f in formats[1:])]


def takes_scales(parameters: Mapping[str, Any]) -> bool:
    """Return whether there is a stream of scales, with parameters as an array has them."""
    return bool(parameters["scale"] or parameters.get("requant"))


def pack_scales(
    parameters: Mapping[str, Any],
    m: int,
    s: ArrayLike | None = None,
    z: ArrayLike | None = None,
    t: ArrayLike | None = None,
    padding: Padding = None,
    requant: Requant | None = None,
) -> list[int]:
    """Return the beats of scales of a job of ``m`` rows.

    Parameters
    ----------
    s, z, t
        Codes (groups, N), zero points (groups, N), -128 to 127, and codes (groups, M), where the
        parameters want them.
    padding
        Draws what does not matter; without, it is 0.
    requant
        The numbers (N,) of the columns, where the parameters want them. Raises ``ValueError`` for
        one that does not fit.
    """
    parameters, parts = array_names(parameters), []
    if parameters["scale"]:
        parts.append(_group_bits(parameters, m, (s, z, t), padding))
    if parameters.get("requant"):
        found = _requant_bits(parameters, m, requant or {}, padding)
        if parts:
            groups = len(parts[0]) // len(found)
            every = np.zeros((len(found), groups, found.shape[1]), dtype=np.int64)
            if padding is not None:
                every = padding.integers(0, 2, every.shape)
            every[:, -1] = found
            found = every.reshape(len(parts[0]), -1)
        parts.append(found)
    return pack_codes(np.concatenate(parts, axis=1), 1, padding)


def _group_bits(
    parameters: Mapping[str, Any], m: int, given: Sequence[Any], padding: Padding
) -> Codes:
    """Bits (beats, bits) of the scales of groups: s, z and t."""
    s, z, t = given
    groups, n = np.shape(s)
    rows, columns = int(parameters["rows"]), int(parameters["columns"])
    matrices = [np.asarray(s, dtype=np.int64)]
    matrices += [np.asarray(z, dtype=np.int64) & 255] if parameters["zero_point"] else []
    matrices += [np.asarray(t, dtype=np.int64)] if parameters["act_scale"] else []
    i, j, g, x = np.ogrid[: -(-m // rows), : -(-n // columns), :groups, : max(rows, columns)]
    parts = []
    for at, (fields, codes) in enumerate(zip(_layout(parameters), matrices, strict=True)):
        of_rows = bool(parameters["act_scale"]) and at == len(matrices) - 1
        place = i * rows + x + 0 * j if of_rows else j * columns + x + 0 * i
        place = (place + 0 * g)[..., : fields.count]
        found = gather(codes, fields.bits, np.broadcast_to(g, place.shape), place, padding)
        parts.append(_bits(found.reshape(-1, fields.count), fields.bits))
    return np.concatenate(parts, axis=1)


def _requant_bits(
    parameters: Mapping[str, Any], m: int, requant: Requant, padding: Padding
) -> Codes:
    """Bits (beats, bits) of the numbers of the columns of each tile."""
    columns, parts, flow = _numbered(parameters), [], parameters["dataflow"]
    for number in numbers(parameters):
        values, (low, high) = np.asarray(requant[number.name], dtype=np.int64), number.limits
        if not low <= values.min() <= values.max() <= high:
            told = f"{number.name} must be {low} to {high}"
            raise ValueError(f"{told}, not {values.min()} to {values.max()}")
        place = np.arange(-(-len(values) // columns) * columns).reshape(-1, columns)
        codes = values[None] & (1 << number.bits) - 1
        found = gather(codes, number.bits, np.zeros_like(place), place, padding)
        parts.append((found[..., None] >> np.arange(number.bits)) & 1)
    across = np.concatenate(parts, axis=2)
    across = across.reshape(len(across), -1)
    if flow == "is":
        depth, again = int(parameters["depth"]), -(-m // int(parameters["columns"]))
        batches = [across[at : at + depth] for at in range(0, len(across), depth)]
        return np.concatenate([batch for batch in batches for _ in range(again)])
    height = int(parameters["depth" if flow == "ws" else "rows"])
    return np.tile(across, (-(-m // height), 1))


def _numbered(parameters: Mapping[str, Any]) -> int:
    """Columns whose numbers a beat has."""
    return 1 if parameters["dataflow"] == "is" else int(parameters["columns"])


def _bits(codes: Codes, bits: int) -> Codes:
    """Bits (beats, fields * bits) of codes (beats, fields)."""
    each: Codes = codes[..., None] >> np.arange(bits) & 1
    return each.reshape(len(codes), -1)


def unpack_scales(parameters: Mapping[str, Any], words: Sequence[int]) -> list[list[Codes]]:
    """Return the fields of each beat: codes of columns, zero points as bytes, codes of rows."""
    layout = _layout(parameters)
    flat = unpack_codes(words, _size(layout), 1)
    parts, start = [], 0
    for fields in layout:
        bits = flat[:, start : start + fields.count * fields.bits]
        start += fields.count * fields.bits
        parts.append(_codes_of(bits.reshape(len(words), fields.count, fields.bits)))
    return [list(beat) for beat in zip(*parts, strict=True)]


def unpack_requant(
    parameters: Mapping[str, Any], words: Sequence[int], below: int = 0
) -> list[Requant]:
    """Return the numbers of the columns of each beat, which lie above scales, or ``below`` bits."""
    parts, columns = numbers(parameters), _numbered(parameters)
    below = _size(_layout(parameters)) if parameters["scale"] else below
    width = sum(part.bits for part in parts)
    flat = unpack_codes([word >> below for word in words], columns * width, 1)
    bits, found, start = flat.reshape(len(words), columns, width), {}, 0
    for part in parts:
        codes = _codes_of(bits[..., start : start + part.bits])
        start += part.bits
        found[part.name] = codes - (codes >> part.bits - 1 << part.bits) * part.signed
    return [{name: values[beat] for name, values in found.items()} for beat in range(len(words))]


def _size(layout: Sequence[Fields]) -> int:
    return sum(fields.count * fields.bits for fields in layout)


def _codes_of(bits: Codes) -> Codes:
    """Codes (...) of bits (..., bits), the lowest first."""
    codes: Codes = (bits << np.arange(bits.shape[-1])).sum(axis=-1)
    return codes


#: What the scales of the first jobs are, in turn.
_KINDS = ("most", "close", "least", "any", "finite", "edges")


def draw_scales(
    parameters: Mapping[str, Any], width: int, rng: np.random.Generator
) -> Callable[[Job, list[int]], list[int]]:
    """Return what makes the packet of scales of a job, of another kind for each in turn.

    Sums that are requantised have ``width`` bits. Jobs of ``os-ws`` say which beats they have.
    """
    kinds, columns = cycle(_KINDS), draw_requant(parameters, width, rng)
    switched = parameters.get("dataflow") == "os-ws"

    def draw(job: Job, _: list[int]) -> list[int]:
        kind = next(kinds)
        s = z = t = None
        if parameters["scale"]:
            s, z, t = _draw_groups(parameters, kind, job, rng)
        requant = columns(job) if parameters.get("requant") else None
        p = of_flow(parameters, job.reserved & 1) if switched else parameters
        return pack_scales(p, job.m, s, z, t, rng, requant)

    return draw


def _draw_groups(
    parameters: Mapping[str, Any], kind: str, job: Job, rng: np.random.Generator
) -> tuple[Codes, Codes, Codes | None]:
    """Scales s, zero points z and scales t of a job."""
    groups = -(-job.k // int(parameters["group"]))
    formats = scale_formats(parameters)
    s = _codes(formats[0], kind, (groups, job.n), rng)
    t = _codes(formats[-1], kind, (groups, job.m), rng) if parameters["act_scale"] else None
    z = {
        "most": np.full(s.shape, 127),
        "least": np.full(s.shape, -128),
        "edges": rng.choice([-128, 0, 127], s.shape),
    }.get(kind, rng.integers(-128, 128, s.shape))
    return s, z, t


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

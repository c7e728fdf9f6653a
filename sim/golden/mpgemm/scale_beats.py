# SPDX-License-Identifier: Apache-2.0
"""Beats of ``s_axis_scale``: packed, taken apart and drawn.

A beat holds ``columns`` codes of the format ``scale``, then with ``zero_point`` as many int8, then
with ``act_scale`` ``rows`` codes of that format, the first in the lowest bits.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import Format, parse
from sim.golden.formats import decode, legal_codes
from sim.golden.mpgemm.frame import Padding, gather
from sim.golden.mpgemm.jobs import Job
from sim.golden.mpgemm.products import Fields
from sim.golden.mpgemm.words import pack_codes, unpack_codes

__all__ = ["array_names", "draw_scales", "pack_scales", "scale_formats", "unpack_scales"]

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
    parameters, (groups, n) = array_names(parameters), np.shape(s)
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


def unpack_scales(parameters: Mapping[str, Any], words: Sequence[int]) -> list[list[Codes]]:
    """Return the fields of each beat: codes of columns, zero points as bytes, codes of rows."""
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
        groups = -(-job.k // int(parameters["group"]))
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

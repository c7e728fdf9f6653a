# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``rope``: rotary position embedding by a 32-bit phase.

Pair i of a row turns by ``pos * base**(-2i/dim)``. ``docs/nonlinear.md`` has the contract. Source:
RoFormer (2021).
"""

import math
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.attention.rows import codes, draw_rows, row_slices, signed
from sim.golden.attention.tables import look_up, rhu, saturate, table

__all__ = ["LAYOUTS", "pairs", "rotate", "run", "sine_cosine", "steps", "vectors"]

Integers = NDArray[Any]

LAYOUTS = ("half", "interleaved")

_TURN = 1 << 32


@cache
def steps(dim: int, base: Fraction = Fraction(10000)) -> tuple[int, ...]:
    """Return the phase of each pair per position, in units of ``2**-32`` turns."""
    angles = (float(base) ** (-2 * pair / dim) for pair in range(dim // 2))
    return tuple(math.floor(angle / (2 * math.pi) * _TURN + 0.5) for angle in angles)


def sine_cosine(phase: ArrayLike, coef_bits: int) -> tuple[Integers, Integers]:
    """Return sine and cosine of a phase of 32 bits, with ``coef_bits - 2`` fraction bits."""
    phase = np.asarray(phase, dtype=np.int64)
    place, quadrant = phase >> 14 & 65535, phase >> 30

    def at(quadrant: Integers) -> Integers:
        u = np.where(quadrant & 1, 65536 - place, place)
        value = look_up(table("sin", 8), np.minimum(u, 65535))
        value = rhu(np.where(u == 65536, 65536, value), 18 - coef_bits)
        return np.where(quadrant & 2, -value, value)

    return at(quadrant & 3), at(quadrant + 1 & 3)


def pairs(dim: int, layout: str) -> tuple[Integers, Integers]:
    """Return the places of both elements of every pair. Else ``ValueError``."""
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}")
    index = np.arange(dim // 2)
    return (index, index + dim // 2) if layout == "half" else (2 * index, 2 * index + 1)


def rotate(
    x: ArrayLike,
    pos: ArrayLike,
    *,
    layout: str,
    coef_bits: int = 16,
    out_bits: int = 8,
    base: Fraction = Fraction(10000),
    inverse: ArrayLike = False,
) -> Integers:
    """Rotate each row of ``x`` (rows, dim) for its position, results held to ``out_bits``."""
    x = np.asarray(x, dtype=np.int64)
    dim = x.shape[1]
    pos = np.atleast_1d(np.asarray(pos, dtype=np.uint64))[:, np.newaxis]
    phase = pos * np.array(steps(dim, base), dtype=np.uint64) % np.uint64(_TURN)
    sine, cosine = sine_cosine(phase.astype(np.int64), coef_bits)
    sine = np.where(np.atleast_1d(inverse)[:, np.newaxis], -sine, sine)
    first, second = pairs(dim, layout)
    a, b, y = x[:, first], x[:, second], x.copy()
    y[:, first] = saturate(rhu(a * cosine - b * sine, coef_bits - 2), out_bits)
    y[:, second] = saturate(rhu(a * sine + b * cosine, coef_bits - 2), out_bits)
    return y


def run(parameters: Mapping[str, Any], beats: Mapping[str, Any]) -> dict[str, Integers]:
    """Return ``y`` and ``keep`` (m, lanes), ``last`` and ``err`` (m,).

    ``beats`` holds ``x``, ``keep`` (n, lanes), ``last``, ``pos`` and ``inverse`` (n,).
    """
    lanes, dim, bits = (int(parameters[name]) for name in ("lanes", "dim", "x_bits"))
    due = (np.arange(-(-dim // lanes) * lanes) < dim).reshape(-1, lanes)
    x = signed(np.asarray(beats["x"]).reshape(-1, lanes), bits)
    keep = np.asarray(beats["keep"]).reshape(-1, lanes).astype(bool)
    parts = list(row_slices(beats["last"]))
    good = [np.array_equal(keep[part], due) for part in parts]
    rows = [x[part].ravel()[:dim] for part, fits in zip(parts, good, strict=True) if fits]
    firsts = [part.start for part, fits in zip(parts, good, strict=True) if fits]
    turned = rotate(
        np.array(rows, dtype=np.int64).reshape(-1, dim),
        codes(beats["pos"], 32)[firsts],
        layout=str(parameters["layout"]),
        coef_bits=int(parameters["coef_bits"]),
        out_bits=bits + bool(parameters["grow"]),
        base=Fraction(str(parameters["base"])),
        inverse=codes(beats["inverse"], 1)[firsts].astype(bool),
    )
    padded = np.pad(turned, ((0, 0), (0, due.size - dim))).reshape(-1, *due.shape)
    each = iter(padded)
    nothing = np.zeros((1, lanes), dtype=np.int64)
    y = [next(each) if fits else nothing for fits in good]
    kept = [due.astype(np.int64) if fits else nothing for fits in good]
    lengths = [len(row) for row in y]
    last = np.zeros(sum(lengths), dtype=np.int64)
    last[np.cumsum(lengths, dtype=np.int64) - 1] = 1
    return {
        "y": np.concatenate([nothing[:0], *y]),
        "keep": np.concatenate([nothing[:0], *kept]),
        "last": last,
        "err": np.repeat(1 - np.array(good, dtype=np.int64), lengths),
    }


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, Integers]:
    """Return at least ``beats`` beats: rows of the right length, every eighth of another shape.

    Positions are 0, small, or of any length; elements are random or extreme.
    """
    lanes, dim, bits = (int(parameters[name]) for name in ("lanes", "dim", "x_bits"))
    due = (np.arange(-(-dim // lanes) * lanes) < dim).reshape(-1, lanes)
    top, keeps = 1 << bits - 1, []
    total = number = 0
    while total < beats:
        keep = due
        if number % 8 == 5:
            frames = draw_rows(rng, int(rng.integers(1, 2 * len(due) + 2)), lanes, 2 * len(due))
            keep = frames["keep"]
        elif number % 8 == 7:
            keep = np.concatenate([due, due])[: len(due) + (-1, 1)[number // 8 % 2] or 1]
        keeps.append(keep)
        total += len(keep)
        number += 1
    lengths = [len(keep) for keep in keeps]
    last = np.zeros(total, dtype=np.int64)
    last[np.cumsum(lengths) - 1] = 1
    x = rng.integers(-top, top, (total, lanes))
    extreme = np.repeat(rng.random(len(keeps)) < 0.3, lengths)
    x[extreme] = rng.choice([-top, top - 1], x[extreme].shape)
    pos = rng.integers(0, _TURN, total) >> rng.integers(0, 33, total)
    return {
        "x": x,
        "keep": np.concatenate(keeps).astype(np.int64),
        "last": last,
        "pos": pos,
        "inverse": rng.integers(0, 2, total),
    }

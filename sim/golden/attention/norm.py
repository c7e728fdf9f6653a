# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``norm``: layer and root-mean-square normalisation of rows.

``ln`` and ``rms`` are ours: the mean is not rounded, nothing is divided, one reciprocal square root
per row. ``docs/nonlinear.md`` has the contract.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.attention import norm_published as published
from sim.golden.attention.rows import codes, draw_rows, row_slices, signed
from sim.golden.attention.tables import rhu, rsqrt, saturate

__all__ = ["KINDS", "normalise", "run", "vectors", "widths"]

Integers = NDArray[Any]

KINDS = ("ln", "rms", *published.KINDS)


def normalise(kind: str, x: ArrayLike, eps: int = 0, frac: int = 12) -> Integers:
    """Return the elements of one row, normalised, with ``frac`` fraction bits.

    ``ln``: mean 0 and variance 1; ``rms``: squares that add up to 1. ``eps`` is in units of
    ``n * n`` squares of elements, for ``rms`` of squares.
    """
    x = np.asarray(x, dtype=np.int64)
    squares = int((x * x).sum())
    if kind == "rms":
        variance, u = squares + eps, x
    else:
        total = int(x.sum())
        variance, u = len(x) * squares - total * total + eps, len(x) * x - total
    if variance <= 0:
        return np.zeros_like(x)
    h, y = rsqrt(variance)
    return rhu(u * y, 30 + h - frac)


def widths(parameters: Mapping[str, Any]) -> int:
    """Return the bits of a result."""
    if parameters["kind"] in published.KINDS:
        return 34
    if parameters["affine"]:
        return int(parameters["out_bits"])
    return int(parameters["frac"]) + (8 if parameters["kind"] == "ln" else 2)


def _ours(kind: str) -> bool:
    return kind in ("ln", "rms")


def run(parameters: Mapping[str, Any], beats: Mapping[str, Any]) -> dict[str, Integers]:
    """Return ``y`` and ``keep`` (m, lanes), ``last`` and ``err`` (m,), what the unit answers.

    ``beats`` holds ``x``, ``keep``, with ``affine`` also ``g``, ``b``, with ``shortcut`` ``r``
    (n, lanes); ``last`` and the fields of whole rows (n,), as far as the parameters have them.
    """
    lanes, kind = int(parameters["lanes"]), str(parameters["kind"])
    most = -(-int(parameters["max_len"]) // lanes)
    out_bits, affine = widths(parameters), bool(parameters["affine"])

    def lane_field(name: str, bits: int) -> Integers:
        return signed(np.asarray(beats[name]).reshape(-1, lanes), bits)

    x = lane_field("x", int(parameters["x_bits"]))
    keep = np.asarray(beats["keep"]).reshape(-1, lanes).astype(bool)
    names = {"b": 32} | ({"g": 16} if _ours(kind) else {})
    table = {name: np.zeros((most, lanes), dtype=np.int64) for name in names if affine}
    given = {name: lane_field(name, names[name]) for name in table}
    other = lane_field("r", out_bits) if parameters["shortcut"] else None
    shift_out = 0

    rows: list[tuple[Integers, Integers, int]] = []
    for part in row_slices(beats["last"]):
        first, count = part.start, part.stop - part.start
        if affine and int(beats["load"][first]):
            for name, entries in table.items():
                entries[: min(count, most)] = given[name][part][:most]
            if _ours(kind):
                shift_out = int(codes(beats["sg"][first], 6))
            continue
        if count > most:
            rows.append((np.zeros((1, lanes), dtype=np.int64), np.zeros((1, lanes), dtype=bool), 1))
            continue
        there = keep[part]
        y, overflow = np.zeros((count, lanes), dtype=np.int64), False
        if _ours(kind):
            eps = int(codes(beats["eps"][first], 32))
            y[there] = normalise(kind, x[part][there], eps, int(parameters["frac"]))
            if affine:
                scaled = y * table["g"][:count] + table["b"][:count]
                y = saturate(rhu(scaled, shift_out), out_bits)
            if other is not None:
                m1, m2 = (int(signed(beats[name][first], 16)) for name in ("m1", "m2"))
                total = y * m1 + other[part] * m2
                y = saturate(rhu(total, int(codes(beats["ss"][first], 6))), out_bits)
        else:
            shift = int(codes(beats["shift"][first], 5)) if kind == "ibert" else 0
            y[there], overflow = published.normalise(kind, x[part][there], shift)
            if affine:
                y += table["b"][:count]
        rows.append((np.where(there, y, 0), there, 2 * overflow))
    lengths = [len(y) for y, _, _ in rows]
    ends = np.cumsum(lengths, dtype=np.int64) - 1
    last = np.zeros(sum(lengths), dtype=np.int64)
    last[ends] = 1
    none = np.zeros((0, lanes), dtype=np.int64)
    return {
        "y": np.concatenate([none, *(y for y, _, _ in rows)]),
        "keep": np.concatenate([none, *(there for _, there, _ in rows)]).astype(np.int64),
        "last": last,
        "err": np.repeat(np.array([err for _, _, err in rows], dtype=np.int64), lengths),
    }


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, Integers]:
    """Return ``beats`` beats: tables first, then rows of every shape, now and then a table anew.

    Elements of a row are alike, extreme, few units around some number, or anything.
    """
    lanes, bits, kind = int(parameters["lanes"]), int(parameters["x_bits"]), parameters["kind"]
    most = -(-int(parameters["max_len"]) // lanes)
    frames = draw_rows(rng, beats, lanes, most)
    last = frames["last"]
    load = np.zeros(beats, dtype=np.int64)
    if parameters["affine"]:
        last[: min(most, max(1, beats // 4))] = False
        last[min(most, max(1, beats // 4)) - 1] = True
    top = 1 << bits - 1
    x = rng.integers(-top, top, (beats, lanes))
    for number, part in enumerate(row_slices(last)):
        shape = (part.stop - part.start, lanes)
        style = int(rng.integers(6))
        if style == 0:
            x[part] = rng.integers(-top, top)
        elif style == 1:
            x[part] = rng.choice([-top, top - 1], shape)
        elif style < 4:
            middle, spread = rng.integers(-top, top), 1 << int(rng.integers(0, bits))
            x[part] = np.clip(middle + rng.integers(-spread, spread + 1, shape), -top, top - 1)
        load[part] = rng.integers(0, 2, shape[0])
        load[part.start] = number % 13 == 0
    found: dict[str, Integers] = {"x": x, "keep": frames["keep"].astype(np.int64)}
    found["last"] = last.astype(np.int64)
    if parameters["affine"]:
        found["load"] = load
        found["b"] = rng.integers(-1 << 31, 1 << 31, (beats, lanes)) >> rng.integers(0, 32)
    if _ours(kind):
        found["eps"] = rng.integers(0, 1 << 32, beats) >> rng.integers(0, 33, beats)
        if parameters["affine"]:
            found["g"] = rng.integers(-1 << 15, 1 << 15, (beats, lanes))
            usual = int(parameters["frac"]) + 15 - widths(parameters)
            found["sg"] = np.where(
                rng.random(beats) < 0.7,
                usual + rng.integers(0, 4, beats),
                rng.integers(0, 64, beats),
            )
            found["b"] >>= rng.integers(0, 16, (beats, lanes))
    if kind == "ibert":
        found["shift"] = np.where(
            rng.random(beats) < 0.7, rng.integers(0, 4, beats), rng.integers(0, 32, beats)
        )
    if parameters["shortcut"]:
        limit = 1 << widths(parameters) - 1
        found["r"] = rng.integers(-limit, limit, (beats, lanes))
        for name in ("m1", "m2"):
            found[name] = rng.integers(-1 << 15, 1 << 15, beats)
        found["ss"] = np.where(rng.random(beats) < 0.7, 15, rng.integers(0, 64, beats))
    return found

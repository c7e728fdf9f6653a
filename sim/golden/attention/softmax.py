# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``softmax``: rows of logits to probabilities, by one of several kinds.

This file has what all kinds share and our own: ``safe`` (the maximum first) and ``online`` (maximum
and sum in one pass over the beats). The others lie beside it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.attention import softmax_ibert, softmax_ita, softmax_ivit, softmax_log
from sim.golden.attention import softmax_two_pass as two_pass
from sim.golden.attention.rows import codes, draw_rows, row_slices, signed
from sim.golden.attention.tables import exp2n, recip, rhu

__all__ = ["KINDS", "online", "run", "safe", "vectors"]

Integers = NDArray[Any]
Keep = NDArray[np.bool_]

#: A row's ``x`` and ``keep`` (beats, lanes) and its scales to its fields.
Row = Callable[[Mapping[str, Any], Integers, Keep, int, int], dict[str, Integers]]


def safe(
    x: ArrayLike, keep: ArrayLike, m: int, sh: int, exp_bits: int = 12, out_bits: int = 8
) -> Integers:
    """Return the probabilities of one row, of any shape, in units of ``2**-out_bits``."""
    x, keep = np.asarray(x, dtype=np.int64), np.asarray(keep, dtype=bool)
    if not keep.any():
        return np.zeros_like(x)
    e = _exponentials(x, keep, int(x[keep].max()), m, sh, exp_bits)
    return _normalised(e, int(e.sum()), out_bits)


def online(
    x: ArrayLike, keep: ArrayLike, m: int, sh: int, exp_bits: int = 12, out_bits: int = 8
) -> Integers:
    """Return the probabilities of one row (beats, lanes), its sum made beat by beat."""
    x, keep = np.asarray(x, dtype=np.int64), np.asarray(keep, dtype=bool)
    if not keep.any():
        return np.zeros_like(x)
    top, total = None, 0
    for beat, there in zip(x, keep, strict=True):
        if not there.any():
            continue
        new = int(beat[there].max()) if top is None else max(top, int(beat[there].max()))
        if top is not None and new != top:
            total = int(rhu(total * int(exp2n((new - top) * m >> sh, 16)), 16))
        total += int(_exponentials(beat, there, new, m, sh, exp_bits).sum())
        top = new
    assert top is not None
    return _normalised(_exponentials(x, keep, top, m, sh, exp_bits), total, out_bits)


def _exponentials(x: Integers, keep: Keep, top: int, m: int, sh: int, exp_bits: int) -> Integers:
    d = (top - np.where(keep, x, top)) * m >> sh
    return np.where(keep, np.minimum(exp2n(d, exp_bits), (1 << exp_bits) - 1), 0)


def _normalised(e: Integers, total: int, out_bits: int) -> Integers:
    k, y = recip(total)
    return np.minimum(rhu(e * y, 30 + k - out_bits), (1 << out_bits) - 1)


def _ours(of: Callable[..., Integers]) -> Row:
    def row(
        parameters: Mapping[str, Any], x: Integers, keep: Keep, m: int, sh: int
    ) -> dict[str, Integers]:
        bits = int(parameters["exp_bits"]), int(parameters["out_bits"])
        return {"p": of(x, keep, m, sh, *bits)}

    return row


KINDS: dict[str, Row] = {
    "safe": _ours(safe),
    "online": _ours(online),
    "two-pass": two_pass.row,
    "ita": softmax_ita.row,
    "ibert": softmax_ibert.row,
    "ivit": softmax_ivit.row,
    "log2": softmax_log.row,
    "log-sqrt2": softmax_log.row,
    "adalog": softmax_log.row,
}

#: Kinds whose logits have a scale that is chosen when the unit is made.
_FIXED = ("ita", "ibert", "ivit")


def run(parameters: Mapping[str, Any], beats: Mapping[str, Any]) -> dict[str, Integers]:
    """Return what the unit answers to ``beats``, beat by beat.

    ``beats`` holds ``x`` and ``keep`` (n, lanes), ``last`` (n,) and, unless the kind is made for a
    fixed scale, ``m`` and ``sh`` (n,). Results are ``p`` and ``keep`` (n', lanes), ``last``
    and ``err`` (n',), of the logarithmic kinds also ``zero`` (n', lanes) and ``l`` (n',).
    """
    kind, lanes = str(parameters["kind"]), int(parameters["lanes"])
    most = -(-int(parameters["max_len"]) // lanes)
    x = signed(np.asarray(beats["x"]).reshape(-1, lanes), int(parameters["in_bits"]))
    keep = np.asarray(beats["keep"]).reshape(-1, lanes).astype(bool)
    parts: list[dict[str, Any]] = []
    for rows in row_slices(beats["last"]):
        length, m, sh = rows.stop - rows.start, 0, 0
        if kind not in _FIXED:
            m, sh = (int(codes(beats[name][rows.start], n)) for name, n in (("m", 15), ("sh", 6)))
        if length > most:
            parts.append(_too_long(kind, lanes))
            continue
        found = KINDS[kind](parameters, x[rows], keep[rows], m, sh)
        ends = np.arange(length) == length - 1
        parts.append({**found, "keep": keep[rows], "last": ends, "err": np.zeros_like(ends)})
    if not parts:
        parts = [{name: column[:0] for name, column in _too_long(kind, lanes).items()}]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _too_long(kind: str, lanes: int) -> dict[str, Integers]:
    none, nothing = np.zeros((1, lanes), dtype=np.int64), np.zeros(1, dtype=np.int64)
    found = {"p": none, "keep": none.astype(bool), "last": nothing == 0, "err": nothing == 0}
    return found if KINDS[kind] is not softmax_log.row else {**found, "zero": none, "l": nothing}


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, Integers]:
    """Return beats of rows of every kind; see :func:`sim.golden.attention.rows.draw_rows`.

    In turn their logits are all alike, at both ends, one far above the others, ascending, or random
    in a range that is narrow or wide; absent elements have any value, often the largest.
    """
    kind, lanes, bits = (
        str(parameters["kind"]),
        int(parameters["lanes"]),
        int(parameters["in_bits"]),
    )
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    rows = draw_rows(rng, beats, lanes, -(-int(parameters["max_len"]) // lanes))
    x = np.zeros((beats, lanes), dtype=np.int64)
    m, sh = np.zeros(beats, dtype=np.int64), np.zeros(beats, dtype=np.int64)
    for number, part in enumerate(row_slices(rows["last"])):
        x[part] = _logits(rng, x[part].shape, int(rng.integers(8)), low, high)
        span = high - low if rng.random() < 0.5 else int(2 ** rng.uniform(0, bits))
        m[part], sh[part] = _scales(rng, number, span)
        # Only the first beat's count.
        later = slice(part.start + 1, part.stop)
        m[later], sh[later] = rng.integers(0, 1 << 15), rng.integers(0, 64)
    x = np.where(rows["keep"] | (rng.random(x.shape) < 0.3), x, high)
    found = {"x": x, "keep": rows["keep"], "last": rows["last"]}
    return found if kind in _FIXED else {**found, "m": m, "sh": sh}


def _logits(
    rng: np.random.Generator, shape: tuple[int, ...], style: int, low: int, high: int
) -> Integers:
    """Return logits of one of eight styles."""
    if style == 0:
        return np.full(shape, int(rng.integers(low, high + 1)))
    if style == 1:
        return rng.choice(np.array([low, high]), shape)
    if style == 2:
        x = np.full(shape, low)
        x.flat[int(rng.integers(x.size))] = high
        return x
    if style == 3:  # the maximum moves in every beat
        return np.sort(rng.integers(low, high + 1, shape), axis=None).reshape(shape)
    wide = high - low if style < 6 else min(high - low, 1 << int(rng.integers(1, 7)))
    base = int(rng.integers(low, high - wide + 1))
    return rng.integers(base, base + wide + 1, shape)


def _scales(rng: np.random.Generator, number: int, span: int) -> tuple[int, int]:
    """Return M and SH with which a few octaves are ``span`` apart, now and then extreme ones."""
    corners = [(0, 0), (32767, 0), (1, 63), (32767, 63), (16384, 12)]
    if number % 8 == 7:
        return corners[number // 8 % len(corners)]
    octaves = 2 ** rng.uniform(0, 4.5)
    m = int(rng.integers(1 << 14, 1 << 15))
    return m, int(np.clip(round(np.log2(m * max(span, 1) / (octaves * 4096))), 0, 63))

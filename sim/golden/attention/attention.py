# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``attention``: integer attention of one query row, tile by tile.

``fa-int`` keeps the maximum of the scores and rescales by products, ``fa-int-p2`` keeps a power of
two and rescales by shifts. Sums depend on the tile and on the order of the keys.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.attention.rows import codes, draw_rows, row_slices, signed
from sim.golden.attention.tables import exp2n, log2, recip, rhu, saturate

__all__ = [
    "NO_LSE",
    "Partial",
    "attend",
    "attend_qkv",
    "lse",
    "max_beats",
    "normalised",
    "run",
    "score_octaves",
    "vectors",
]

Integers = NDArray[Any]

LSE_BITS = 18
NO_LSE = -1 << LSE_BITS - 1  #: Of a row without a key.


class Partial(NamedTuple):
    """State of query rows: ``m`` and ``l`` (rows,), ``o`` (rows, channels); all 0 without a key."""

    m: Integers
    l: Integers  # noqa: E741
    o: Integers


def attend(
    x: ArrayLike,
    v: ArrayLike,
    m: ArrayLike,
    sh: ArrayLike,
    *,
    keep: ArrayLike | None = None,
    tile: int = 16,
    exp_bits: int = 12,
    kind: str = "fa-int",
) -> Partial:
    """Return the sums of query rows over their keys.

    ``x`` (rows, keys) are scores, ``v`` (keys, channels) the values, ``keep`` (rows, keys) says
    which keys each row sees. ``m`` and ``sh`` are numbers, of ``fa-int-p2`` also arrays of one for
    each tile. Keys are taken in order, the last tile may be short.
    """
    x, v = np.asarray(x, dtype=np.int64), np.asarray(v, dtype=np.int64)
    rows, keys = x.shape
    there = np.ones(x.shape, dtype=bool) if keep is None else np.asarray(keep, dtype=bool)
    tiles = -(-keys // tile)
    scales = np.broadcast_to(m, tiles).tolist(), np.broadcast_to(sh, tiles).tolist()
    p2 = kind == "fa-int-p2"
    top, total = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
    out = np.zeros((rows, v.shape[1]), dtype=np.int64)
    begun = np.zeros(rows, dtype=bool)
    for index, (m_here, sh_here) in enumerate(zip(*scales, strict=True)):
        part = slice(index * tile, min((index + 1) * tile, keys))
        kept = there[:, part]
        some = kept.any(axis=1)
        scores = x[:, part] * m_here >> sh_here if p2 else x[:, part]
        highest = np.where(kept, scores, np.iinfo(np.int64).min).max(axis=1)
        if p2:
            highest = -(-highest >> 12)
        new = np.where(some, np.where(begun, np.maximum(top, highest), highest), top)
        moved = np.where(begun, new - top, 0)
        (far,) = np.nonzero(moved)
        if p2:
            out[far] = rhu(out[far], moved[far, np.newaxis])
            total[far] = rhu(total[far], moved[far])
            d = (new << 12)[:, np.newaxis] - scores
        else:
            a = exp2n(moved[far] * m_here >> sh_here, 16)
            out[far], total[far] = rhu(out[far] * a[:, np.newaxis], 16), rhu(total[far] * a, 16)
            d = (new[:, np.newaxis] - scores) * m_here >> sh_here
        e = np.minimum(exp2n(np.where(kept, d, 0), exp_bits), (1 << exp_bits) - 1)
        e = np.where(kept, e, 0)
        out += _product(e, v[part])
        total += e.sum(axis=1)
        top, begun = new, begun | some
    return Partial(top, total, out)


def attend_qkv(q: ArrayLike, k: ArrayLike, v: ArrayLike, m: int, sh: int, **how: Any) -> Partial:
    """Return :func:`attend` of queries (rows, d) and keys (keys, d)."""
    return attend(_product(np.asarray(q), np.asarray(k).T), v, m, sh, **how)


def _product(a: Integers, b: Integers) -> Integers:
    """Return a matrix product of integers; float64, which is far faster, is exact below 2**53."""
    return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)


def normalised(total: ArrayLike, out: ArrayLike, mo: ArrayLike, so: ArrayLike) -> Integers:
    """Return the rows ``out / total * mo / 2**so`` as int8, zeros where ``total`` is 0."""
    total, out = np.asarray(total), np.asarray(out)
    k, y = recip(np.where(total > 0, total, 1))
    factor = np.where(total > 0, y.astype(object) * mo, 0)
    wide = rhu(out.astype(object) * factor[..., np.newaxis], (30 + k + so)[..., np.newaxis])
    return saturate(wide, 8).astype(np.int64)


def lse(top: ArrayLike, total: ArrayLike, one: int) -> Integers:
    """Return log2 of the sum of exponentials, 8 fraction bits, 18 bits.

    ``top`` is the exponent of the largest, 16 fraction bits, ``total`` their sum with ``one`` bits.
    """
    total = np.asarray(total)
    wide = rhu(np.asarray(top) + log2(np.where(total > 0, total, 1)) - (one << 16), 8)
    return np.where(total > 0, saturate(wide, LSE_BITS), NO_LSE)


def score_octaves(kind: str, top: ArrayLike, m: ArrayLike, sh: ArrayLike) -> Integers:
    """Return what ``m`` of a :class:`Partial` is worth, in octaves with 16 fraction bits."""
    top = np.asarray(top)
    found: Integers = top << 16 if kind == "fa-int-p2" else top * m >> np.asarray(sh) << 4
    return found


def max_beats(parameters: Mapping[str, Any]) -> int:
    """Return the tiles of the longest row."""
    return -(-int(parameters["max_len"]) // int(parameters["tile"]))


def run(parameters: Mapping[str, Any], beats: Mapping[str, Any]) -> dict[str, Integers]:
    """Return one result for each row of ``beats``.

    ``beats`` holds ``q`` (n, head_dim), ``k`` (n, tile * head_dim), ``v`` (n, tile * value_dim),
    ``keep`` (n, tile), ``last``, ``m``, ``sh`` and, for rows, ``mo``, ``so`` (n,). Results are
    ``o`` (rows, value_dim), ``err`` (rows,) and ``lse`` or ``m`` and ``l`` (rows,).
    """
    kind, tile, bits = str(parameters["kind"]), int(parameters["tile"]), int(parameters["qk_bits"])
    eb, width = int(parameters["exp_bits"]), int(parameters["value_dim"])
    count = len(np.asarray(beats["last"]))
    q = signed(beats["q"], bits).reshape(count, -1)
    k = signed(beats["k"], bits).reshape(count, tile, q.shape[1])
    v = signed(beats["v"], 8).reshape(count, tile, width)
    keep = np.asarray(beats["keep"]).reshape(count, tile).astype(bool)
    fields = {n: codes(beats[n], w) for n, w in _SCALES.items() if n in beats}
    found = []
    for rows in row_slices(beats["last"]):
        first, long = rows.start, rows.stop - rows.start > max_beats(parameters)
        x = (k[rows] @ q[first]).reshape(1, -1)
        scales = fields["m"][rows], fields["sh"][rows]
        if kind == "fa-int":
            scales = scales[0][0], scales[1][0]
        there = keep[rows].reshape(1, -1) & (not long)
        how: dict[str, Any] = {"keep": there, "tile": tile, "exp_bits": eb, "kind": kind}
        part = attend(x, v[rows].reshape(-1, width), *scales, **how)
        row: dict[str, Any] = {"err": [long]}
        if parameters["result"] == "partial":
            row |= {"m": part.m, "l": part.l, "o": part.o}
        else:
            octaves = score_octaves(kind, part.m, fields["m"][first], fields["sh"][first])
            row["o"] = normalised(part.l, part.o, fields["mo"][first], fields["so"][first])
            row["lse"] = lse(octaves, part.l, eb)
        found.append(row)
    return {name: np.concatenate([row[name] for row in found]) for name in found[0]}


_SCALES = {"m": 15, "sh": 6, "mo": 15, "so": 6}


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, Integers]:
    """Return beats of rows of every kind; see :func:`sim.golden.attention.rows.draw_rows`.

    In turn scores ascend from tile to tile, so that the maximum moves in each, are all alike, are
    the extremes of their width, or random; in some rows every octave counts, in others few do.
    """
    tile, bits = int(parameters["tile"]), int(parameters["qk_bits"])
    d, width = int(parameters["head_dim"]), int(parameters["value_dim"])
    rows = draw_rows(rng, beats, tile, max_beats(parameters))
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    q = rng.integers(low, high + 1, (beats, d))
    k = rng.integers(low, high + 1, (beats, tile, d))
    v = rng.integers(-128, 128, (beats, tile, width))
    found = {name: rng.integers(0, 1 << n, beats) for name, n in _SCALES.items()}
    for number, part in enumerate(row_slices(rows["last"])):
        first, length = part.start, part.stop - part.start
        style = number % 5
        if style == 0:  # of the same sign as the query, more and more
            grow = np.linspace(-1, 1, length * tile).reshape(length, tile, 1)
            k[part] = np.rint(grow * high * np.sign(q[first]))
        elif style == 1:
            k[part] = k[first, 0]
        elif style == 2:
            q[first] = low
            k[part] = rng.choice(np.array([low, high]), (length, tile, 1))
        if style < 2 and number % 2:
            v[part] = rng.choice(np.array([-128, 127]), (length, 1, width))
        spread = float(np.ptp(k[part] @ q[first]))
        octaves = 2 ** rng.uniform(0, 5)
        scale = rng.integers(1 << 14, 1 << 15)
        shift = int(np.clip(np.log2(scale * max(spread, 1) / octaves) - 12, 0, 40))
        per_beat = parameters["kind"] == "fa-int-p2" and number % 2 == 1
        found["m"][part if per_beat else first] = (
            rng.integers(1 << 14, 1 << 15, length) if per_beat else scale
        )
        found["sh"][part if per_beat else first] = shift
        # Values of about their own size, or smaller and larger ones, which saturate.
        found["mo"][first], found["so"][first] = (
            rng.integers(1 << 13, 1 << 15),
            rng.integers(12, 16),
        )
        if number % 16 == 15:
            found["m"][part], found["sh"][part] = [(0, 0), (32767, 0), (32767, 63)][
                number // 16 % 3
            ]
    order = {"q": q, "k": k.reshape(beats, -1), "v": v.reshape(beats, -1), **rows}
    scales = ("m", "sh", "mo", "so") if parameters["result"] == "row" else ("m", "sh")
    return {**order, **{name: found[name] for name in scales}}

# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``merge``: partial attention over several sets of keys to one row.

Partials come as un-normalised sums (``partial``) or as rows of 16 bits with their logarithm of the
sum (``lse``). They are added from left to right, and the order counts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.golden.attention.attention import (
    LSE_BITS,
    NO_LSE,
    lse,
    normalised,
    score_octaves,
)
from sim.golden.attention.rows import codes, row_slices, signed
from sim.golden.attention.tables import exp2n, rhu

__all__ = ["merge_lse", "merge_partials", "run", "vectors"]

Integers = NDArray[Any]

#: Exponent, sum and channels of a row, or None without a key.
State = tuple[int, int, Integers] | None


def merge_partials(
    kind: str, parts: Sequence[tuple[int, int, Integers]], m: int = 0, sh: int = 0
) -> State:
    """Return the sum of partials (m, l, o), of which any may be empty (l = 0)."""
    state: State = None
    for top, total, out in parts:
        if not total:
            continue
        if state is None:
            state = top, total, out
            continue
        new = max(state[0], top)
        sums = [
            _rescaled(kind, np.append(o, n), new - t, m, sh)
            for t, n, o in (state, (top, total, out))
        ]
        both = sums[0] + sums[1]
        state = new, int(both[-1]), both[:-1]
    return state


def _rescaled(kind: str, sums: Integers, moved: int, m: int, sh: int) -> Integers:
    if kind == "fa-int-p2":
        return rhu(sums, min(moved, 127))  # by then nothing is left
    return rhu(sums * int(exp2n(moved * m >> sh, 16) if moved else 1 << 16), 16)


def merge_lse(parts: Sequence[tuple[int, Integers]]) -> State:
    """Return the weighted sum of rows (lse, o): its lse, the sum of weights, the channels."""
    state: State = None
    for level, out in parts:
        if level == NO_LSE:
            continue
        if state is None:
            state = level, 1 << 16, out << 16
            continue
        new = max(state[0], level)
        a, b = (int(exp2n(new - old << 4, 16)) for old in (state[0], level))
        state = new, int(rhu(state[1] * a, 16)) + b, rhu(state[2] * a, 16) + out * b
    return state


def run(parameters: Mapping[str, Any], beats: Mapping[str, Any]) -> dict[str, Integers]:
    """Return ``o`` (rows, value_dim), ``lse`` and ``err`` (rows,).

    ``beats`` holds ``last``, ``mo``, ``so`` (n,) and ``o`` (n, value_dim) with ``m``, ``l`` and, of
    ``fa-int``, ``scale`` and ``sh`` (n,), or with ``lse`` (n,).
    """
    of_sums, kind = parameters["form"] == "partial", str(parameters["kind"])
    width = int(parameters["value_dim"])
    rows, levels, errors = [], [], []
    for part in row_slices(beats["last"]):
        first, long = part.start, part.stop - part.start > int(parameters["max_parts"])
        mo, so = (int(codes(beats[name][first], n)) for name, n in (("mo", 15), ("so", 6)))
        at = range(0) if long else range(part.start, part.stop)
        out = {k: np.array(beats["o"][k], dtype=object).reshape(width) for k in at}
        if of_sums:
            scaled = kind == "fa-int"
            m = int(codes(beats["scale"][first], 15)) if scaled else 0
            sh = int(codes(beats["sh"][first], 6)) if scaled else 0
            sums = [(int(beats["m"][k]), int(beats["l"][k]), out[k]) for k in at]
            state, one = merge_partials(kind, sums, m, sh), int(parameters["exp_bits"])
            octaves = int(score_octaves(kind, state[0], m, sh)) if state else 0
        else:
            parts = [(int(signed(beats["lse"][k], LSE_BITS)), out[k]) for k in at]
            state, one = merge_lse(parts), 16
            octaves = state[0] << 8 if state else 0
        _, total, channels = state or (0, 0, np.zeros(width, dtype=np.int64))
        rows.append(normalised(total, channels, mo, so))
        levels.append(int(lse(octaves, total, one)))
        errors.append(long)
    return {
        "o": np.array(rows).reshape(-1, width),
        "lse": np.array(levels),
        "err": np.array(errors, dtype=bool),
    }


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, Integers]:
    """Return partials: rows of one, of as many as there may be and of one more, empty ones between.

    Their maxima are alike, a few octaves apart or very far apart; sums are of all sizes.
    """
    most, width = int(parameters["max_parts"]), int(parameters["value_dim"])
    last = np.zeros(beats, dtype=bool)
    begin = number = 0
    while begin < beats:
        choice = (1, most, most + 1, 2)[number % 8] if number % 8 < 4 else 0
        begin += (
            choice if 0 < choice <= max(8, beats // 8) else int(rng.integers(1, min(most, 8) + 1))
        )
        last[min(begin, beats) - 1] = True
        number += 1
    row = np.cumsum(last) - last
    found: dict[str, Integers] = {"last": last}
    spread = 2.0 ** rng.uniform(0, 8, row[-1] + 1)  # octaves between partials of a row
    apart = rng.uniform(-1, 1, beats) * np.where(rng.random(beats) < 0.2, 0, spread[row])
    if parameters["form"] == "partial":
        found |= _sums(parameters, rng, row, apart, width)
    else:
        level = np.clip(np.rint(apart * 256), NO_LSE + 1, -NO_LSE - 1).astype(np.int64)
        level[rng.random(beats) < 0.1] = -NO_LSE - 1
        found["lse"] = np.where(rng.random(beats) < 0.15, NO_LSE, level)
        wide = rng.integers(-1 << 15, 1 << 15, (beats, width))
        found["o"] = wide >> rng.integers(0, 12, (beats, 1))
    found["mo"] = rng.integers(1 << 13, 1 << 15, beats)
    found["so"] = rng.integers(12, 16, beats) + (8 if parameters["form"] == "lse" else 0)
    return found


def _sums(
    parameters: Mapping[str, Any], rng: np.random.Generator, row: Integers,
    apart: NDArray[np.float64], width: int,
) -> dict[str, Integers]:  # fmt: skip
    """Return ``m``, ``l`` and ``o`` as attention may give them, and the scales."""
    beats, eb = len(row), int(parameters["exp_bits"])
    tiles = -(-int(parameters["max_len"]) // int(parameters["tile"]))
    largest = tiles * int(parameters["tile"]) * ((1 << eb) - 1)
    low = 1 << eb - 1
    total = np.exp2(rng.uniform(np.log2(low), np.log2(largest), beats)).astype(np.int64)
    total[rng.random(beats) < 0.1] = largest
    total[rng.random(beats) < 0.15] = 0
    share = rng.uniform(-1, 1, (beats, width))
    share[rng.random(beats) < 0.2] = -1
    found: dict[str, Integers] = {"l": total}
    found["o"] = np.rint(share * 128 * total[:, np.newaxis]).astype(np.int64)
    if parameters["kind"] == "fa-int-p2":
        reach = 1 << _score_bits(parameters) + 2
        found["m"] = np.clip(np.rint(apart), -reach, reach - 1).astype(np.int64)
        return found
    scale, sh = rng.integers(1 << 14, 1 << 15, beats), rng.integers(0, 20, beats)
    first = np.searchsorted(row, row)
    limit = 1 << _score_bits(parameters) - 1
    steps = apart * 4096 * np.exp2(sh[first]) / scale[first]
    found["m"] = np.clip(np.rint(steps), -limit, limit - 1).astype(np.int64)
    return {**found, "scale": scale, "sh": sh}


def _score_bits(parameters: Mapping[str, Any]) -> int:
    """Return the width of a score."""
    return (int(parameters["head_dim"]) << 2 * int(parameters["qk_bits"]) - 2).bit_length() + 1

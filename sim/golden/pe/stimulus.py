# SPDX-License-Identifier: Apache-2.0
"""Stimulus of the unit ``pe``: directed corners, then random dot products."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.golden.pe.operands import Operand, operands

__all__ = ["vectors"]

Codes = NDArray[np.int64]

#: Corners try at most so many non-finite codes of an operand, in so many lanes.
_SPECIALS, _SPECIAL_LANES = 8, 8


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, NDArray[Any]]:
    """Return ``beats`` beats of legal codes for :func:`sim.golden.pe.pe.run`.

    ``a`` and ``w`` have shape (beats, lanes), ``w`` with the codes of all ``columns`` one after the
    other, for which the weights rotate through the beats. ``last`` (core ``stream``) and ``clr``
    (core ``accumulate``), of shape (beats,), delimit the dot products; the final beat has ``last``.

    First the corners, as far as there is room: every pair of extreme values, the non-finite codes,
    and the largest positive and negative sums (over ``max_k`` products, or a quarter of the
    beats). Then random dot products, half of them without non-finite codes, most of them short.
    None has more than ``max_k`` products.
    """
    weight, act = operands(parameters)
    lanes = int(parameters["lanes"])
    longest = max(1, int(parameters["max_k"]) // lanes)
    parts = [*_extreme_pairs(weight, act, lanes), *_special_pairs(weight, act, lanes, rng)]
    parts += _largest_sums(weight, act, lanes, max(1, min(longest, beats // 4)))
    missing = beats - sum(len(a) for a, _ in parts)
    a, w = (np.concatenate(codes)[:beats] for codes in zip(*parts, strict=True))
    last = np.concatenate([np.arange(len(a), 0, -1) == 1 for a, _ in parts])[:beats]
    if missing > 0:
        more_a, more_w, more_last = _random(weight, act, lanes, longest, missing, rng)
        a, w = np.concatenate([a, more_a]), np.concatenate([w, more_w])
        last = np.concatenate([last, more_last])
    last[-1:] = True
    columns = int(parameters.get("columns") or 1)
    if columns > 1:
        w = np.concatenate([np.roll(w, -column, axis=0) for column in range(columns)], axis=1)
    core = parameters.get("core") or "stream"
    marks = {"stream": {"last": last}, "accumulate": {"clr": np.append(True, last[:-1])}}
    return {"a": a, "w": w, **marks.get(core, {})}


def _extreme_pairs(weight: Operand, act: Operand, lanes: int) -> list[tuple[Codes, Codes]]:
    return [
        (np.full((1, lanes), a), np.full((1, lanes), w))
        for a in _extremes(act)
        for w in _extremes(weight)
    ]


def _special_pairs(
    weight: Operand, act: Operand, lanes: int, rng: np.random.Generator
) -> list[tuple[Codes, Codes]]:
    """One beat for each non-finite code in each lane, among ordinary codes."""
    pairs = []
    for lane in range(min(lanes, _SPECIAL_LANES)):
        for operand in (act, weight):
            special = operand.codes[operand.decode(operand.codes)[1]]
            for code in special[:: -(-len(special) // _SPECIALS) or 1]:
                a = rng.choice(_ordinary(act), (1, lanes))
                w = rng.choice(_ordinary(weight), (1, lanes))
                (a if operand is act else w)[0, lane] = code
                pairs.append((a, w))
    return pairs


def _largest_sums(
    weight: Operand, act: Operand, lanes: int, beats: int
) -> list[tuple[Codes, Codes]]:
    """Equal beats of the largest positive and of the largest negative product."""
    codes_a, codes_w = _extremes(act), _extremes(weight)
    # In double precision, which tells the signs and magnitudes of such products apart.
    a = act.decode(codes_a)[0].astype(np.float64)
    products = np.outer(a, weight.decode(codes_w)[0].astype(np.float64))
    pairs = []
    for flat in (products.argmax(), products.argmin()):
        i, j = np.unravel_index(flat, products.shape)
        pairs.append((np.full((beats, lanes), codes_a[i]), np.full((beats, lanes), codes_w[j])))
    return pairs


def _random(
    weight: Operand, act: Operand, lanes: int, longest: int, beats: int, rng: np.random.Generator
) -> tuple[Codes, Codes, NDArray[np.bool_]]:
    lengths = np.minimum(rng.geometric(1 / min(8, longest), beats), longest)
    lengths[rng.random(beats) < 1 / 32] = longest
    last = np.zeros(beats, dtype=bool)
    ends = np.cumsum(lengths) - 1
    last[ends[ends < beats]] = True
    clean = np.repeat(rng.random(beats) < 0.5, lengths)[:beats, None]
    drawn = []
    for operand in (act, weight):
        ordinary = _ordinary(operand)
        good = rng.choice(ordinary, (beats, lanes))
        codes = np.where(rng.random(good.shape) < 0.75, good, rng.choice(operand.codes, good.shape))
        drawn.append(np.where(clean & operand.decode(codes)[1], good, codes))
    return drawn[0], drawn[1], last


def _ordinary(operand: Operand) -> Codes:
    """Codes that contribute something: finite and not 0."""
    ints, nan = operand.decode(operand.codes)
    useful = operand.codes[~nan & (ints != 0)]
    return useful if len(useful) else operand.codes


def _extremes(operand: Operand) -> Codes:
    """Codes of the greatest, the least and the two smallest non-zero values, and all zeros."""
    ints, nan = operand.decode(operand.codes)
    codes, ints = operand.codes[~nan], ints[~nan]
    order = np.argsort(ints, kind="stable")
    chosen = [codes[order[-1]], codes[order[0]]]
    for side in (ints > 0, ints < 0):
        if side.any():
            chosen.append(codes[side][np.argmin(np.abs(ints[side]))])
    return np.unique(np.concatenate([chosen, codes[ints == 0][:2]]))

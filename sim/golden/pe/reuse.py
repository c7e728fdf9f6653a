# SPDX-License-Identifier: Apache-2.0
"""Golden model of ``pe --arch reuse``: products of one activation, multiplied once per magnitude.

The sums are those of the plain unit. Besides, the number of real multiplications is told: a beat
needs one for each distinct magnitude, other than 0, among its weights; the sign is folded.
Source: AxLLM (2025), sheet B.9.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import IntFormat, parse
from sim.golden.formats import decode
from sim.golden.pe import pe
from sim.golden.pe.framing import totals
from sim.golden.pe.stimulus import vectors as plain_vectors

__all__ = ["multiplications", "run", "vectors"]


def multiplications(name: str, codes: ArrayLike) -> NDArray[np.int64]:
    """Return how many distinct magnitudes other than 0 the last axis of weight codes holds.

    Raises ``ValueError`` unless ``name`` is an integer format of at most 8 bits.
    """
    fmt = parse(name)
    if not isinstance(fmt, IntFormat) or fmt.bits > 8:
        raise ValueError(f"format must be an integer of at most 8 bits, not {name!r}")
    magnitude = np.sort(np.abs(decode(fmt, codes)[0]), axis=-1)
    first = np.diff(magnitude, axis=-1, prepend=0) > 0
    return np.count_nonzero(first, axis=-1)


def run(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    """Return ``acc``, as the plain unit with ``columns``, and ``mults`` of shape (m,).

    ``beats`` holds ``a``, one code a beat, ``w`` of shape (n, columns), and ``last``.
    """
    found = pe.run(parameters, beats)
    counts = multiplications(parameters["format"], beats["w"])
    return {**found, "mults": totals(parameters, beats, counts)}


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, NDArray[Any]]:
    """Return ``beats`` beats for :func:`run`: those of the plain unit, half of them with weights
    that repeat, and first beats of equal magnitudes, of opposite signs, of zeros and of all
    different weights."""
    fmt, columns = parse(parameters["format"]), int(parameters.get("columns") or 1)
    v = plain_vectors(parameters, rng, beats)
    few = rng.integers(0, columns, (beats, columns)) // 2
    repeat = rng.random(beats) < 0.5
    w = np.where(repeat[:, None], np.take_along_axis(v["w"], few, axis=1), v["w"])
    codes = fmt.illegal.start if len(fmt.illegal) else 1 << fmt.bits
    ones = np.ones(columns, dtype=np.int64)
    signs = np.where(np.arange(columns) % 2, -1 % codes, 1)
    corners = [0 * ones, ones, signs, np.arange(columns) % codes, 0 * ones]
    corners += [ones * (codes // 2), ones * (codes - 1)]
    for row, corner in enumerate(corners[:beats]):
        w[row] = corner
    return {**v, "w": w}

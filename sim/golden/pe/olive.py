# SPDX-License-Identifier: Apache-2.0
"""Golden model of ``pe --arch olive``: dot products of outlier-victim pairs.

Two neighbouring elements are a pair. Where one of its codes is the mark 10...0, that element is 0
and the other one is an outlier, an *abfloat* ``s.e.m`` worth ``(2**y + m) << (e + bias)`` of which
``e = m = 0`` is 0; otherwise both are ordinary codes of the format. A pair of two marks is 0, 0.
Source: OliVe (2023), sheet A.13.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import parse
from sim.golden.formats import check_codes, decode
from sim.golden.pe.framing import frames, totals

__all__ = ["acc_bits", "decode_pairs", "run", "vectors"]

#: Format -> (mantissa bits, bias, largest magnitude) of its abfloat.
_ABFLOAT = {"int4": (1, 2, 96), "flint4": (1, 3, 192), "int8": (3, 4, 1 << 15)}


def decode_pairs(name: str, codes: ArrayLike) -> NDArray[np.int64]:
    """Return the integers of ``codes``, int64 of the same shape.

    The last axis holds elements, so its length is even. Raises ``ValueError`` on an odd length, on
    codes out of range and on a format that has no outliers.
    """
    if name not in _ABFLOAT:
        raise ValueError(f"format must be one of {', '.join(_ABFLOAT)}, not {name!r}")
    fmt = parse(name)
    index = check_codes(fmt, codes)
    if index.shape[-1] % 2:
        raise ValueError(f"elements must come in pairs, not {index.shape[-1]}")
    pairs = index.reshape(*index.shape[:-1], -1, 2)
    marked = pairs == 1 << fmt.bits - 1
    values = np.where(marked[..., ::-1], _outliers(name)[pairs], decode(fmt, pairs)[0])
    return np.where(marked, 0, values).reshape(index.shape)


def _outliers(name: str) -> NDArray[np.int64]:
    """Return what every code is worth as an outlier."""
    fmt, (man_bits, bias, limit) = parse(name), _ABFLOAT[name]
    codes = np.arange(1 << fmt.bits, dtype=np.int64)
    magnitude = codes & (1 << fmt.bits - 1) - 1
    man, exp = magnitude & (1 << man_bits) - 1, magnitude >> man_bits
    worth = np.minimum((man + (1 << man_bits)) << exp + bias, limit)
    return np.where(magnitude == 0, 0, np.where(codes >> fmt.bits - 1 == 1, -worth, worth))


def acc_bits(parameters: Mapping[str, Any]) -> int:
    """Return the bits with which no sum of ``max_k`` elements overflows.

    A pair gives most where both its outliers meet: one product of the largest magnitudes.
    """
    core, lanes = parameters.get("core"), int(parameters["lanes"])
    pairs = -(-(lanes if core == "dot" else int(parameters["max_k"])) // 2)
    return 1 + (pairs * _ABFLOAT[parameters["format"]][2] ** 2).bit_length()


def run(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    """Return ``acc`` (``p`` for core ``dot``), Python integers of shape (m,).

    ``beats`` holds ``a`` and ``w``, codes of shape (n, lanes), and ``last`` or ``clr`` as the core
    has it. Raises ``ValueError`` as :func:`decode_pairs`, and where weights and activations differ
    in format.
    """
    name = parameters["format"]
    if parameters["act"] != name:
        raise ValueError(f"act must be {name!r} as format is, not {parameters['act']!r}")
    a, w = (decode_pairs(name, np.asarray(beats[side])) for side in ("a", "w"))
    sums = totals(parameters, beats, (a * w).astype(object).sum(axis=1))
    return {"p" if parameters.get("core") == "dot" else "acc": sums}


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, NDArray[Any]]:
    """Return ``beats`` beats for :func:`run`: pairs of every kind in all combinations, the largest
    sum of either sign, then random pairs, a quarter of them with marks."""
    bits, lanes = parse(parameters["format"]).bits, int(parameters["lanes"])
    mark, largest = 1 << bits - 1, (1 << bits - 1) - 1
    kinds = [(0, 0), (0, 1), (1, largest), (mark + 1, 2), (largest, mark), (mark, 2 * mark - 1)]
    kinds += [(mark, 0), (0, mark), (mark, mark), (1, mark), (mark, mark + 1)]
    corners = [(x, y) for x in kinds for y in kinds]
    longest = max(1, int(parameters["max_k"]) // lanes)
    full = min(longest, max(1, beats // 8))
    extremes = [((largest, mark), pair) for pair in ((largest, mark), (2 * mark - 1, mark))]
    n = len(corners)
    size = (max(beats, n + 2 * full), lanes)
    drawn = {}
    for side, name in enumerate("aw"):
        codes = rng.integers(0, 1 << bits, size)
        marked = rng.random((size[0], lanes // 2)) < 0.25
        left = rng.random(marked.shape) < 0.5
        codes[:, 0::2][marked & left] = mark
        codes[:, 1::2][marked & ~left] = mark
        codes[:n] = np.tile([pair[side] for pair in corners], lanes // 2)
        for number, pair in enumerate(extremes):
            begin = n + number * full
            codes[begin : begin + full] = np.tile(pair[side], lanes // 2)
        drawn[name] = codes[:beats]
    return {**drawn, **frames(parameters, rng, beats, [1] * n + [full] * 2, longest)}

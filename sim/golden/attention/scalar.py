# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``scalar``: one function of every lane, by table and interpolation."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.golden.attention import tables

__all__ = ["run", "vectors"]

Integers = NDArray[Any]


def run(parameters: Mapping[str, Any], beats: Mapping[str, Any]) -> dict[str, Integers]:
    """Return ``y`` (n, lanes), of ``recip`` and ``rsqrt`` also ``k``, for ``x`` (n, lanes).

    ``x`` may be given as numbers or as codes of ``in_bits`` bits.
    """
    bits, index_bits = int(parameters["in_bits"]), int(parameters["index_bits"])
    given = np.asarray(beats["x"], dtype=object)
    codes = given.reshape(len(given), -1) & (1 << bits) - 1
    x = codes.astype(np.uint64)
    function = parameters["function"]
    if function == "exp2n":
        found = tables.exp2n(x.astype(np.int64), int(parameters["out_bits"]), index_bits)
        return {"y": found}
    if function == "sigmoid":
        signed = (x.astype(np.int64) ^ 1 << bits - 1) - (1 << bits - 1)
        return {"y": tables.sigmoid(signed, index_bits)}
    some = np.where(x > 0, x, np.uint64(1))
    if function == "log2":
        return {"y": np.where(x > 0, tables.log2(some, index_bits), 0)}
    newton = bool(parameters["newton"])
    of = tables.recip if function == "recip" else tables.rsqrt
    k, y = of(some, index_bits, newton)
    return {"y": np.where(x > 0, y, 0), "k": np.where(x > 0, k, 0)}


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, Integers]:
    """Return ``x``: corners and powers of two with their neighbours, then numbers of any length."""
    bits, lanes = int(parameters["in_bits"]), int(parameters["lanes"])
    near = [(1 << k) + step for k in range(bits + 1) for step in (-1, 0, 1)]
    if parameters["function"] == "exp2n":  # where a segment, an octave and the output end
        near += [place + step for place in (64, 4096, 24 << 12, 40 << 12, 63 << 12)
                 for step in (-1, 0, 1)]  # fmt: skip
    near = [code for code in near if 0 <= code < 1 << bits]
    long = [int(rng.integers(0, bits + 1)) for _ in range(beats * lanes)]
    codes = [int(rng.integers(0, 1 << 62)) << 2 | int(rng.integers(0, 4)) for _ in long]
    codes = [code & (1 << size) - 1 for code, size in zip(codes, long, strict=True)]
    codes[: len(near)] = near[: len(codes)]
    return {"x": np.array(codes, dtype=object).reshape(beats, lanes)}

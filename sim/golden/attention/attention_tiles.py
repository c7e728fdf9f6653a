# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``attention-tiles``: tiles that a query sees, keys in them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.golden.attention.attention import max_beats
from sim.golden.attention.rows import codes

__all__ = ["run", "vectors", "visible"]

Integers = NDArray[Any]

_SIZES = ("query", "length", "window", "sink")


def visible(
    keys: int,
    query: int,
    length: int,
    *,
    causal: bool = False,
    window: int = 0,
    sink: int = 0,
    page: int | None = None,
    bitmap: int = 0,
) -> NDArray[np.bool_]:
    """Return which of the first ``keys`` keys a query sees. A ``window`` of 0 is none."""
    j = np.arange(keys)
    seen = j < length
    if causal:
        seen &= j <= query
    if window:
        seen &= (j < sink) | (j + window > query)
    if page:
        seen &= np.array([bitmap >> int(bit) & 1 for bit in j // page], dtype=bool)
    return seen


def run(parameters: Mapping[str, Any], beats: Mapping[str, Any]) -> dict[str, Integers]:
    """Return the tiles of each descriptor.

    ``beats`` holds ``head``, ``query``, ``length``, ``causal``, ``window``, ``sink`` and, with
    pages, ``bitmap`` (n,). Results are ``head``, ``tile``, ``first``, ``last``, ``err``
    (n',) and ``keep`` (n', tile).
    """
    tile, longest = int(parameters["tile"]), int(parameters["max_len"])
    page, tiles = parameters["page"], max_beats(parameters)
    found: dict[str, list[Any]] = {
        name: [] for name in ("head", "tile", "keep", "first", "last", "err")
    }
    for index in range(len(np.asarray(beats["head"]))):
        sizes = {name: int(beats[name][index]) for name in _SIZES}
        long = sizes["length"] > longest
        seen = visible(
            tiles * tile,
            sizes.pop("query"),
            0 if long else sizes.pop("length"),
            causal=bool(beats["causal"][index]),
            window=sizes["window"],
            sink=sizes["sink"],
            page=page,
            bitmap=int(beats["bitmap"][index]) if page else 0,
        ).reshape(tiles, tile)
        (those,) = np.nonzero(seen.any(axis=1))
        those = those if len(those) else np.zeros(1, dtype=np.int64)
        ends = np.arange(len(those))
        columns = (
            np.full(len(those), int(codes(beats["head"][index], int(parameters["head_bits"])))),
            those,
            seen[those],
            ends == 0,
            ends == len(those) - 1,
            np.full(len(those), long),
        )
        for name, column in zip(found, columns, strict=True):
            found[name].append(column)
    return {name: np.concatenate(column) for name, column in found.items()}


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, Integers]:
    """Return descriptors: no key, one key, all keys, one too many, then every mix of masks."""
    longest, tile = int(parameters["max_len"]), int(parameters["tile"])
    length = rng.integers(0, longest + 1, beats)
    corners = [0, 1, longest, longest + 1, tile, tile + 1, max(tile - 1, 1)]
    length = np.where(rng.random(beats) < 0.1, np.minimum(length, 2 * tile), length)
    length[: len(corners)] = corners[:beats]
    near = rng.integers(-2, 3, beats)
    query = np.where(rng.random(beats) < 0.5, length - 1 + near, rng.integers(0, longest, beats))
    small = rng.integers(0, 2 * tile + 2, (2, beats))
    wide = rng.integers(0, longest + 1, (2, beats))
    window, sink = np.where(rng.random((2, beats)) < 0.7, small, wide)
    found = {
        "head": rng.integers(0, 1 << int(parameters["head_bits"]), beats),
        "query": np.maximum(query, 0),
        "length": length,
        "causal": rng.integers(0, 2, beats),
        "window": np.where(rng.random(beats) < 0.4, 0, window),
        "sink": sink,
    }
    if parameters["page"]:
        pages = -(-longest // int(parameters["page"]))
        dense = (0.0, 0.1, 0.5, 1.0)
        bits = [rng.random(pages) < dense[k % len(dense)] for k in range(beats)]
        words = [sum(1 << int(bit) for bit in np.flatnonzero(row)) for row in bits]
        found["bitmap"] = np.array(words, dtype=object)
    return found

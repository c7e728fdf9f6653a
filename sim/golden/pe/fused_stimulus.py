# SPDX-License-Identifier: Apache-2.0
"""Stimulus of the architecture ``fused``: extreme words of every width, then random ones."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.spec.formats import parse

__all__ = ["FLOAT_WIDTH", "modes_bits", "port_bits", "vectors"]

FLOAT_WIDTH = 4  #: The value of ``width`` that means fp16.

#: Zeros, subnormals, ones, values whose products are ties in fp32, the largest, infinity, NaNs.
_HALVES = (0, 1, 0x3FF, 0x400, 0x1401, 0x3C00, 0x3C01, 0x3FFF, 0x7BFF, 0x7C00, 0x7C01, 0x7E00)

Array = NDArray[Any]
Segment = tuple[int, Array, Array]  #: Width, words of a and of w, one row for each beat.


def modes_bits(parameters: Mapping[str, Any]) -> tuple[str, int]:
    """Return the mode and the bits N of the widest operands."""
    return str(parameters.get("mode") or "weights"), parse(parameters["format"]).bits


def port_bits(parameters: Mapping[str, Any]) -> tuple[int, int]:
    """Return the bits of a word of ``a`` and of ``w``."""
    mode, bits = modes_bits(parameters)
    return (32, 8) if mode == "weights" else (bits * bits // 2,) * 2


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, Array]:
    """Return ``beats`` beats for :func:`sim.golden.pe.fused.run`.

    First the largest sums of either sign at every width (over ``max_k // lanes`` beats, or a
    sixteenth of all beats); in mode ``float`` every pair of special values. Then random dot
    products of at most ``max_k // lanes`` beats, most of them short.
    """
    lanes = int(parameters["lanes"])
    longest = max(1, int(parameters["max_k"]) // lanes)
    if parameters.get("core") == "dot":
        longest = 1
    parts: list[Segment] = []
    count = 0
    for part in _segments(parameters, rng, lanes, longest, max(1, min(longest, beats // 16))):
        parts.append(part)
        count += len(part[1])
        if count >= beats:
            break
    a, w = (np.concatenate([part[k] for part in parts])[:beats] for k in (1, 2))
    width = np.concatenate([np.full(len(p[1]), p[0]) for p in parts])[:beats]
    last = np.concatenate([np.arange(len(p[1]), 0, -1) == 1 for p in parts])[:beats]
    last[-1:] = True
    core = parameters.get("core") or "stream"
    marks = {"stream": {"last": last}, "accumulate": {"clr": np.append(True, last[:-1])}}
    return {"a": a, "w": w, "width": width, **marks.get(core, {})}


def _segments(
    parameters: Mapping[str, Any], rng: np.random.Generator, lanes: int, longest: int, deep: int
) -> Iterator[Segment]:
    mode, _ = modes_bits(parameters)
    for width in range(4):
        for negative in (False, True):
            words = _extremes(parameters, width, negative)
            a, w = (_rows(word, deep, lanes) for word in words)
            yield width, a, w
    if mode == "float":
        yield from _special_pairs()
    while True:
        length = int(min(rng.geometric(1 / min(8, longest)), longest))
        length = longest if rng.random() < 1 / 32 else length
        width = int(rng.integers(8))
        if mode == "float" and rng.random() < 0.5:
            near = rng.random() < 0.75
            a, w = (_random_halves(rng, length, near)[:, None] for _ in range(2))
            yield FLOAT_WIDTH, a, w
        else:
            a, w = (_random(rng, length, lanes, bits) for bits in port_bits(parameters))
            yield width, a, w


def _extremes(parameters: Mapping[str, Any], width: int, negative: bool) -> tuple[int, int]:
    """Words full of the least integers, and of these or the greatest."""
    mode, bits = modes_bits(parameters)
    if mode == "weights":
        each_a, each_w = 8, max(2, 8 >> width)
    else:
        each_a = each_w = max(2, bits >> width)
    wide_a, wide_w = port_bits(parameters)
    least = _filled(1 << each_a - 1, each_a, wide_a)
    other = (1 << each_w - 1) - 1 if negative else 1 << each_w - 1
    return least, _filled(other, each_w, wide_w)


def _filled(integer: int, bits: int, word: int) -> int:
    return sum(integer << at for at in range(0, word, bits))


def _rows(word: int, beats: int, lanes: int) -> Array:
    rows = np.empty((beats, lanes), dtype=object)
    rows[:] = word
    return rows


def _special_pairs() -> Iterator[Segment]:
    """Dot products that add each pair of special values to 1, and then take 1 off again."""
    codes = [*_HALVES, *(code | 1 << 15 for code in _HALVES)]
    for x in codes:
        for y in codes[: len(_HALVES)]:
            a = np.array([[0x3C00], [x], [0xBC00]], dtype=object)
            w = np.array([[0x3C00], [y], [0x3C00]], dtype=object)
            yield FLOAT_WIDTH, a, w


def _random(rng: np.random.Generator, beats: int, lanes: int, bits: int) -> Array:
    """Words of random bits, of which some are all 0 or all 1 in stretches."""
    octets = rng.integers(0, 256, (beats, lanes, bits // 8))
    forced = rng.random(octets.shape)
    octets = np.where(forced < 0.1, 0, np.where(forced > 0.9, 255, octets))
    return np.array(
        [[int.from_bytes(bytes(o.tolist()), "little") for o in row] for row in octets], object
    ).reshape(beats, lanes)


def _random_halves(rng: np.random.Generator, beats: int, near: bool) -> Array:
    """Random fp16 codes: of all kinds, or finite ones of 8 neighbouring exponents."""
    codes = rng.integers(0, 1 << 16, beats)
    if near:
        codes = codes & 0x83FF | (rng.integers(0, 8, beats) + rng.integers(0, 23)) << 10
    return np.array([*codes.tolist(), 0], dtype=object)[:-1]

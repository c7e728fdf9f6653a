# SPDX-License-Identifier: Apache-2.0
"""Packets of KVQuant (2024): code books, and outliers that travel beside the codes."""

from collections.abc import Iterator

import numpy as np

from sim.golden.attention import kv_codes
from sim.golden.attention.kv_beats import Answer, Beats, Inputs, Integers, Parameters
from sim.golden.attention.rows import signed

__all__ = ["dequantize", "quantize"]


def _loaded(given: Inputs, part: slice, book: Integers) -> bool:
    """Fill the code book if the packet is one; return whether it is."""
    if not int(given.beats["load"][part.start]):
        return False
    entries = given.flat("t", 16, True)[part][: len(book)]
    book[: len(entries)] = entries
    return True


def quantize(parameters: Parameters, beats: Beats) -> Iterator[Answer]:
    """Yield the answers to the packets."""
    given = Inputs(parameters, beats)
    book = np.zeros(1 << given.bits, dtype=np.int64)
    x, f, low, high = (given.lanes_of(name, 16) for name in ("x", "f", "lo", "hi"))
    s = given.lanes_of("s", 16, sign=False)
    last = given.flat("last", 1)
    for part in given.packets():
        if _loaded(given, part, book):
            continue
        for beat in range(part.start, part.stop):
            meanings = kv_codes.book_values(book, s[beat], f[beat])
            q = kv_codes.nearest_codes(x[beat], meanings)
            rest = x[beat] - np.take_along_axis(meanings, q[np.newaxis], axis=0)[0]
            out = np.flatnonzero((x[beat] < low[beat]) | (x[beat] > high[beat]))
            n = len(out)
            yield {
                "sparse": np.append(np.ones(n, dtype=np.int64), 0),
                "lane": np.append(out, 0),
                "d": np.append(rest[out], 0),
                "q": np.concatenate([np.zeros((n, given.lanes), dtype=np.int64), q[np.newaxis]]),
                "last": np.append(np.zeros(n, dtype=np.int64), last[beat]),
            }


def dequantize(parameters: Parameters, beats: Beats) -> Iterator[Answer]:
    """Yield the answers to the packets."""
    given = Inputs(parameters, beats)
    book = np.zeros(1 << given.bits, dtype=np.int64)
    f, s = given.lanes_of("f", 16), given.lanes_of("s", 16, sign=False)
    q = given.lanes_of("q", given.bits, sign=False)
    sparse, lane = given.flat("sparse", 1), given.flat("lane", 6)
    d, load, last = given.flat("d", 17, True), given.flat("load", 1), given.flat("last", 1)
    added = np.zeros(given.lanes, dtype=np.int64)
    begin, loads = 0, False
    for beat in range(len(q)):
        if beat == begin:
            loads, place = bool(load[beat]), 0
        if loads:
            if place < len(book):
                book[place] = given.flat("t", 16, True)[beat]
            place += 1
        elif sparse[beat]:
            if lane[beat] < given.lanes:
                added[lane[beat]] = signed(added[lane[beat]] + d[beat], 24)
            continue
        else:
            meanings = kv_codes.book_values(book, s[beat], f[beat])
            value = np.take_along_axis(meanings, q[beat][np.newaxis], axis=0) + added
            added[:] = 0
            yield {"x": np.clip(value, -1 << 15, (1 << 15) - 1), "last": last[beat : beat + 1]}
        if last[beat]:
            begin = beat + 1

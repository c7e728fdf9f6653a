# SPDX-License-Identifier: Apache-2.0
"""Stimulus for the unit ``kv-cache``."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.golden.attention.kv_beats import Parameters
from sim.golden.attention.rows import draw_rows, row_slices

__all__ = ["kind_of", "vectors"]

Integers = NDArray[Any]
Stimulus = dict[str, Integers]


def kind_of(parameters: Parameters) -> str:
    """Return which of the unit's streams the parameters name."""
    op = str(parameters["op"])
    if op == "dot":
        return f"dot-{parameters['axis']}"
    return op if op in ("ring", "window") else f"{op}-{parameters['scheme']}"


def vectors(parameters: Parameters, rng: np.random.Generator, beats: int) -> Stimulus:
    """Return at least ``beats`` beats of whole packets, good ones and, where there are any, others.

    Groups are constant, extreme, of a few units, or anything, so that ranges of 0, 1 and all others
    are met, and numbers half way between two codes.
    """
    return _KINDS[kind_of(parameters)](parameters, rng, beats)


def _numbers(rng: np.random.Generator, shape: tuple[int, ...], bits: int) -> Integers:
    """Return one packet's elements."""
    top = 1 << bits - 1
    style = int(rng.integers(7))
    if style == 0:
        return np.full(shape, rng.integers(-top, top))
    if style == 1:
        return rng.choice([-top, top - 1], shape)
    if style < 5:
        middle, spread = rng.integers(-top, top), 1 << int(rng.integers(0, bits))
        return np.clip(middle + rng.integers(-spread, spread + 1, shape), -top, top - 1)
    if style == 5:  # all of one sign
        return rng.integers(0, top, shape) - (top if rng.random() < 0.5 else 0)
    return rng.integers(-top, top, shape)


def _lasts(lengths: list[int]) -> Integers:
    found = np.zeros(sum(lengths), dtype=np.int64)
    found[np.cumsum(lengths) - 1] = 1
    return found


def _kivi(parameters: Parameters, rng: np.random.Generator, beats: int) -> Stimulus:
    lanes, bits = int(parameters["lanes"]), int(parameters["x_bits"])
    group, token = int(parameters["group"]), parameters["axis"] == "token"
    quantises = parameters["op"] == "quantize"
    due = (
        (group if token else group // lanes) if quantises else group * int(parameters["bits"]) // 32
    )
    lengths: list[int] = []
    while sum(lengths) < beats:
        number = len(lengths)
        wrong = number % 9 == 4
        lengths.append(max(1, due + (-1, 1, due)[number // 9 % 3]) if wrong else due)
    total = sum(lengths)
    if quantises:
        parts = []
        for length in lengths:
            columns = [_numbers(rng, (length, 1 if token else lanes), bits)
                       for _ in range(lanes if token else 1)]  # fmt: skip
            parts.append(np.concatenate(columns, axis=1))
        return {"x": np.concatenate(parts), "last": _lasts(lengths)}
    shape = (total, lanes) if token else (total,)
    return {
        "w": rng.integers(0, 1 << 32, shape),
        "mn": rng.integers(-1 << bits - 1, 1 << bits - 1, shape),
        "r": rng.integers(0, 1 << bits, shape) >> rng.integers(0, bits + 1, shape),
        "last": _lasts(lengths),
    }


def _kv4(parameters: Parameters, rng: np.random.Generator, beats: int) -> Stimulus:
    lanes, bits = int(parameters["lanes"]), int(parameters["x_bits"])
    if parameters["op"] == "dequantize":
        frames = draw_rows(rng, beats, 1, 16)
        r = rng.integers(0, 1 << bits, beats) >> rng.integers(0, bits + 1, beats)
        found = {"w": rng.integers(0, 1 << 32, beats), "z": rng.integers(0, 16, beats), "r": r}
        return found | {"last": frames["last"].astype(np.int64)}
    most = -(-int(parameters["max_len"]) // lanes)
    frames = draw_rows(rng, beats, lanes, most)
    x = np.zeros((beats, lanes), dtype=np.int64)
    for part in row_slices(frames["last"]):
        x[part] = _numbers(rng, x[part].shape, bits)
    return {"x": x} | {name: column.astype(np.int64) for name, column in frames.items()}


def _book(parameters: Parameters, rng: np.random.Generator, beats: int) -> Stimulus:
    lanes, bits = int(parameters["lanes"]), int(parameters["bits"])
    quantises = parameters["op"] == "quantize"
    entries = 1 << bits
    shape = (beats, lanes)
    last = draw_rows(rng, beats, lanes, 12)["last"]
    whole = min(entries, max(1, beats // 2))
    last[:whole] = np.arange(whole) == whole - 1
    load = rng.integers(0, 2, beats)
    load[0] = 1
    t = np.sort(rng.integers(-1 << 15, 1 << 15, beats).reshape(1, -1))[0]
    t = rng.permutation(t) if rng.random() < 0.5 else np.roll(t, int(rng.integers(beats)))
    s = rng.integers(0, 1 << 16, shape) >> rng.integers(0, 17, shape)
    f = rng.integers(-1 << 15, 1 << 15, shape) >> rng.integers(0, 16, shape)
    found: Stimulus = {"t": t, "s": s, "f": f}
    if quantises:
        bounds = np.sort(rng.integers(-1 << 15, 1 << 15, (2, *shape)), axis=0)
        found |= {"x": rng.integers(-1 << 15, 1 << 15, shape) >> rng.integers(0, 12, shape)}
        found |= {"lo": bounds[0] - 4096 >> 1, "hi": np.minimum(bounds[1] + 4096, 32767)}
    else:
        # Lanes that do not exist take no part.
        found |= {"lane": rng.integers(0, min(64, lanes + 2), beats)}
        found |= {"sparse": (rng.random(beats) < 0.3).astype(np.int64)}
        found |= {"d": rng.integers(-1 << 16, 1 << 16, beats) >> rng.integers(0, 17, beats)}
        found |= {"q": rng.integers(0, entries, shape)}
        found["sparse"][-1] = 0
    begin, loads, number = True, False, 0
    for beat in range(beats):
        if begin:
            loads = number % 10 == 0
            load[beat] = loads
            number += 1
        begin = bool(last[beat]) and (loads or quantises or not found["sparse"][beat])
    last[-1] = True
    return found | {"load": load, "last": last.astype(np.int64)}


def _dot_token(parameters: Parameters, rng: np.random.Generator, beats: int) -> Stimulus:
    lanes, bits, x_bits = (int(parameters[name]) for name in ("lanes", "bits", "x_bits"))
    most, group = -(-int(parameters["max_len"]) // lanes), int(parameters["group"])
    heads: list[Integers] = []
    while sum(map(len, heads)) < beats:
        number = len(heads)
        length = int(rng.integers(1, min(most, 6) + 1))
        if number % 5 == 1 and most <= 64:
            length = most
        tokens = group if number % 4 == 0 and group * length <= 128 else int(rng.integers(1, 5))
        head = np.repeat([1, 0], [length, tokens * length])
        if number % 9 == 4:
            wrong = number // 9 % 5
            if wrong == 0:
                head = head[length:]
            elif wrong == 1 and most <= 64:
                head = np.repeat([1, 0], [most + 1, most + 1])
            elif wrong == 2:
                head = np.append(head, 1)
            elif wrong == 3 and length > 1:
                head = head[:-1]
            else:
                head = head[:length]
        heads.append(head)
    lengths = [len(head) for head in heads]
    shape = (sum(lengths), lanes)
    extreme = np.repeat(rng.random(len(heads)) < 0.3, lengths)[:, np.newaxis]
    top = 1 << x_bits - 1
    q = np.where(extreme, rng.choice([-top, top - 1], shape), rng.integers(-top, top, shape))
    r = np.where(extreme, 2 * top - 1, rng.integers(0, 2 * top, shape) >> rng.integers(0, x_bits))
    return {
        "head": np.concatenate(heads),
        "q": q,
        "r": r,
        "mn": np.where(extreme, -top, rng.integers(-top, top, shape)),
        "c": np.where(extreme, (1 << bits) - 1, rng.integers(0, 1 << bits, shape)),
        "last": _lasts(lengths),
    }


def _dot_channel(parameters: Parameters, rng: np.random.Generator, beats: int) -> Stimulus:
    lanes, bits, x_bits = (int(parameters[name]) for name in ("lanes", "bits", "x_bits"))
    last = draw_rows(rng, beats, lanes, 40)["last"]
    extreme, top = rng.random(beats) < 0.3, 1 << x_bits - 1
    codes = rng.integers(0, 1 << bits, (beats, lanes))
    return {
        "p": np.where(
            extreme, 65535, rng.integers(0, 1 << 16, beats) >> rng.integers(0, 16, beats)
        ),
        "r": np.where(extreme, 2 * top - 1, rng.integers(0, 2 * top, beats)),
        "mn": np.where(extreme, -top, rng.integers(-top, top, beats)),
        "c": np.where(extreme[:, np.newaxis], (1 << bits) - 1, codes),
        "last": last.astype(np.int64),
    }


def _starts(parameters: Parameters, rng: np.random.Generator, beats: int) -> Stimulus:
    name = "span" if parameters["op"] == "ring" else "residual"
    start = rng.random(beats) < 1 / (4 * int(parameters[name]) + 8)
    return {"start": start.astype(np.int64)}


_KINDS: dict[str, Callable[[Parameters, np.random.Generator, int], Stimulus]] = {
    "quantize-kivi": _kivi,
    "dequantize-kivi": _kivi,
    "quantize-kv4": _kv4,
    "dequantize-kv4": _kv4,
    "quantize-kvquant": _book,
    "dequantize-kvquant": _book,
    "dot-token": _dot_token,
    "dot-channel": _dot_channel,
    "ring": _starts,
    "window": _starts,
}

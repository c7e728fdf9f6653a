# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``fnet-mixing``: real part of the DFT over tokens and channels.

Channels first, then tokens, with a transpose between. A token's exponent is its own, so the second
pass brings all to the largest one: ``RHU(v, E - e)``. Source: FNet (2021).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.attention.rows import signed
from sim.golden.attention.tables import rhu
from sim.golden.butterfly.fft import dft

__all__ = ["ERRORS", "mix", "run", "vectors"]

Integers = NDArray[Any]

ERRORS = ("none", "size", "length")


def mix(
    tile: ArrayLike, *, scaling: str, data_bits: int, twiddle_bits: int
) -> tuple[Integers, Integers]:
    """Mix a tile (tokens, channels); return (channels, tokens) and each channel's exponent.

    Channel k is worth ``result[k] * 2**exponent[k]``.
    """
    options: dict[str, Any] = {
        "scaling": scaling,
        "data_bits": data_bits,
        "twiddle_bits": twiddle_bits,
    }
    re, im, of_token = dft(tile, **options)
    common = of_token.max()
    shift = (common - of_token)[:, np.newaxis]
    re, _, of_channel = dft(rhu(re, shift).T, rhu(im, shift).T, **options)
    return re, common + of_channel


def run(parameters: Mapping[str, Any], beats: Mapping[str, Any]) -> dict[str, Integers]:
    """Return what the unit answers: ``y`` (m, lanes), ``exp``, ``last`` and ``err`` (m,).

    ``beats`` holds ``x`` (n, lanes), ``log2t``, ``log2d`` and ``last`` (n,).
    """
    lanes = int(parameters["lanes"])
    options = {name: parameters[name] for name in ("scaling", "data_bits", "twiddle_bits")}
    x = signed(np.asarray(beats["x"]).reshape(-1, lanes), int(parameters["data_bits"]))
    most = [int(parameters[f"max_{name}"]).bit_length() - 1 for name in ("tokens", "channels")]
    rows: list[Integers] = [np.zeros((0, lanes), dtype=np.int64)]
    exponents: list[int] = []
    last: list[int] = []
    errors: list[int] = []
    begin = 0
    for end in np.flatnonzero(np.asarray(beats["last"])) + 1:
        part = x[begin : int(end)]
        sizes = [int(beats[name][begin]) & 15 for name in ("log2t", "log2d")]
        begin = int(end)
        tokens, channels = (1 << size for size in sizes)
        error = 0
        if any(not 3 <= size <= limit for size, limit in zip(sizes, most, strict=True)):
            error = 1
        elif len(part) != tokens * max(1, channels // lanes):
            error = 2
        if error:
            found, exponent = np.zeros((1, lanes), dtype=np.int64), np.zeros(1, dtype=np.int64)
        else:
            tile = part[:, : min(lanes, channels)].reshape(tokens, channels)
            y, each = mix(tile, **options)
            beats_each = max(1, tokens // lanes)
            found = np.zeros((channels * beats_each, lanes), dtype=np.int64)
            found[:, : min(lanes, tokens)] = y.reshape(len(found), -1)
            exponent = np.repeat(each, beats_each)
        rows.append(found)
        exponents += exponent.tolist()
        last += [0] * (len(found) - 1) + [1]
        errors += [error] * len(found)
    columns = {"exp": exponents, "last": last, "err": errors}
    return {"y": np.concatenate(rows)} | {
        name: np.array(column, dtype=np.int64) for name, column in columns.items()
    }


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, Integers]:
    """Return at least ``beats`` beats of whole tiles of every shape, some with errors.

    Tokens differ in magnitude, so that their exponents do.
    """
    lanes, bits = int(parameters["lanes"]), int(parameters["data_bits"])
    most = [int(parameters[f"max_{name}"]).bit_length() - 1 for name in ("tokens", "channels")]
    columns: dict[str, list[Integers]] = {name: [] for name in ("x", "log2t", "log2d", "last")}
    total = number = 0
    while total < beats:
        sizes = [3 + (number // (1 + axis * 2)) % (limit - 2) for axis, limit in enumerate(most)]
        tokens, each = 1 << sizes[0], max(1, (1 << sizes[1]) // lanes)
        length = tokens * each
        spread = 2.0 ** rng.uniform(1, bits - 1, (tokens, 1, 1))
        x = (rng.uniform(-1, 1, (tokens, each, lanes)) * spread).astype(np.int64)
        if number % 5 == 1:
            x = rng.choice([-1 << bits - 1, (1 << bits - 1) - 1], x.shape)
        x = x.reshape(length, lanes)
        if number % 7 == 3:
            x = np.concatenate([x, x[:2]]) if number % 2 else x[:-1]
        if number % 9 == 5:
            sizes[number // 9 % 2] = int(rng.choice([0, 2, *range(max(most) + 1, 16)]))
            x = x[: 1 + number % 4]
        columns["x"].append(x)
        for name, size in zip(("log2t", "log2d"), sizes, strict=True):
            column = rng.integers(0, 16, len(x))
            column[0] = size
            columns[name].append(column)
        columns["last"].append((np.arange(len(x)) == len(x) - 1).astype(np.int64))
        total += len(x)
        number += 1
    return {name: np.concatenate(parts) for name, parts in columns.items()}

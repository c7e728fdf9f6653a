# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``activation``; ``docs/nonlinear.md`` has the contract."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.golden.attention import activation_functions as functions
from sim.golden.attention.rows import codes, draw_rows, row_slices, signed
from sim.golden.attention.tables import rhu, saturate

__all__ = ["KINDS", "result_bits", "run", "vectors"]

Integers = NDArray[Any]

KINDS = ("lut", "pwl", "swiglu", "ita", "ibert", "ivit")


def _scale(parameters: Mapping[str, Any], name: str = "scale") -> Fraction:
    return Fraction(str(parameters[name]))


def result_bits(parameters: Mapping[str, Any]) -> int:
    """Return the bits of a result."""
    kind = parameters["kind"]
    if kind == "ibert":
        one = functions.ibert_constants(_scale(parameters)).one
        return int(parameters["x_bits"]) + 1 + (2 * -one + 2).bit_length()
    return int(parameters["table_bits"]) if kind == "lut" else 16 if kind in ("pwl", "ivit") else 8


def _loads(parameters: Mapping[str, Any]) -> bool:
    return parameters["kind"] in ("lut", "swiglu") and parameters["function"] == "load"


def run(parameters: Mapping[str, Any], beats: Mapping[str, Any]) -> dict[str, Integers]:
    """Return ``y`` and ``keep`` (m, lanes), ``last`` (m,) and of ``ivit`` ``err`` (m,).

    ``beats`` holds ``x``, ``keep`` (n, lanes), ``last`` (n,), and of some kinds ``u``, ``t`` (n,
    lanes), ``load``, ``s``, ``m``, ``z`` (n,).
    """
    lanes, kind = int(parameters["lanes"]), str(parameters["kind"])
    x = signed(np.asarray(beats["x"]).reshape(-1, lanes), int(parameters["x_bits"]))
    keep = np.asarray(beats["keep"]).reshape(-1, lanes).astype(bool)
    last = np.asarray(beats["last"]).astype(bool)
    answers = np.ones(len(x), dtype=bool)
    if kind == "ivit":
        return _rows(parameters, x, keep, last)
    # The first beat of each beat's packet; elementwise kinds answer packets that have no end, too.
    starts = np.flatnonzero(np.append(True, last[:-1])[: len(last)])
    first = starts[np.cumsum(np.append(0, last[:-1]))[: len(last)]]
    if kind == "pwl":
        y = functions.silu_segments(x, int(parameters["frac"]), int(parameters["index_bits"]))
    elif kind == "ibert":
        y = functions.ibert_gelu(x, functions.ibert_constants(_scale(parameters)))
    elif kind == "ita":
        wide = functions.ita_gelu(x, functions.ita_constants(_scale(parameters)))
        m, z = (signed(beats[name], 8)[first, np.newaxis] for name in ("m", "z"))
        s = codes(beats["s"], 6)[first, np.newaxis]
        y = saturate(rhu(wide * m, s) + z, 8)
    else:
        y, answers = _tabled(parameters, beats, x, starts)
        if kind == "swiglu":
            u = signed(np.asarray(beats["u"]).reshape(-1, lanes), 8)
            y = saturate(rhu(y * u, codes(beats["s"], 6)[first, np.newaxis]), 8)
    found = {"y": np.where(keep, y, 0), "keep": keep.astype(np.int64)}
    found["last"] = last.astype(np.int64)
    return {name: column[answers] for name, column in found.items()}


def _tabled(
    parameters: Mapping[str, Any], beats: Mapping[str, Any], x: Integers, starts: Integers
) -> tuple[Integers, NDArray[np.bool_]]:
    """Return each element's entry of the table, and which beats are no table's."""
    bits, lanes = int(parameters["table_bits"]), x.shape[1]
    if not _loads(parameters):
        scales = _scale(parameters), _scale(parameters, "scale_out")
        fixed = functions.function_table(parameters["function"], *scales, bits)
        return fixed[x & 255], np.ones(len(x), dtype=bool)
    given = signed(np.asarray(beats["t"]).reshape(-1, lanes), bits)
    entries, y, answers = np.zeros(256, dtype=np.int64), np.zeros_like(x), np.ones(len(x), bool)
    for begin, end in zip(starts, [*starts[1:], len(x)], strict=True):
        if int(beats["load"][begin]):
            loaded = given[begin:end].ravel()[:256]
            entries[: len(loaded)] = loaded
            answers[begin:end] = False
        y[begin:end] = entries[x[begin:end] & 255]
    return y, answers


def _rows(
    parameters: Mapping[str, Any], x: Integers, keep: NDArray[np.bool_], last: NDArray[np.bool_]
) -> dict[str, Integers]:
    lanes = x.shape[1]
    most = -(-int(parameters["max_len"]) // lanes)
    x0 = functions.shift_limit(_scale(parameters))
    fields: dict[str, list[Integers]] = {"y": [np.zeros((0, lanes), dtype=np.int64)]}
    fields |= {
        "keep": [np.zeros((0, lanes), dtype=np.int64)],
        "last": [np.zeros(0, dtype=np.int64)],
    }
    fields["err"] = [np.zeros(0, dtype=np.int64)]
    for part in row_slices(last):
        count = part.stop - part.start
        wrong = count > most
        there = np.zeros((1, lanes), dtype=bool) if wrong else keep[part]
        y = np.zeros(there.shape, dtype=np.int64)
        if not wrong:
            y[there] = functions.shift_gelu(x[part][there], x0)
        fields["y"].append(y)
        fields["keep"].append(there.astype(np.int64))
        fields["last"].append((np.arange(len(y)) == len(y) - 1).astype(np.int64))
        fields["err"].append(np.full(len(y), int(wrong), dtype=np.int64))
    return {name: np.concatenate(parts) for name, parts in fields.items()}


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, Integers]:
    """Return ``beats`` beats: every int8 in turn, corners and random numbers of wider ones; rows of
    every shape, some of negative elements only; tables between them where they are loaded."""
    lanes, bits, kind = int(parameters["lanes"]), int(parameters["x_bits"]), parameters["kind"]
    rows_most = -(-int(parameters["max_len"]) // lanes) if kind == "ivit" else 12
    frames = draw_rows(rng, beats, lanes, rows_most)
    last, top = frames["last"], 1 << bits - 1
    x = np.arange(beats * lanes).reshape(beats, lanes) % 256 - 128
    if bits > 8:
        near = [0, 1, -1, top - 1, 1 - top, -top]
        near += [(1 << k) + d for k in range(2, bits - 1) for d in (-1, 0, 1)]
        small = rng.integers(-top, top, x.shape) >> rng.integers(0, bits, x.shape)
        x = np.where(
            rng.random(x.shape) < 0.3, rng.choice([*near, *(-v for v in near)], x.shape), small
        )
        x = np.clip(x, -top, top - 1)
    loads = _loads(parameters)
    if loads:
        whole = min(-(-256 // lanes), max(1, beats // 4))
        last[:whole] = np.arange(whole) == whole - 1
    load = rng.integers(0, 2, beats)
    for number, part in enumerate(row_slices(last)):
        load[part.start] = number % 13 == 0
        if kind == "ivit" and number % 3:
            shape = (part.stop - part.start, lanes)
            low, high = np.sort(rng.integers(-128, 128, 2)) if number % 3 == 1 else (-128, -1)
            x[part] = rng.integers(low, high + 1, shape)
    found: dict[str, Integers] = {"x": x, "keep": frames["keep"].astype(np.int64)}
    found["last"] = last.astype(np.int64)
    if loads:
        limit = 1 << int(parameters["table_bits"]) - 1
        found |= {"load": load, "t": rng.integers(-limit, limit, (beats, lanes))}
    if kind == "swiglu":
        found["u"] = rng.integers(-128, 128, (beats, lanes))
    if kind in ("swiglu", "ita"):
        usual = 15 if kind == "ita" else int(parameters["table_bits"]) - 4
        found["s"] = np.where(
            rng.random(beats) < 0.7, usual + rng.integers(0, 8, beats), rng.integers(0, 64, beats)
        )
    if kind == "ita":
        found |= {name: rng.integers(-128, 128, beats) for name in ("m", "z")}
    return found

# SPDX-License-Identifier: Apache-2.0
"""Golden model of the engine ``lut-ternary``: several ternary weights in one key (A.0.2, A.6).

A key is the signed number ``sum(w[i] * 3**i)`` of the ``group`` weights of a table; that of column
c and table l lies at ``(c * tables + l) * bits``, two's complement. Numbers beyond those of weights
are illegal keys and count as weights of 0. The model takes the key apart and multiplies.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import parse
from sim.golden.mpgemm import stimulus
from sim.golden.mpgemm.draws import joined, split
from sim.golden.mpgemm.frame import Padding
from sim.golden.mpgemm.frame import pack_act as pack_codes_act
from sim.golden.mpgemm.in_place import (
    cycles_in_place,
    in_place_engine,
    tile_of,
    with_scale_faults,
    with_scales,
)
from sim.golden.mpgemm.jobs import Engine, Job, run_jobs
from sim.golden.mpgemm.products import (
    Coding,
    Fields,
    check_range,
    plain_act,
    plain_marks,
    unpack_columns,
    weight_blocks,
)
from sim.golden.mpgemm.stimulus import Source, Streams
from sim.golden.mpgemm.words import pack_codes, unpack_codes
from sim.golden.pe.operands import Operand, activations

__all__ = [
    "FILL",
    "KEY_BITS",
    "cycles",
    "depth",
    "engine",
    "faulty",
    "keys_of",
    "pack_act",
    "pack_weights",
    "run",
    "trits_of",
    "unpack_weights",
    "vectors",
]

Integers = NDArray[np.int64]

#: Bits of a key by ``group``.
KEY_BITS = {2: 4, 3: 5, 4: 7, 5: 8}

#: Cycles that the unit's registers add to those of ``pipeline`` and :func:`cycles_in_place`.
FILL = 2


def run(
    parameters: Mapping[str, Any], streams: Mapping[str, Mapping[str, Sequence[int]]]
) -> dict[str, dict[str, list[int]]]:
    """Return the beats of ``m_axis_out``, see :func:`sim.golden.mpgemm.jobs.run_jobs`."""
    return run_jobs(engine(parameters), streams)


def engine(parameters: Mapping[str, Any]) -> Engine:
    """Return what the frame has to know."""
    return in_place_engine(parameters, _coding(parameters).products)


def depth(parameters: Mapping[str, Any]) -> int:
    """Return the products of a step."""
    return int(parameters["group"]) * int(parameters["tables"])


def keys_of(trits: ArrayLike) -> Integers:
    """Return the keys (...) of weights (..., group) of -1, 0 and 1."""
    array = np.asarray(trits, dtype=np.int64)
    group = array.shape[-1]
    return (array @ 3 ** np.arange(group)) & (1 << KEY_BITS[group]) - 1


def trits_of(keys: ArrayLike, group: int) -> Integers:
    """Return the weights (..., group) of keys (...), 0 for illegal ones."""
    plain, bits = np.asarray(keys, dtype=np.int64), KEY_BITS[group]
    most = (3**group - 1) // 2
    number = plain - (plain >> bits - 1 << bits)
    legal = np.abs(number) <= most
    # All of the numbers from -most to most, as if every weight had one more.
    trits = (number + most)[..., None] // 3 ** np.arange(group) % 3 - 1
    return np.where(legal[..., None], trits, 0)


def pack_act(
    parameters: Mapping[str, Any], a: ArrayLike, n: int, padding: Padding = None
) -> list[int]:
    """Return the beats of activations of a job: ``a`` (M, K) codes, for ``n`` columns of output.

    What lies outside of the matrix is 0 or drawn from ``padding``.
    """
    return pack_codes_act({**parameters, "lanes": depth(parameters)}, a, n, padding)


def pack_weights(
    parameters: Mapping[str, Any], w: ArrayLike, m: int = 1, padding: Padding = None
) -> list[int]:
    """Return the beats of weights of a job: ``w`` (K, N) of -1, 0 and 1, for ``m`` rows of output.

    What lies outside of the matrix is 0 or drawn from ``padding``, keys that have no weight in it
    being any bits. Raises ``ValueError`` for another weight.
    """
    group, tables = int(parameters["group"]), int(parameters["tables"])
    bits, columns = KEY_BITS[group], int(parameters["columns"])
    # A weight plus 1 modulo 3, in two bits of which padding may draw all four.
    codes = (check_range(w, -1, 1) + 3) % 3
    blocks = weight_blocks(parameters, depth(parameters), codes, m, 2, padding) % 3
    keys = keys_of((blocks - 3 * (blocks == 2)).reshape(-1, columns, tables, group))
    if padding is not None:
        inside = np.ones(np.shape(w), dtype=np.int64)
        used = weight_blocks(parameters, depth(parameters), inside, m, 1)
        free = ~used.reshape(*keys.shape, group).any(axis=-1)
        keys = np.where(free, padding.integers(0, 1 << bits, keys.shape), keys)
    return pack_codes(keys.reshape(-1, columns * tables), bits, padding)


def unpack_weights(parameters: Mapping[str, Any], words: Sequence[int], k: int, n: int) -> Integers:
    """Return the weights (K, N) of the beats of weights of a job, 0 for illegal keys."""
    return unpack_columns(parameters, _coding(parameters), words, k, n)


def vectors(parameters: Mapping[str, Any], rng: np.random.Generator, count: int) -> Streams:
    """Return ``count`` good jobs: edge shapes and corner codes first; the last has every key."""
    jobs = split(stimulus.vectors(_source(parameters), rng, count))
    return with_scales(parameters, joined([*jobs[:-1], _every_key(parameters, rng)]), rng)


def faulty(parameters: Mapping[str, Any], rng: np.random.Generator) -> Streams:
    """Return jobs with each kind of error between good ones."""
    source = _source(parameters)
    return with_scale_faults(parameters, stimulus.faulty(source, rng), (0, source), rng)


def cycles(parameters: Mapping[str, Any], m: int, n: int, k: int, bits: int = 0) -> int:
    """Return the cycles of one job, nobody stalling, see :func:`sim.golden.mpgemm.lut.cycles`."""
    fill = FILL + int(parameters.get("pipeline") or 0)
    return cycles_in_place(parameters, (m, n, k), depth(parameters), 1, fill)


def _every_key(
    parameters: Mapping[str, Any], rng: np.random.Generator
) -> tuple[int, dict[str, list[int]]]:
    """A job of one step in which every table gets every key, illegal ones too."""
    tables, bits = int(parameters["tables"]), KEY_BITS[int(parameters["group"])]
    rows, columns = int(parameters["rows"]), int(parameters["columns"])
    n = -(-(1 << bits) // columns) * columns
    k = min(depth(parameters), int(parameters["max_k"]))
    keys = rng.permuted(np.tile(np.arange(n) % (1 << bits), (tables, 1)), axis=1)
    a = rng.choice(activations(parameters).codes, (rows, k))
    wgt = pack_codes(keys.T.reshape(-1, columns * tables), bits, rng)
    act = pack_act(parameters, a, n, rng)
    return Job(rows, n, k).word, {"s_axis_act": act, "s_axis_wgt": wgt}


def _coding(parameters: Mapping[str, Any]) -> Coding:
    group, tables = int(parameters["group"]), int(parameters["tables"])
    act = activations(parameters)
    return Coding(
        depth=group * tables,
        act=Fields(group * tables, act.fmt.bits),
        wgt=Fields(tables, KEY_BITS[group]),
        values=plain_act(act),
        weights=lambda fields, bits: trits_of(fields, group).reshape(len(fields), -1),
        marks=plain_marks(act),
        lam=act.lam,
    )


def _source(parameters: Mapping[str, Any]) -> Source:
    """Random weights, of which some keys are made illegal."""
    group, tables = int(parameters["group"]), int(parameters["tables"])
    fields, bits = int(parameters["columns"]) * tables, KEY_BITS[group]

    def pack(a: Integers, w: Integers, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        act = pack_act(parameters, a, np.shape(w)[1], rng)
        keys = unpack_codes(pack_weights(parameters, w - 1, np.shape(a)[0], rng), fields, bits)
        most, half = (3**group - 1) // 2, 1 << bits - 1
        bad = (rng.integers(most + 1, 2 * half - most, keys.shape)) & 2 * half - 1
        return act, pack_codes(np.where(rng.random(keys.shape) < 1 / 32, bad, keys), bits, rng)

    return Source(
        tile=tile_of(parameters, group * tables),
        max_k=int(parameters["max_k"]),
        planes=0,
        act=activations(parameters),
        weight=Operand(parse("ternary_i2s")),
        pack=pack,
    )

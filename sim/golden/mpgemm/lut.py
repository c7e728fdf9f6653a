# SPDX-License-Identifier: Apache-2.0
"""Golden model of the engine ``lut``: weights bit plane by bit plane, looked up in tables.

The keys are turned back into the integers that they stand for, and these are multiplied. A beat
``j`` of weights of a step has the bit planes ``t = j * planes + p``; the key of plane p and table
l, of column c, lies at ``((c * planes + p) * tables + l) * group``. Its bits are those of
``w + zero_point``, without a zero point of ``w + 2**(B - 1)`` (half tables) or ``w mod 2**B`` (full
ones), where B counts the planes of all beats of a step; a key of half tables is folded, see
:func:`fold`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import parse
from sim.golden.mpgemm.draws import alternated, drawn, joined, split, steps_of
from sim.golden.mpgemm.entries import entry_sums, pack_any_entries
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
from sim.golden.mpgemm.table_beats import pack_tables, table_fields, table_values
from sim.golden.mpgemm.words import pack_codes
from sim.golden.pe.operands import Operand, activations

__all__ = [
    "FILL",
    "cycles",
    "depth",
    "engine",
    "every_key",
    "faulty",
    "fold",
    "pack_act",
    "pack_weights",
    "planes_of",
    "run",
    "unfold",
    "unpack_weights",
    "vectors",
    "weight_range",
]

Integers = NDArray[np.int64]

#: Cycles that the unit's registers add to those of ``pipeline`` and :func:`cycles_in_place`.
FILL = 2


def run(
    parameters: Mapping[str, Any], streams: Mapping[str, Mapping[str, Sequence[int]]]
) -> dict[str, dict[str, list[int]]]:
    """Return the beats of ``m_axis_out``, see :func:`sim.golden.mpgemm.jobs.run_jobs`.

    Raises ``ValueError`` where tables that come by the port are none of activations.
    """
    return run_jobs(engine(parameters), streams)


def engine(parameters: Mapping[str, Any]) -> Engine:
    """Return what the frame has to know."""
    return in_place_engine(parameters, _coding(parameters).products, int(parameters["bits"]))


def depth(parameters: Mapping[str, Any]) -> int:
    """Return the products of a step."""
    return int(parameters["group"]) * int(parameters["tables"])


def planes_of(parameters: Mapping[str, Any], bits: int) -> tuple[int, int]:
    """Return ``(B, beats)`` of a job's ``bits``: bits of a weight, beats of weights a step.

    Where all planes come in one beat, B is always that of the parameters.
    """
    most, planes = int(parameters["bits"]), int(parameters["planes"])
    own = bits if bits and planes < most else most
    return own, -(-own // planes)


def weight_range(parameters: Mapping[str, Any], bits: int = 0) -> tuple[int, int]:
    """Return the least and the most weight of a job."""
    own, _ = planes_of(parameters, bits)
    zero = parameters.get("zero_point")
    low = -(1 << own - 1) if zero is None else -int(zero)
    return low, low + (1 << own) - 1


def fold(keys: ArrayLike, group: int) -> Integers:
    """Return plain keys as half tables want them: the top bit is the sign.

    Where it is 0, the bits below it are inverted.
    """
    plain = np.asarray(keys, dtype=np.int64)
    below = (1 << group - 1) - 1
    return np.where(plain >> group - 1, plain, plain ^ below)


def unfold(keys: ArrayLike, group: int) -> Integers:
    """Return the plain keys of folded ones; :func:`fold` is its own inverse."""
    return fold(keys, group)


def pack_act(
    parameters: Mapping[str, Any], a: ArrayLike, n: int, padding: Padding = None
) -> list[int]:
    """Return the beats of activations of a job: ``a`` (M, K) codes, for ``n`` columns of output.

    What does not matter is 0 or drawn from ``padding``. With ``table_source`` ``port`` the beats
    hold tables, with ``table_bits`` those that are given as ``a`` (M, groups, entries).
    """
    if parameters.get("table_bits"):
        return pack_any_entries(parameters, a, n, padding)
    if parameters["table_source"] == "port":
        return pack_tables(parameters, a, n, padding)
    return pack_codes_act({**parameters, "lanes": depth(parameters)}, a, n, padding)


def pack_weights(
    parameters: Mapping[str, Any],
    w: ArrayLike,
    m: int = 1,
    bits: int = 0,
    padding: Padding = None,
) -> list[int]:
    """Return the beats of weights of a job: ``w`` (K, N) integers, for ``m`` rows of output.

    What does not matter is 0 or drawn from ``padding``. Raises ``ValueError`` for a weight that
    ``bits`` planes do not hold.
    """
    low, high = weight_range(parameters, bits)
    array = check_range(w, low, high)
    beats = planes_of(parameters, bits)[1]
    count = beats * int(parameters["planes"])
    zero, half = parameters.get("zero_point"), parameters["table_kind"] == "half"
    lift = int(zero) if zero is not None else 1 << count - 1 if half else 0
    codes = array + lift & (1 << count) - 1
    blocks = weight_blocks(parameters, depth(parameters), codes, m, count, padding)
    return _pack_planes(parameters, blocks, beats, padding)


def unpack_weights(
    parameters: Mapping[str, Any], words: Sequence[int], k: int, n: int, bits: int = 0
) -> Integers:
    """Return the integers (K, N) of the beats of weights of a job."""
    return unpack_columns(parameters, _coding(parameters), words, k, n, bits)


def vectors(parameters: Mapping[str, Any], rng: np.random.Generator, count: int) -> Streams:
    """Return ``count`` good jobs: edge shapes, corner codes, fewer planes; one with every key."""
    jobs = split(drawn(_sources(parameters), rng, count))
    return with_scales(parameters, joined([*jobs[:-1], every_key(parameters, rng)]), rng)


def faulty(parameters: Mapping[str, Any], rng: np.random.Generator) -> Streams:
    """Return jobs with each kind of error between good ones, also of fewer planes."""
    sources = _sources(parameters)
    return with_scale_faults(parameters, alternated(sources, rng), sources[-1], rng)


def every_key(
    parameters: Mapping[str, Any], rng: np.random.Generator
) -> tuple[int, dict[str, list[int]]]:
    """Return a job of one step in which every table gets every key in every plane."""
    size, keys = depth(parameters), 1 << int(parameters["group"])
    own, _ = planes_of(parameters, 0)
    rows, columns = int(parameters["rows"]), int(parameters["columns"])
    m, n, k = rows, -(-keys // columns) * columns, min(size, int(parameters["max_k"]))
    order = rng.permuted(np.tile(np.arange(n) % keys, (int(parameters["tables"]), own, 1)), axis=2)
    bits = order[..., None] >> np.arange(int(parameters["group"])) & 1
    low, _ = weight_range(parameters)
    codes = (bits << np.arange(own)[:, None, None]).sum(axis=1)
    w = codes.swapaxes(1, 2).reshape(size, n)[:k] + low
    a = rng.choice(activations(parameters).codes, (m, k))
    if parameters.get("table_bits"):
        limit = 1 << int(parameters["table_bits"]) - 1
        a = _entries(parameters, np.arange(-limit, limit), (m, k), rng)
    act = pack_act(parameters, a, n, rng)
    wgt = pack_weights(parameters, w, m, padding=rng)
    return Job(m, n, k).word, {"s_axis_act": act, "s_axis_wgt": wgt}


def cycles(parameters: Mapping[str, Any], m: int, n: int, k: int, bits: int = 0) -> int:
    """Return the cycles of one job, nobody stalling.

    From the first cycle in which the job and both operands are offered to the transfer of the last
    beat of the output, both counted.
    """
    fill = FILL + int(parameters.get("pipeline") or 0)
    beats = planes_of(parameters, bits)[1]
    return cycles_in_place(parameters, (m, n, k), depth(parameters), beats, fill)


def _coding(parameters: Mapping[str, Any]) -> Coding:
    group, tables = int(parameters["group"]), int(parameters["tables"])
    planes = int(parameters["planes"])
    act = activations(parameters)
    port = parameters["table_source"] == "port"
    zero, half = parameters.get("zero_point"), parameters["table_kind"] == "half"

    def weights(fields: Integers, bits: int) -> Integers:
        beats = planes_of(parameters, bits)[1]
        keys = fields.reshape(len(fields), -1, beats, planes, tables)
        keys = unfold(keys, group) if half else keys
        count = beats * planes
        place = np.arange(count).reshape(beats, planes, 1, 1)
        codes = ((keys[..., None] >> np.arange(group) & 1) << place).sum(axis=(2, 3))
        flat: Integers = codes.reshape(len(fields), -1)
        if zero is not None:
            return flat - int(zero)
        return flat - (1 << count - 1) if half else flat - (flat >> count - 1 << count)

    return Coding(
        depth=group * tables,
        act=table_fields(parameters) if port else Fields(group * tables, act.fmt.bits),
        wgt=Fields(planes * tables, group),
        values=table_values(parameters) if port else plain_act(act),
        weights=weights,
        beats=lambda bits: planes_of(parameters, bits)[1],
        marks=None if port else plain_marks(act),
        sums=entry_sums(parameters) if parameters.get("table_bits") else None,
        lam=act.lam,
    )


def _pack_planes(
    parameters: Mapping[str, Any], blocks: Integers, beats: int, padding: Padding
) -> list[int]:
    """Beats from the codes (tiles of rows, of columns, steps, columns, products)."""
    group, tables = int(parameters["group"]), int(parameters["tables"])
    planes, columns = int(parameters["planes"]), int(parameters["columns"])
    groups = blocks.reshape(-1, columns, tables, group)
    bits = groups[..., None] >> np.arange(beats * planes) & 1
    keys = (bits << np.arange(group)[:, None]).sum(axis=3)
    if parameters["table_kind"] == "half":
        keys = fold(keys, group)
    ordered = keys.reshape(-1, columns, tables, beats, planes).transpose(0, 3, 1, 4, 2)
    return pack_codes(ordered.reshape(-1, columns * planes * tables), group, padding)


def _sources(parameters: Mapping[str, Any]) -> list[tuple[int, Source]]:
    """What jobs are made of: of all planes, then of each smaller number if there may be."""
    most = int(parameters["bits"])
    serial = int(parameters["planes"]) < most
    return [(bits, _source(parameters, bits)) for bits in range(most if serial else 1)]


def _source(parameters: Mapping[str, Any], bits: int) -> Source:
    low, high = weight_range(parameters, bits)
    values = np.arange(low, high + 1)

    act, entry_bits = activations(parameters), parameters.get("table_bits")
    if entry_bits:
        act = Operand(parse(f"int{entry_bits}"))

    def pack(a: Integers, w: Integers, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        given = a
        if entry_bits:
            given = _entries(parameters, act.decode(a)[0].ravel(), a.shape, rng)
        wgt = pack_weights(parameters, values[w], len(a), bits, rng)
        return pack_act(parameters, given, w.shape[1], rng), wgt

    return Source(
        tile=tile_of(parameters, depth(parameters)),
        max_k=int(parameters["max_k"]),
        planes=int(parameters["bits"]),
        act=act,
        weight=steps_of(values.tolist()),
        pack=pack,
    )


def _entries(
    parameters: Mapping[str, Any], among: Integers, sizes: tuple[int, ...], rng: np.random.Generator
) -> Integers:
    """Tables (M, groups, entries) of whole steps for ``sizes`` (M, K), of some of ``among``."""
    tables = int(parameters["tables"])
    groups = -(-sizes[1] // depth(parameters)) * tables
    return rng.choice(among, (sizes[0], groups, table_fields(parameters).count // tables))

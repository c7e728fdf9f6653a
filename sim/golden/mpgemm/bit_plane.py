# SPDX-License-Identifier: Apache-2.0
"""Golden model of the engine ``bit-plane``: popcounts of the planes of both operands (A.9).

The model puts the planes of the weights together and multiplies. A beat ``j`` of weights of a step
has the planes ``t = j * planes + p``; plane p of column c and lane l is bit
``(c * planes + p) * lanes + l``. The code of B bits, of the planes of all beats of a step, means
with ``twos`` its value as two's complement, with ``offset`` the unsigned code less the zero point
(half of the codes of the parameter ``bits`` if there is none), with ``bipolar``
``2 * code - (2**B - 1)``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import parse
from hw.spec.gemm import error_code
from sim.golden.mpgemm import lut
from sim.golden.mpgemm.draws import alternated, drawn, joined, split, steps_of
from sim.golden.mpgemm.frame import Padding, pack_act
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
    plain_act,
    unpack_columns,
    weight_blocks,
)
from sim.golden.mpgemm.stimulus import Source, Streams
from sim.golden.mpgemm.words import pack_codes
from sim.golden.pe.operands import Operand

__all__ = [
    "FILL",
    "cycles",
    "engine",
    "faulty",
    "pack_act",
    "pack_weights",
    "planes_of",
    "run",
    "unpack_weights",
    "values_of",
    "vectors",
]

Integers = NDArray[np.int64]

#: Cycles that the unit's registers add to those of ``pipeline`` and :func:`cycles_in_place`.
FILL = 2


def run(
    parameters: Mapping[str, Any], streams: Mapping[str, Mapping[str, Sequence[int]]]
) -> dict[str, dict[str, list[int]]]:
    """Return the beats of ``m_axis_out``, see :func:`sim.golden.mpgemm.jobs.run_jobs`."""
    return run_jobs(engine(parameters), streams)


@dataclass(frozen=True)
class _Bipolar(Engine):
    """Refuses jobs whose last beat of a step would have planes to spare: none of them is 0."""

    per_beat: int = 1
    most: int = 1

    def refusal(self, job: Job) -> int:
        code = super().refusal(job)
        if not code and (job.bits or self.most) % self.per_beat:
            return error_code("unsupported mode")
        return code


def engine(parameters: Mapping[str, Any]) -> Engine:
    """Return what the frame has to know; jobs of fewer planes are for planes beat by beat."""
    most, per_beat = int(parameters["bits"]), _per_beat(parameters)
    planes = most if per_beat < most else 0
    plain = in_place_engine(parameters, _coding(parameters).products, planes)
    if parameters["scheme"] != "bipolar":
        return plain
    return _Bipolar(**vars(plain), per_beat=per_beat, most=most)


def planes_of(parameters: Mapping[str, Any], bits: int) -> tuple[int, int]:
    """Return ``(B, beats)`` of a job's ``bits``: bits of a weight, beats of weights a step."""
    return lut.planes_of({**parameters, "planes": _per_beat(parameters)}, bits)


def values_of(parameters: Mapping[str, Any], bits: int = 0) -> Integers:
    """Return the weights that a job can have, by their codes."""
    own, _ = planes_of(parameters, bits)
    return _values(parameters, np.arange(1 << own), own)


def pack_weights(
    parameters: Mapping[str, Any],
    w: ArrayLike,
    m: int = 1,
    bits: int = 0,
    padding: Padding = None,
) -> list[int]:
    """Return the beats of weights of a job: ``w`` (K, N) integers, for ``m`` rows of output.

    What lies outside of the matrix is 0 or drawn from ``padding``. Raises ``ValueError`` for a
    weight that :func:`values_of` does not have.
    """
    array, known = np.asarray(w, dtype=np.int64), values_of(parameters, bits)
    order = np.argsort(known)
    place = np.minimum(np.searchsorted(known, array, sorter=order), len(known) - 1)
    codes = order[place]
    if (known[codes] != array).any():
        bad, step = array[known[codes] != array][0], known[order[1]] - known[order[0]]
        raise ValueError(
            f"weights must be {known.min()} to {known.max()} in steps of {step}, not {bad}"
        )
    own, beats = planes_of(parameters, bits)
    planes, columns = _per_beat(parameters), int(parameters["columns"])
    lanes, count = int(parameters["lanes"]), beats * planes
    if parameters["scheme"] == "twos":
        codes = codes | -(codes >> own - 1 << own) & (1 << count) - 1
    blocks = weight_blocks(parameters, lanes, codes, m, count, padding).reshape(-1, columns, lanes)
    each = blocks[..., None] >> np.arange(count) & 1
    ordered = each.reshape(-1, columns, lanes, beats, planes).transpose(0, 3, 1, 4, 2)
    return pack_codes(ordered.reshape(-1, columns * planes * lanes), 1, padding)


def unpack_weights(
    parameters: Mapping[str, Any], words: Sequence[int], k: int, n: int, bits: int = 0
) -> Integers:
    """Return the integers (K, N) of the beats of weights of a job."""
    return unpack_columns(parameters, _coding(parameters), words, k, n, bits)


def vectors(parameters: Mapping[str, Any], rng: np.random.Generator, count: int) -> Streams:
    """Return ``count`` good jobs: edge shapes and corner codes first, also of fewer planes."""
    return with_scales(parameters, drawn(_sources(parameters), rng, count), rng)


def faulty(parameters: Mapping[str, Any], rng: np.random.Generator) -> Streams:
    """Return jobs with each kind of error between good ones, also of fewer planes."""
    sources = _sources(parameters)
    streams = alternated(sources, rng)
    most, planes = int(parameters["bits"]), _per_beat(parameters)
    if parameters["scheme"] == "bipolar" and 1 < planes < most:
        streams = joined([(Job(1, 1, 1, 1).word, split(streams)[0][1]), *split(streams)])
    return with_scale_faults(parameters, streams, sources[-1], rng)


def cycles(parameters: Mapping[str, Any], m: int, n: int, k: int, bits: int = 0) -> int:
    """Return the cycles of one job, nobody stalling, see :func:`sim.golden.mpgemm.lut.cycles`."""
    fill = FILL + int(parameters.get("pipeline") or 0)
    beats = planes_of(parameters, bits)[1]
    return cycles_in_place(parameters, (m, n, k), int(parameters["lanes"]), beats, fill)


def _per_beat(parameters: Mapping[str, Any]) -> int:
    return int(parameters.get("planes") or parameters["bits"])


def _values(parameters: Mapping[str, Any], codes: Integers, count: int) -> Integers:
    """What codes of ``count`` bits stand for."""
    scheme, zero = parameters["scheme"], parameters.get("zero_point")
    if scheme == "twos":
        return codes - (codes >> count - 1 << count)
    if scheme == "bipolar":
        return 2 * codes - ((1 << count) - 1)
    return codes - (1 << int(parameters["bits"]) - 1 if zero is None else int(zero))


def _coding(parameters: Mapping[str, Any]) -> Coding:
    lanes, planes = int(parameters["lanes"]), _per_beat(parameters)
    act = Operand(parse(parameters["act"]))

    def weights(fields: Integers, bits: int) -> Integers:
        beats = planes_of(parameters, bits)[1]
        found = fields.reshape(len(fields), -1, beats * planes, lanes)
        codes = (found << np.arange(beats * planes)[:, None]).sum(axis=2)
        return _values(parameters, codes.reshape(len(fields), -1), beats * planes)

    return Coding(
        depth=lanes,
        act=Fields(lanes, act.fmt.bits),
        wgt=Fields(planes * lanes, 1),
        values=plain_act(act),
        weights=weights,
        beats=lambda bits: planes_of(parameters, bits)[1],
    )


def _sources(parameters: Mapping[str, Any]) -> list[tuple[int, Source]]:
    """What jobs are made of: of all planes, then of each smaller number that there may be."""
    most, planes = int(parameters["bits"]), _per_beat(parameters)
    serial, whole = planes < most, parameters["scheme"] == "bipolar"
    return [
        (bits, _source(parameters, bits))
        for bits in range(most if serial else 1)
        if not (whole and bits % planes)
    ]


def _source(parameters: Mapping[str, Any], bits: int) -> Source:
    values = values_of(parameters, bits)

    def pack(a: Integers, w: Integers, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        act = pack_act(parameters, a, np.shape(w)[1], rng)
        return act, pack_weights(parameters, values[w], np.shape(a)[0], bits, rng)

    most = int(parameters["bits"])
    return Source(
        tile=tile_of(parameters, int(parameters["lanes"])),
        max_k=int(parameters["max_k"]),
        planes=most if _per_beat(parameters) < most else 0,
        act=Operand(parse(parameters["act"])),
        weight=steps_of(values.tolist()),
        pack=pack,
    )

# SPDX-License-Identifier: Apache-2.0
"""Golden model of the engine ``ternary-add``: add, subtract or skip each activation (A.10).

The weight of column c and lane l lies at ``(c * lanes + l) * 2``: 01 is 1, 11 is -1, and both 00
and the illegal 10 are 0.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.mpgemm import stimulus
from sim.golden.mpgemm.draws import steps_of
from sim.golden.mpgemm.frame import Padding, pack_act
from sim.golden.mpgemm.in_place import (
    cycles_in_place,
    in_place_engine,
    tile_of,
    with_scale_faults,
    with_scales,
)
from sim.golden.mpgemm.jobs import Engine, run_jobs
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
from sim.golden.mpgemm.words import pack_codes
from sim.golden.pe.operands import activations

__all__ = [
    "FILL",
    "cycles",
    "engine",
    "faulty",
    "pack_act",
    "pack_weights",
    "run",
    "unpack_weights",
    "vectors",
]

Integers = NDArray[np.int64]

#: Cycles that the unit's registers add to those of ``pipeline`` and :func:`cycles_in_place`.
FILL = 2

#: What the codes 0 to 3 stand for.
_VALUES = np.array([0, 1, 0, -1])


def run(
    parameters: Mapping[str, Any], streams: Mapping[str, Mapping[str, Sequence[int]]]
) -> dict[str, dict[str, list[int]]]:
    """Return the beats of ``m_axis_out``, see :func:`sim.golden.mpgemm.jobs.run_jobs`."""
    return run_jobs(engine(parameters), streams)


def engine(parameters: Mapping[str, Any]) -> Engine:
    """Return what the frame has to know."""
    return in_place_engine(parameters, _coding(parameters).products)


def pack_weights(
    parameters: Mapping[str, Any], w: ArrayLike, m: int = 1, padding: Padding = None
) -> list[int]:
    """Return the beats of weights of a job: ``w`` (K, N) of -1, 0 and 1, for ``m`` rows of output.

    What lies outside of the matrix is 0 or drawn from ``padding``. Raises ``ValueError`` for
    another weight.
    """
    return _pack_codes(parameters, check_range(w, -1, 1) & 3, m, padding)


def unpack_weights(parameters: Mapping[str, Any], words: Sequence[int], k: int, n: int) -> Integers:
    """Return the weights (K, N) of the beats of weights of a job."""
    return unpack_columns(parameters, _coding(parameters), words, k, n)


def vectors(parameters: Mapping[str, Any], rng: np.random.Generator, count: int) -> Streams:
    """Return ``count`` good jobs: edge shapes and corner codes first, with illegal codes."""
    return with_scales(parameters, stimulus.vectors(_source(parameters), rng, count), rng)


def faulty(parameters: Mapping[str, Any], rng: np.random.Generator) -> Streams:
    """Return jobs with each kind of error between good ones."""
    source = _source(parameters)
    return with_scale_faults(parameters, stimulus.faulty(source, rng), (0, source), rng)


def cycles(parameters: Mapping[str, Any], m: int, n: int, k: int, bits: int = 0) -> int:
    """Return the cycles of one job, nobody stalling, see :func:`sim.golden.mpgemm.lut.cycles`."""
    fill = FILL + int(parameters.get("pipeline") or 0)
    return cycles_in_place(parameters, (m, n, k), int(parameters["lanes"]), 1, fill)


def _coding(parameters: Mapping[str, Any]) -> Coding:
    lanes, act = int(parameters["lanes"]), activations(parameters)
    return Coding(
        depth=lanes,
        act=Fields(lanes, act.fmt.bits),
        wgt=Fields(lanes, 2),
        values=plain_act(act),
        weights=lambda fields, bits: _VALUES[fields].reshape(len(fields), -1),
        marks=plain_marks(act),
        lam=act.lam,
    )


def _pack_codes(
    parameters: Mapping[str, Any], codes: ArrayLike, m: int, padding: Padding
) -> list[int]:
    blocks = weight_blocks(parameters, int(parameters["lanes"]), codes, m, 2, padding)
    fields = int(parameters["columns"]) * int(parameters["lanes"])
    return pack_codes(blocks.reshape(-1, fields), 2, padding)


def _source(parameters: Mapping[str, Any]) -> Source:
    def pack(a: Integers, w: Integers, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        act = pack_act(parameters, a, np.shape(w)[1], rng)
        return act, _pack_codes(parameters, w, np.shape(a)[0], rng)

    return Source(
        tile=tile_of(parameters, int(parameters["lanes"])),
        max_k=int(parameters["max_k"]),
        planes=0,
        act=activations(parameters),
        weight=steps_of(_VALUES.tolist()),
        pack=pack,
    )

# SPDX-License-Identifier: Apache-2.0
"""Order of work of the butterfly engine, where its elements lie, and the cycles it takes.

A vector of ``size`` elements takes ``max(1, size / lanes)`` beats in each of ``log2 size`` stages,
of strides ``size / 2`` down to 1. The order of tops (even ones, then odd ones) and the rule
``popcount`` are those of Adaptable Butterfly (MICRO 2022); the other rules are ours.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "RULES",
    "Stage",
    "bank_of",
    "compute_cycles",
    "hazard_distance",
    "reversed_index",
    "stages",
    "waits",
]

Integers = NDArray[np.int64]

RULES = ("parity", "popcount", "xor")


class Stage(NamedTuple):
    """A stage: elements of each beat's butterflies, both of shape (beats, butterflies)."""

    stride: int
    upper: Integers
    lower: Integers


def stages(size: int, lanes: int) -> list[Stage]:
    """Return the stages of a vector of ``size`` elements, in order of work."""
    beat = np.arange(max(1, size // lanes))[:, np.newaxis]
    found = []
    stride = size // 2
    while stride:
        if stride >= lanes:
            half = 2 * stride // lanes
            turn = beat % half
            butterfly = np.arange(lanes // 2)
            upper = beat // half * 2 * stride + (turn >> 1) * lanes + (turn & 1) + 2 * butterfly
        else:
            place = np.arange(min(lanes, size))
            upper = beat * lanes + place[place & stride == 0]
        found.append(Stage(stride, upper, upper + stride))
        stride //= 2
    return found


def bank_of(element: ArrayLike, lanes: int, rule: str, row_bits: int = 64) -> Integers:
    """Return the bank in which an element lies.

    ``row_bits`` is how many bits of the row's number the rule looks at; the published hardware has
    8. Raises ``ValueError`` for an unknown rule.
    """
    if rule not in RULES:
        raise ValueError(f"banks must be one of {', '.join(RULES)}, not {rule!r}")
    j = np.asarray(element, dtype=np.int64)
    low_bits = lanes.bit_length() - 1
    row, place = j >> low_bits, j & lanes - 1
    moved = np.zeros_like(j)
    for bit in range(min(row_bits, int(row.max(initial=0)).bit_length())):
        one = row >> bit & 1
        if rule == "popcount":
            moved += one
        elif rule == "parity" or bit % low_bits == 0:
            moved ^= one
        else:
            moved ^= one * (1 + (1 << bit % low_bits))
    return (place + moved) % lanes if rule == "popcount" else place ^ moved


def reversed_index(bits: int) -> Integers:
    """Return the numbers below ``2**bits`` with their bits in reverse order."""
    found = np.zeros(1, dtype=np.int64)
    for _ in range(bits):
        found = np.concatenate([2 * found, 2 * found + 1])
    return found


def hazard_distance(size: int, lanes: int, stage: int) -> int:
    """Return the least beats from an element's turn in ``stage`` to its turn in the next one.

    No beat waits between the stages; the first stage is 0.
    """
    beats = max(1, size // lanes)
    return beats - (beats >> stage + 1)


def waits(size: int, lanes: int, pipeline: int, whole: bool = False) -> list[int]:
    """Return the idle cycles between each two stages.

    A beat may read what the beat ``pipeline`` cycles before it wrote. With ``whole`` a stage also
    needs to know the largest number of the one before it.
    """
    transitions = range(size.bit_length() - 2)
    if whole:
        return [pipeline for _ in transitions]
    return [max(0, pipeline - hazard_distance(size, lanes, stage)) for stage in transitions]


def compute_cycles(parameters: Mapping[str, Any], op: int, log2n: int, pipeline: int) -> int:
    """Return the cycles from the first beat that is computed to the last one, both counted.

    ``op`` and ``log2n`` are those of the packet, ``pipeline`` the manifest's.
    """
    size, lanes = 1 << log2n, int(parameters["lanes"])
    whole = parameters["scaling"] == "bfp" and op in (1, 2)
    return log2n * max(1, size // lanes) + sum(waits(size, lanes, pipeline, whole))

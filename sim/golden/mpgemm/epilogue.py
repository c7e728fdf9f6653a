# SPDX-License-Identifier: Apache-2.0
"""Requantisation where sums leave an engine (A.0.6, B.5): its numbers in a beat, and the results.

With ``requant``, a scheme of :mod:`sim.golden.requant`, every column of a tile has a field of its
own in the tile's last beat of ``s_axis_scale``, above the scales if there are such. From its lowest
bit on it holds the multiplier, the shift, then with ``bias`` what is added to the sum, or what
scheme ``rbe`` adds to the product, and with ``out_zero_point`` the zero point. Which beats arrays
take in which an operand stays is in :mod:`sim.golden.mpgemm.stationary`; engine ``pq`` has the
fields above the centroids.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.golden.mpgemm.jobs import Job, Tile
from sim.golden.requant import output_range, requant

__all__ = ["Number", "Requant", "draw_requant", "numbers", "requantised", "result_bits"]

Integers = NDArray[Any]

#: What a column has: ``m``, ``s``, and ``add`` and ``z`` where they are wanted, each of shape (N,).
Requant = Mapping[str, Integers]


@dataclass(frozen=True)
class Number:
    """A part of a column's field."""

    name: str
    bits: int
    signed: bool

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest value."""
        low = -1 << self.bits - 1 if self.signed else 0
        return low, low + (1 << self.bits) - 1


def numbers(parameters: Mapping[str, Any]) -> list[Number]:
    """Return the parts of a column's field, the lowest first; none without ``requant``."""
    scheme = parameters.get("requant")
    if not scheme:
        return []
    signed_shift, rbe = scheme in ("gemmlowp", "tflite"), scheme == "rbe"
    found = [Number("m", int(parameters["mult_bits"]), not rbe)]
    found.append(Number("s", 7 if signed_shift else 6, signed_shift))
    if rbe or parameters["bias"]:
        found.append(Number("add", 32, True))
    if parameters["out_zero_point"]:
        found.append(Number("z", result_bits(parameters) + 1, True))
    return found


def result_bits(parameters: Mapping[str, Any]) -> int:
    """Return the bits of a result."""
    low, high = output_range(parameters["requant_out"])
    return (high - low).bit_length()


def requantised(parameters: Mapping[str, Any], given: Requant, tile: Tile) -> Tile:
    """Return a tile of sums requantised by the numbers of its columns."""
    scheme, (low, high) = parameters["requant"], output_range(parameters["requant_out"])
    sums, marks = tile
    found = np.zeros(sums.shape, dtype=object)
    for (row, column), value in np.ndenumerate(sums):
        own = {name: int(values[column]) for name, values in given.items()}
        add = own.get("add", 0)
        before, after = (0, add) if scheme == "rbe" else (add, 0)
        wide = requant(scheme, int(value) + before, own["m"], own["s"], after) + own.get("z", 0)
        found[row, column] = min(max(wide, low), high)
    return found, marks


#: What the numbers of the first jobs are, in turn.
_KINDS = ("fit", "ties", "fit", "edges", "fit", "ties", "any")


def draw_requant(
    parameters: Mapping[str, Any], width: int, rng: np.random.Generator
) -> Callable[[Job], Requant]:
    """Return what draws the numbers of the columns of a job whose sums have ``width`` bits."""
    kinds, parts = cycle(_KINDS), numbers(parameters)

    def draw(job: Job) -> Requant:
        kind = next(kinds)
        columns = [_column(parameters, kind, width, rng) for _ in range(job.n)]
        return {
            part.name: np.array([column[part.name] for column in columns], dtype=object)
            for part in parts
        }

    return draw


def _column(
    parameters: Mapping[str, Any], kind: str, width: int, rng: np.random.Generator
) -> dict[str, int]:
    """The numbers of one column.

    They bring sums of some size into the range of results (``fit``), or divide by a small power of
    two (``ties``), or are at their ends (``edges``), or anything (``any``).
    """
    scheme, parts = parameters["requant"], {part.name: part for part in numbers(parameters)}
    found = {name: _any(part, kind == "edges", rng) for name, part in parts.items()}
    if scheme in ("gemmlowp", "tflite"):
        found["m"] = max(found["m"], -1 - found["m"])
    if kind not in ("fit", "ties"):
        return found
    bits = parts["m"].bits - parts["m"].signed
    size = int(rng.integers(2, min(width, 30) + 1))
    # gemmlowp shifts by 31 on its own, and tflite by 31 less s.
    if kind == "ties":
        power = bits if scheme == "gemmlowp" else 1
        found["m"], places = 1 << power - 1, int(rng.integers(power, power + 3))
    else:
        power = bits if scheme == "gemmlowp" else int(rng.integers(max(1, bits - 7), bits + 1))
        found["m"] = int(rng.integers(1 << power - 1, 1 << power))
        places = power + max(size - result_bits(parameters), 0)
    low, high = parts["s"].limits
    shift = {"gemmlowp": places - 31, "tflite": 31 - places}.get(scheme, places)
    found["s"] = min(max(shift, low), high)
    if "add" in found:
        reach = 1 << (min(places, 30) if scheme == "rbe" else size - 1)
        found["add"] = int(rng.integers(-reach, reach + 1))
    if "z" in found:
        found["z"] >>= 3
    return found


def _any(part: Number, edge: bool, rng: np.random.Generator) -> int:
    low, high = part.limits
    ends = [low, low + 1, 0, 1, high - 1, high]
    return int(rng.choice(ends)) if edge else int(rng.integers(low, high + 1))

# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``lut-table``: tables of sums of groups of activations (A.0.2).

A beat's tables are those that the engine ``lut`` takes for one row where they come by its port, see
:mod:`sim.golden.mpgemm.table_beats`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.mpgemm.stimulus import codes
from sim.golden.mpgemm.table_beats import table_of
from sim.golden.pe.operands import activations

__all__ = ["run", "vectors"]

#: Patterns of the first beats.
_KINDS = ("alternating", "zero", "least", "most", "one-hot")


def run(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    """Return ``table``, entries (n, tables * entries) of codes ``act`` (n, tables * group).

    Entry 0 of table 0 comes first. Raises ``ValueError`` for a code that is not finite.
    """
    group, half = int(parameters["group"]), parameters["table_kind"] == "half"
    act = np.asarray(beats["act"], dtype=np.int64)
    ints, marks = activations(parameters).decode(act)
    if marks.any():
        raise ValueError("a table holds no sums of activations that are not finite")
    return {"table": table_of(ints.reshape(len(act), -1, group), half).reshape(len(act), -1)}


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, NDArray[Any]]:
    """Return ``beats`` beats, corner codes first.

    The largest entries of half tables are those in which the last activation of a group is as far
    from zero as it can be, and all others are so on the other side. One-hot codes have each place.
    """
    act, group = activations(parameters), int(parameters["group"])
    lanes = group * int(parameters["tables"])
    low, high = (codes(act, kind, (1, lanes), rng) for kind in ("least", "most"))
    last = np.arange(lanes) % group == group - 1
    height = {"one-hot": 2 * lanes}
    drawn = [codes(act, kind, (height.get(kind, 2), lanes), rng) for kind in _KINDS]
    drawn = [np.where(last, high, low), np.where(last, low, high), *drawn]
    return {"act": np.concatenate([*drawn, codes(act, "finite", (beats, lanes), rng)])[:beats]}

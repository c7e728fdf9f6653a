# SPDX-License-Identifier: Apache-2.0
"""Where dot products begin and end, for the golden models of processing elements."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["frames", "starts_of", "totals"]


def totals(
    parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike], rows: ArrayLike
) -> NDArray[Any]:
    """Return what dot products make of ``rows``, of which each beat adds one.

    Numbers are added, bools are or-ed, along the first axis: for core ``stream`` up to each beat
    with ``last``, for core ``accumulate`` since the latest ``clr``, one row per beat; for core
    ``dot`` every beat stands alone.
    """
    core, values = parameters.get("core") or "stream", np.asarray(rows)
    if core == "dot" or not len(values):
        return values
    if core == "accumulate":
        result, starts = values.copy(), starts_of(parameters, beats)
        for row in range(1, len(result)):
            if not starts[row]:
                before = result[row - 1]
                # Not np.add, which takes no Python integer beyond 64 bits.
                result[row] = before | result[row] if values.dtype == bool else before + result[row]
        return result
    ends = np.flatnonzero(np.asarray(beats["last"], dtype=bool))
    if not len(ends):
        return values[:0]
    add = np.logical_or if values.dtype == bool else np.add
    return add.reduceat(values[: ends[-1] + 1], np.append(0, ends[:-1] + 1))


def starts_of(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]) -> NDArray[np.bool_]:
    """Return which beats start a dot product, bool of shape (n,)."""
    if (parameters.get("core") or "stream") == "accumulate":
        starts = np.array(beats["clr"], dtype=bool)
        starts[:1] = True
        return starts
    return np.append(True, np.asarray(beats["last"], dtype=bool)[:-1])


def frames(
    parameters: Mapping[str, Any],
    rng: np.random.Generator,
    beats: int,
    leading: Sequence[int],
    longest: int,
) -> dict[str, NDArray[np.bool_]]:
    """Return ``last`` or ``clr``, as the core has it, for ``beats`` beats of stimulus.

    The first dot products have ``leading`` beats each, the others 1 to ``longest``, most of them
    few.
    """
    room = max(0, beats - sum(leading))
    lengths = np.minimum(rng.geometric(1 / min(8, longest), room), longest)
    lengths[rng.random(room) < 1 / 32] = longest
    ends = np.cumsum([*leading, *lengths.tolist()]) - 1
    last = np.zeros(beats, dtype=bool)
    last[ends[ends < beats]] = True
    last[-1:] = True
    core = parameters.get("core") or "stream"
    marks = {"stream": {"last": last}, "accumulate": {"clr": np.append(True, last[:-1])}}
    return marks.get(core, {})

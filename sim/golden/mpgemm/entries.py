# SPDX-License-Identifier: Apache-2.0
"""Engine ``lut`` with tables of any entries: lookups one by one, added or averaged (T-MAC, A.2).

With ``table_bits`` the beats of activations hold entries of so many bits, which need not be sums
of anything: quantised ones are not. All tables of a step count, those beyond K as well. With
``L[t]`` what a column's keys of plane t find, B planes, and ``SA`` the sum of the last entries, the
result is

* of half tables ``sum(2**t * L[t]) + (2**B - 1 - 2*z) * SA``, twice the product, as entries of a
  table may be odd and even; z is ``zero_point``, or ``2**(B - 1)``,
* of full ones ``sum(2**t * L[t]) - z * SA``; without ``zero_point`` the top plane is negative and z
  is 0. Their entry 0 is 0, whatever comes for it.

With ``aggregate`` ``average``, ``L[t]`` of a step is not the sum of the lookups but ``tables``
times their average as :func:`sim.golden.mpgemm.tmac.fast_average` rounds it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.mpgemm.frame import Padding
from sim.golden.mpgemm.table_beats import pack_entries, signed_tables
from sim.golden.mpgemm.tmac import fast_average, fast_bias

__all__ = ["average_bias", "entry_sums", "pack_any_entries"]

Integers = NDArray[np.int64]

#: From fields (rows, steps, fields), (columns, beats, fields) and the planes of a step's beats.
Sums = Callable[[Integers, Integers, int], Integers]


def entry_sums(parameters: Mapping[str, Any]) -> Sums:
    """Return what gives the results (rows, columns) of the fields of a tile's beats.

    It takes activations (rows, steps, fields), weights (columns, beats, fields) and the beats of
    weights of a step.
    """
    group, tables = int(parameters["group"]), int(parameters["tables"])
    planes, half = int(parameters["planes"]), parameters["table_kind"] == "half"
    average, zero = parameters.get("aggregate") == "average", parameters.get("zero_point")

    def sums(a: Integers, w: Integers, beats: int) -> Integers:
        entries = signed_tables(parameters, a)
        if not half:
            entries[..., 0] = 0
        keys = w.reshape(len(w), -1, beats, planes, tables)
        found = _looked_up(entries, keys, group) if half else _at(entries, keys)
        steps = tables * fast_average(found) if average else found.sum(axis=-1)
        count = beats * planes
        weight = 1 << np.arange(count)
        if not half and zero is None:
            weight[-1] = -weight[-1]
        total = (steps.reshape(*steps.shape[:3], count) * weight).sum(axis=(2, 3))
        return total + _share(count, half, zero) * _totals(parameters, a)[:, None]

    return sums


def average_bias(parameters: Mapping[str, Any], steps: int, planes: int) -> float:
    """Return what averages add to a result on average, of so many steps and planes.

    A result less this one is as right as those of :func:`sim.golden.mpgemm.tmac.tmac_product` with
    correction ``mean``.
    """
    if parameters.get("aggregate") != "average":
        return 0.0
    tables = int(parameters["tables"])
    return steps * tables * fast_bias(tables, "mean") * ((1 << planes) - 1)


def pack_any_entries(
    parameters: Mapping[str, Any], entries: ArrayLike, n: int, padding: Padding = None
) -> list[int]:
    """Return the beats of tables of a job: ``entries`` (M, groups, entries), ``n`` columns.

    Tables of groups that are missing in the last step are 0. Raises ``ValueError`` for an entry
    that does not fit ``table_bits``.
    """
    array, limit = np.asarray(entries, dtype=np.int64), 1 << int(parameters["table_bits"]) - 1
    if not -limit <= array.min() <= array.max() < limit:
        raise ValueError(f"entries must be {-limit} to {limit - 1}")
    missing = -array.shape[1] % int(parameters["tables"])
    return pack_entries(parameters, np.pad(array, ((0, 0), (0, missing), (0, 0))), n, padding)


def _totals(parameters: Mapping[str, Any], a: Integers) -> Integers:
    """Return the sums (rows,) of the last entries, in place of those of activations."""
    totals: Integers = signed_tables(parameters, a)[..., -1].sum(axis=(1, 2))
    return totals


def _share(planes: int, half: bool, zero: Any) -> int:
    """What a result has of the sum of activations."""
    if not half:
        return -int(zero or 0)
    return (1 << planes) - 1 - 2 * int(1 << planes - 1 if zero is None else zero)


def _at(entries: Integers, index: Integers) -> Integers:
    """Entries (rows, columns, steps, beats, planes, tables) by an index of these but for rows."""
    steps, tables = entries.shape[1:3]
    found: Integers = entries[:, np.arange(steps)[:, None, None, None], np.arange(tables), index]
    return found


def _looked_up(entries: Integers, keys: Integers, group: int) -> Integers:
    """The same of half tables, with the signs of the keys."""
    sign = keys >> group - 1
    found = _at(entries, keys & (1 << group - 1) - 1)
    return np.where(sign, found, -found)

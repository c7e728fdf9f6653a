# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``pe``: exact dot products of two formats.

Every finite code is an integer times a power of two, so a dot product is a sum of integer
products in units of ``2**(weight.lam + act.lam)``; nothing rounds. Non-finite codes contribute 0
and mark the dot product.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import Format
from sim.golden.pe.operands import Operand, acc_bits, operands
from sim.golden.pe.stimulus import vectors

__all__ = ["dot", "matmul", "run", "vectors"]

Beats = dict[str, NDArray[Any]]


def dot(
    weight: Operand | Format, act: Operand | Format, a: ArrayLike, w: ArrayLike
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return ``(acc, nan)``: exact sums over the last axis of the products of two code arrays.

    ``a`` and ``w`` have equal last axes and leading axes that broadcast. ``acc`` is int64 where
    every sum fits, else Python integers; ``nan`` marks sums that met a non-finite code.
    """
    weight, act = _operand(weight), _operand(act)
    (ia, na), (iw, nw) = act.decode(a), weight.decode(w)
    ia, iw = _common(ia, iw, ia.shape[-1] * weight.max_int * act.max_int)
    return (ia * iw).sum(axis=-1), np.asarray((na | nw).any(axis=-1))


def matmul(
    weight: Operand | Format, act: Operand | Format, a: ArrayLike, w: ArrayLike
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return ``(acc, nan)`` of shape (M, N): exact dot products of the rows of ``a`` and ``w``.

    ``a`` holds (M, K) activation codes and ``w`` (N, K) weight codes; types as :func:`dot`.
    """
    weight, act = _operand(weight), _operand(act)
    (ia, na), (iw, nw) = act.decode(a), weight.decode(w)
    nan = np.logical_or.outer(na.any(axis=-1), nw.any(axis=-1))
    bound = ia.shape[-1] * weight.max_int * act.max_int
    if bound < 1 << 53:
        # Every partial sum is an integer that float64 holds, in whatever order they are added.
        return (ia.astype(np.float64) @ iw.astype(np.float64).T).astype(np.int64), nan
    ia, iw = _common(ia, iw, bound)
    return ia @ iw.T, nan


def run(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]) -> Beats:
    """Return what the unit answers to ``beats``, in order.

    ``beats`` holds ``a`` and ``w``, codes of shape (n, lanes), and for

    * core ``stream``: ``last`` (n,), which ends a dot product. One result per ``last``; beats
      after the final one give none.
    * core ``accumulate``: ``clr`` (n,), which starts a new sum. One result per beat: the sum so far
      (0 before the first). Beats are those the cell is enabled for.
    * core ``dot``: nothing else. One result per beat, the sum over its lanes.

    With ``columns`` dot products that share the activations, ``w`` has shape (n, columns * lanes),
    the lanes of column 0 first.

    Returns ``acc`` (``p`` for core ``dot``), Python integers of shape (m,), and ``nan``, bool of
    the same shape, if one of the formats has non-finite values; both of shape (m, columns) for
    several columns. Raises ``ValueError`` on illegal
    codes, on a wrong number of lanes, and when a sum needs more bits than ``acc_bits`` (when that
    is ``None``: than ``max_k`` products need).
    """
    weight, act = operands(parameters)
    core = parameters.get("core") or "stream"
    sums, marks = _beat_sums(parameters, weight, act, beats)
    if core == "accumulate":
        starts = np.array(beats["clr"], dtype=bool)
        starts[:1] = True
        sums, marks = _running(sums, marks, starts)
    elif core == "stream":
        sums, marks = _finished(sums, marks, np.asarray(beats["last"], dtype=bool))
    _check_width(parameters, weight, act, sums)
    result: Beats = {"p" if core == "dot" else "acc": sums}
    if _has_nan(weight, act):
        result["nan"] = marks
    return result


def _operand(operand: Operand | Format) -> Operand:
    return operand if isinstance(operand, Operand) else Operand(operand)


def _has_nan(weight: Operand, act: Operand) -> bool:
    return weight.fmt.nonfinite or act.fmt.nonfinite or act.window is not None


def _common(a: NDArray[Any], b: NDArray[Any], bound: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both arrays in a type that holds sums of products up to ``bound``."""
    kind = np.int64 if bound < 1 << 63 else object
    return a.astype(kind), b.astype(kind)


def _beat_sums(
    parameters: Mapping[str, Any], weight: Operand, act: Operand, beats: Mapping[str, ArrayLike]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Sum over the lanes of every beat as Python integers, and whether a lane is non-finite."""
    a, w = np.asarray(beats["a"]), np.asarray(beats["w"])
    lanes, columns = int(parameters["lanes"]), int(parameters.get("columns") or 1)
    for name, array, codes in (("a", a, lanes), ("w", w, columns * lanes)):
        if array.ndim != 2 or array.shape[1] != codes or len(array) != len(a):
            raise ValueError(f"{name} must have shape (beats, {codes}), not {array.shape}")
    if columns > 1:
        a, w = a[:, None, :], w.reshape(-1, columns, lanes)
    sums, marks = dot(weight, act, a, w)
    return sums.astype(object), marks


def _finished(
    sums: NDArray[Any], marks: NDArray[np.bool_], last: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Totals of the runs of beats that each end with ``last``."""
    ends = np.flatnonzero(last)
    if not len(ends):
        return sums[:0], marks[:0]
    starts = np.append(0, ends[:-1] + 1)
    stop = ends[-1] + 1
    return (
        np.add.reduceat(sums[:stop], starts),
        np.logical_or.reduceat(marks[:stop], starts),
    )


def _running(
    sums: NDArray[Any], marks: NDArray[np.bool_], starts: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Totals after every beat since the latest start."""
    totals, seen = sums.copy(), marks.copy()
    for i in range(1, len(sums)):
        if not starts[i]:
            totals[i] += totals[i - 1]
            seen[i] |= seen[i - 1]
    return totals, seen


def _check_width(
    parameters: Mapping[str, Any], weight: Operand, act: Operand, sums: NDArray[Any]
) -> None:
    bits = acc_bits(parameters, weight, act)
    for total in sums.flat:
        if total.bit_length() >= bits if total >= 0 else (~total).bit_length() >= bits:
            raise ValueError(f"the sum {total} does not fit the {bits}-bit accumulator")

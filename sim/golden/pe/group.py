# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``pe`` with ``--group``: scaled sums of groups of exact products.

A group is ``group`` products, ``group / lanes`` beats; ``last`` ends the group it stands in, and
the dot product. Each group's exact integer sum, in units of ``2**(weight.lam + act.lam)``, goes
through :mod:`sim.golden.dequant` with the scales of the group's last beat. With ``zero_point`` the
sum is that of ``a * (w - z)``, where ``z`` counts in units of the weight's ``2**lam``.

Non-finite codes of an operand contribute 0 to the group's sum; the result is then NaN, or marked
by ``nan`` in mode ``exact``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.spec.formats import parse
from sim.golden import dequant
from sim.golden.formats import legal_codes
from sim.golden.pe import pe
from sim.golden.pe.operands import operands

__all__ = ["dequant_parameters", "mode_of", "run", "vectors"]

Beats = dict[str, NDArray[Any]]


def mode_of(parameters: Mapping[str, Any]) -> str:
    """Return how groups are added: as asked, else exactly for int8 scales, else in fp32."""
    given = parameters.get("sum")
    return str(given or ("exact" if parameters["scale"] == "int8" else "fp32-seq"))


def run(parameters: Mapping[str, Any], beats: Mapping[str, Any]) -> Beats:
    """Return what the unit answers to ``beats``, in order: one result per ``last``.

    ``beats`` holds ``a`` and ``w`` (n, lanes), ``last`` (n,), and of shape (n,), used where a group
    ends: ``s``, ``t`` with ``act_scale``, ``z`` with ``zero_point``.

    Returns ``y`` as :func:`sim.golden.dequant.run`; in mode ``exact`` also ``nan`` where a scale or
    an operand can be non-finite.
    """
    weight, act = operands(parameters)
    ends, last = _group_ends(parameters, beats["last"])
    sums, marks = pe.dot(weight, act, beats["a"], beats["w"])
    ints, _ = act.decode(beats["a"])
    activations = ints.astype(object).sum(axis=-1)
    settings = dequant_parameters(parameters)
    scales = [name for name in ("s", "t") if name in beats]
    values: list[int] = []
    flags: list[bool] = []
    blocks: list[list[tuple[int, list[int]]]] = []
    begin, bad = 0, False
    for row in np.flatnonzero(ends).tolist():
        group = slice(begin, row + 1)
        begin = row + 1
        total = int(sums[group].astype(object).sum())
        if parameters["zero_point"]:
            zero = int(np.ravel(beats["z"])[row]) & 0xFF
            total -= (zero - (zero >> 7 << 8)) * int(activations[group].sum())
        bad |= bool(marks[group].any())
        blocks.append([(total, [int(np.ravel(beats[name])[row]) for name in scales])])
        if last[row]:
            found = dequant.total(settings, blocks)
            exact = settings["sum"] == "exact"
            values.append(found.y if exact or not bad else dequant.NAN)
            flags.append(found.nan or bad)
            blocks, bad = [], False
    result: Beats = {"y": np.array(values, dtype=object)}
    formats = [weight.fmt, act.fmt, *(parse(parameters[n]) for n in _scale_fields(parameters))]
    if settings["sum"] == "exact" and any(fmt.nonfinite for fmt in formats):
        result["nan"] = np.array(flags, dtype=bool)
    return result


def vectors(parameters: Mapping[str, Any], rng: np.random.Generator, beats: int) -> Beats:
    """Return beats as :func:`sim.golden.pe.pe.vectors` does, with scales and zero points.

    In three of four dot products the scales stay close together or rise or fall by little, so that
    additions align, round and cancel. Beats that end no group carry scales as well, which must not
    count.
    """
    codes = pe.vectors({**parameters, "core": "stream", "columns": 1}, rng, beats)
    scales = dequant.vectors(dequant_parameters(parameters), rng, beats)
    names = ["s", *(["t"] if parameters.get("act_scale") else [])]
    names += ["z"] if parameters["zero_point"] else []
    last = np.asarray(codes["last"])
    first = np.maximum.accumulate(np.where(np.append(True, last[:-1]), np.arange(beats), 0))
    for name, field in zip("st", _scale_fields(parameters), strict=False):
        legal = legal_codes(parse(parameters[field]))
        span = np.maximum(1, len(legal) // 9 >> rng.integers(0, 5, beats)[first])
        slope = rng.integers(-3, 10, beats)[first] * (rng.random(beats) < 0.5)[first]
        places = rng.integers(0, len(legal), beats)[first] + slope * (np.arange(beats) - first)
        near = legal[np.clip(places + rng.integers(0, span), 0, len(legal) - 2)]
        close = (rng.random(beats) < 3 / 4)[first] & (np.arange(beats) >= beats // 8)
        scales[name][:, 0] = np.where(close, near, scales[name][:, 0])
    return {**codes, **{name: scales[name][:, 0] for name in names}}


def dequant_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the ``dequant`` inside, for sums of any width."""
    weight, act = operands(parameters)
    return {
        "acc_bits": 32,
        "lam": weight.lam + act.lam,
        "scale": parameters["scale"],
        "act_scale": parameters.get("act_scale"),
        "zero_point": parameters["zero_point"],
        "sum": mode_of(parameters),
        "blocks": 1,
        "max_groups": 64,
    }


def _group_ends(parameters: Mapping[str, Any], last: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return which beats end a group, and which a dot product."""
    marks = np.asarray(last).astype(bool)
    length = int(parameters["group"]) // int(parameters["lanes"])
    ends, count = marks.copy(), 0
    for row, mark in enumerate(marks):
        count += 1
        ends[row] |= count == length
        count = 0 if ends[row] or mark else count
    return ends, marks


def _scale_fields(parameters: Mapping[str, Any]) -> list[str]:
    return ["scale", *(["act_scale"] if parameters.get("act_scale") else [])]

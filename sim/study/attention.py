# SPDX-License-Identifier: Apache-2.0
"""Errors of attention by every kind of softmax: unit, length, data and width.

Queries, keys and values have 8 bits, each head with scales of its own. The units that work on rows
of logits take logits of 8 bits, and what they give is multiplied with V and added up exactly.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.golden.attention import softmax
from sim.golden.attention.attention import attend
from sim.golden.attention.rows import scale_of
from sim.golden.attention.softmax_log import values, weights
from sim.study.bert import Heads, attention

__all__ = ["COLUMNS", "UNITS", "Unit", "gaussian", "measure", "table"]

Reals = NDArray[np.float64]
Integers = NDArray[np.int64]

COLUMNS = ("data", "keys", "unit", "bits", "error", "error_of_unit")

_LANES = 16
_LOG2E = float(np.log2(np.e))

#: Scores (rows, keys), the worth of one of their steps, V (keys, channels) to means of V.
Method = Callable[[Integers, float, Integers], Reals]


class Unit(NamedTuple):
    """A way to compute attention: ``bits`` are those of its exponentials, outputs or codes."""

    name: str
    bits: int | None
    means: Method


def _exactly(x: Integers, step: float, v: Integers) -> Reals:
    e = np.exp((x - x.max(axis=1, keepdims=True)) * step)
    found: Reals = e / e.sum(axis=1, keepdims=True) @ v
    return found


def _streamed(kind: str, bits: int, x: Integers, step: float, v: Integers) -> Reals:
    part = attend(x, v, *scale_of(step * _LOG2E), tile=_LANES, exp_bits=bits, kind=kind)
    found: Reals = part.o / part.l[:, np.newaxis]
    return found


def _eight_bits(x: Integers, step: float) -> tuple[Integers, float]:
    """Return logits of 8 bits and the worth of a step."""
    wide = max(float(np.abs(x).max()) * step / 127, 2.0**-12)
    return np.rint(x * (step / wide)).astype(np.int64), wide


def _of_rows(kind: str, given: Mapping[str, Any], x: Integers, step: float, v: Integers) -> Reals:
    """Means of V by the unit ``softmax``."""
    q, wide = _eight_bits(x, step)
    parameters: dict[str, Any] = {"kind": kind, "lanes": _LANES, "in_bits": 8, "max_len": 1 << 16}
    parameters |= {"exp_bits": 16, "base": None, **given}
    m, sh, one = 0, 0, 1 << int(given.get("out_bits", 8))
    if kind == "ita":
        # The finest step, of ln 2 and less, with which no logit saturates.
        parameters["shift"] = max([0] + [s for s in range(8) if wide <= np.log(2) / (1 << s)])
        q = np.clip(np.rint(q * wide / np.log(2) * (1 << parameters["shift"])), -128, 127)
        q, one = q.astype(np.int64), 255
    elif kind in ("ibert", "ivit"):
        scale = min(max(Fraction(wide).limit_denominator(4096), Fraction(1, 1024)), Fraction(1, 4))
        q = np.clip(np.rint(q * (wide / float(scale))), -128, 127).astype(np.int64)
        parameters["scale"], one = str(scale), 128 if kind == "ivit" else 256
    else:
        m, sh = scale_of(wide * _LOG2E)
    found = []
    for logits in q:
        rest = -len(logits) % _LANES
        keep = np.pad(np.ones(len(logits), dtype=bool), (0, rest)).reshape(-1, _LANES)
        beats = np.pad(logits, (0, rest)).reshape(-1, _LANES)
        row = softmax.KINDS[kind](parameters, beats, keep, m, sh)
        p = row["p"].ravel()[: len(logits)].astype(np.float64)
        if "zero" in row:
            numbers = values(kind, int(given["code_bits"]), parameters["base"])
            there = ~row["zero"].ravel()[: len(logits)]
            first = int(weights(kind, int(given["code_bits"]), parameters["base"])[0])
            p, one = numbers[p.astype(np.int64)] * there * first, int(row["l"][-1])
        found.append(p @ v / one)
    return np.array(found)


def _units() -> Iterator[Unit]:
    yield Unit("exact", None, _exactly)
    yield Unit("exact, logits of 8 bits", None, lambda x, s, v: _exactly(*_eight_bits(x, s), v))
    for kind in ("fa-int", "fa-int-p2"):
        for bits in (8, 12, 16):
            yield Unit(kind, bits, functools.partial(_streamed, kind, bits))
    for kind in ("safe", "online", "two-pass"):
        for bits in (8, 16):
            yield Unit(kind, bits, functools.partial(_of_rows, kind, {"out_bits": bits}))
    for kind in ("ita", "ibert", "ivit"):
        yield Unit(kind, 8, functools.partial(_of_rows, kind, {}))
    for kind in ("log2", "log-sqrt2", "adalog"):
        for bits in (3, 4):
            given = {"code_bits": bits, "base": 22 if kind == "adalog" else None}
            yield Unit(kind, bits, functools.partial(_of_rows, kind, given))


UNITS = tuple(_units())


def gaussian(
    rng: np.random.Generator, queries: int, keys: int, spread: float, channels: int = 64
) -> Heads:
    """Return one head of normal numbers; those of the queries have the deviation ``spread``."""
    q = rng.normal(0, spread, (1, queries, channels))
    k, v = rng.normal(0, 1, (2, 1, keys, channels))
    return Heads(q, k, v)


def measure(heads: Heads, units: Iterable[Unit] = UNITS) -> Iterator[tuple[Unit, float, float]]:
    """Yield each unit with its relative errors, over all heads together.

    The first is against attention of the real numbers, the other against exact attention of the
    same integers.
    """
    integers = [[_quantized(a) for a in head] for head in zip(*heads, strict=True)]
    steps = [q[1] * k[1] / np.sqrt(heads.q.shape[-1]) for q, k, _ in integers]
    scores = [q[0] @ k[0].T for q, k, _ in integers]
    real = attention(*heads)
    rounded = [
        _exactly(x, step, v) * sv
        for x, step, (_, _, (v, sv)) in zip(scores, steps, integers, strict=True)
    ]
    for unit in units:
        found = [
            unit.means(x, step, v) * sv
            for x, step, (_, _, (v, sv)) in zip(scores, steps, integers, strict=True)
        ]
        yield unit, _relative(np.array(found), real), _relative(np.array(found), np.array(rounded))


def table(cases: Iterable[tuple[str, Heads]], units: Sequence[Unit] = UNITS) -> Iterator[list[str]]:
    """Yield the rows of :data:`COLUMNS` for each case, a name and its heads."""
    for name, heads in cases:
        for unit, error, own in measure(heads, units):
            bits = "" if unit.bits is None else str(unit.bits)
            keys = str(heads.k.shape[1])
            yield [name, keys, unit.name, bits, f"{error:.3g}", f"{own:.3g}"]


def _quantized(x: Reals) -> tuple[Integers, float]:
    scale = max(float(np.abs(x).max()) / 127, 1e-30)
    return np.rint(x / scale).astype(np.int64), scale


def _relative(found: Reals, due: Reals) -> float:
    return float(np.linalg.norm(found - due) / np.linalg.norm(due))

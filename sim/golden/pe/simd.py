# SPDX-License-Identifier: Apache-2.0
"""Golden model of the architecture ``simd``: words of four formats, summed in exact quires.

A word has 16 bits: four e2m1 (``fmt`` 0), four posit4_1 (1), two posit8_0 (2) or one posit16_1
(3), the first in the low bits; so is the quire of 128 bits shared. A dot product has the format
that ``fmt`` names in its first beat. Products are summed exactly, place by place, over the lanes
and the beats; NaR counts as 0 and marks its place for good. Each sum is rounded once, at the end:
posits by the rounding on the bit string, e2m1 to nearest even, saturating, with the sign kept.

Source: XR-NPE (2025), with the widths of our definition.
"""

from bisect import bisect_right
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import PositFormat, parse
from sim.golden.formats import decode
from sim.golden.pe.framing import frames, starts_of, totals

__all__ = ["FORMATS", "round_e2m1", "round_posit", "run", "vectors"]

FORMATS = ("e2m1", "posit4_1", "posit8_0", "posit16_1")  #: By the value of ``fmt``.

_QUIRE = 128

Array = NDArray[Any]


def run(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]) -> dict[str, Array]:
    """Return what the unit answers to ``beats``, in order.

    ``beats`` holds ``a`` and ``w``, words of 16 bits of shape (n, lanes) or, for one lane, (n,),
    and ``fmt`` of shape (n,); beside them ``last`` or ``clr`` as :func:`sim.golden.pe.pe.run`.

    Returns ``quire`` (unsigned words of 128 bits that hold the two's complement sums, Python
    integers), ``nar`` (a bit for each sum) and ``y`` (words of 16 bits), all of shape (m,). Raises
    ``ValueError`` on a wrong shape, a word that is too wide and a sum that exceeds its quire.
    """
    a, w = (_words(name, beats[name], int(parameters["lanes"])) for name in ("a", "w"))
    starts = starts_of(parameters, beats)
    first = np.maximum.accumulate(np.where(starts, np.arange(len(a)), 0))
    kinds = np.asarray(beats["fmt"])[first]
    values, marks = np.zeros((len(a), 4), dtype=object), np.zeros((len(a), 4), dtype=bool)
    for kind, name in enumerate(FORMATS):
        rows, fmt = kinds == kind, parse(name)
        places = 16 // fmt.bits
        shifts = fmt.bits * np.arange(places)
        (x, x_nar), (y, y_nar) = (
            decode(fmt, v[rows][:, :, None] >> shifts & (1 << fmt.bits) - 1) for v in (a, w)
        )
        values[rows, :places] = (x.astype(object) * y.astype(object)).sum(axis=1)
        marks[rows, :places] = (x_nar | y_nar).any(axis=1)
    sums, nar = totals(parameters, beats, values), totals(parameters, beats, marks)
    results = [
        _result(int(k), s, n)
        for k, s, n in zip(_of_results(parameters, beats, kinds), sums, nar, strict=True)
    ]
    columns = list(zip(*results, strict=True)) or [(), (), ()]
    return {
        "quire": np.array([*columns[0], 0], dtype=object)[:-1],
        "nar": np.array(columns[1], dtype=np.int64),
        "y": np.array(columns[2], dtype=np.int64),
    }


def round_e2m1(quarters: int) -> int:
    """Return the e2m1 code nearest to ``quarters / 4``, ties to even, saturating."""
    magnitudes = (0, 2, 4, 6, 8, 12, 16, 24)
    near = [(abs(abs(quarters) - m), code & 1, code) for code, m in enumerate(magnitudes)]
    return min(near)[2] | (8 if quarters < 0 else 0)


def round_posit(fmt: PositFormat, integer: int, lam: int) -> int:
    """Return the code of ``integer * 2**lam``, rounded on the bit string; ``lam <= fmt.lam - 1``.

    Between two codes decides the code in the middle of the posits that have one bit more.
    """
    values, middles = _positive(fmt)
    magnitude, scale = abs(integer), fmt.lam - lam
    if magnitude == 0:
        return 0
    code = max(1, bisect_right(values, magnitude >> scale))
    if code < len(values) and magnitude > values[0] << scale:
        middle = middles[code - 1] << (scale - (1 << fmt.es))
        code += magnitude > middle or (magnitude == middle and code & 1)
    return code if integer > 0 else (1 << fmt.bits) - code


@cache
def _positive(fmt: PositFormat) -> tuple[list[int], list[int]]:
    """Values of the positive codes from 1; the values in the middle above each, in a finer unit."""
    codes = np.arange(1, 1 << fmt.bits - 1)
    finer = PositFormat("finer", fmt.bits + 1, fmt.es)
    return decode(fmt, codes)[0].tolist(), decode(finer, 2 * codes + 1)[0].tolist()


def _words(name: str, words: ArrayLike, lanes: int) -> Array:
    array = np.asarray(words).astype(np.int64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[1] != lanes:
        raise ValueError(f"{name} must have shape (beats, {lanes}), not {array.shape}")
    if ((array < 0) | (array >> 16 > 0)).any():
        raise ValueError(f"{name} must hold words of 16 bits")
    return array


def _of_results(
    parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike], values: Array
) -> Array:
    """The rows of ``values`` after which there is a result."""
    if parameters.get("core") == "accumulate":
        return values
    return values[np.asarray(beats["last"], dtype=bool)]


def _result(kind: int, sums: Array, nar: Array) -> tuple[int, int, int]:
    fmt = parse(FORMATS[kind])
    places, lam = 16 // fmt.bits, 2 * fmt.lam
    each = _QUIRE // places
    quire = marks = y = 0
    for place in range(places):
        total = int(sums[place])
        if not -1 << each - 1 <= total < 1 << each - 1:
            raise ValueError(f"the sum {total} does not fit its quire of {each} bits")
        if nar[place]:
            code = 1 << fmt.bits - 1
        elif isinstance(fmt, PositFormat):
            code = round_posit(fmt, total, lam)
        else:
            code = round_e2m1(total)
        quire |= (total & (1 << each) - 1) << each * place
        marks |= int(nar[place]) << place
        y |= code << fmt.bits * place
    return quire, marks, y


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, Array]:
    """Return ``beats`` beats for :func:`run`.

    First, for each format, dot products of one beat of its extreme codes (zero, NaR, the smallest
    and the largest of both signs, one) and the longest ones of the largest products. In half of the
    beats left single products, whose codes have long regimes as often as not, so that roundings of
    every magnitude come by. Then random dot products of at most ``max_k // lanes`` beats; in most
    of them NaR is rare.
    """
    lanes = int(parameters["lanes"])
    longest = max(1, int(parameters["max_k"]) // lanes)
    deep = max(1, min(longest, beats // 32))
    pairs = [(k, x, y) for k in range(4) for x in _corners(k) for y in _corners(k)]
    leading = [1] * len(pairs) + [deep] * 8
    singles = max(0, beats - sum(leading)) // 2
    marks = frames(parameters, rng, beats, [*leading, *[1] * singles], longest)
    a, w = rng.integers(0, 1 << 16, (2, beats, lanes))
    rows = slice(sum(leading), sum(leading) + singles)
    for words in (a, w) if singles else ():
        # Few significant bits, or their complement.
        short = words[rows] >> rng.integers(0, 16, (singles, lanes))
        short ^= rng.choice([0, 0x7FFF, 0xFFFF, 0x8000], (singles, lanes))
        words[rows] = np.where(rng.random((singles, 1)) < 0.5, short, words[rows])
    fmt = rng.integers(0, 4, beats)
    for row, (kind, x, y) in enumerate(pairs[:beats]):
        fmt[row], a[row], w[row] = kind, x, y
    for k in range(8):
        rows = slice(len(pairs) + k * deep, len(pairs) + (k + 1) * deep)
        kind, size = k % 4, parse(FORMATS[k % 4]).bits
        top = (1 << size - 1) - 1
        least = 0xF if kind == 0 else (1 << size) - top
        fmt[rows], a[rows], w[rows] = (
            kind,
            _filled(top, size),
            _filled(top if k < 4 else least, size),
        )
    starts = starts_of(parameters, marks)
    first = np.maximum.accumulate(np.where(starts, np.arange(beats), 0))
    clean = (rng.random(beats) < 0.9)[first][:, None] & (np.arange(beats) >= len(pairs))[:, None]
    fmt = fmt[first]
    for words in (a, w):
        words[:] = np.where(clean, _without_nar(words, fmt[:, None]), words)
    return {"a": a, "w": w, "fmt": fmt, **marks}


def _corners(kind: int) -> list[int]:
    """Words full of one extreme code each."""
    size = parse(FORMATS[kind]).bits
    half, top = 1 << size - 1, (1 << size - 1) - 1
    codes = [0, 1, top, half, half + 1, (1 << size) - 1, half >> 1]
    return [_filled(code, size) for code in codes]


def _filled(code: int, size: int) -> int:
    return sum(code << at for at in range(0, 16, size))


def _without_nar(words: Array, fmt: Array) -> Array:
    """``words`` with 0 in place of every NaR of a posit."""
    for kind, name in enumerate(FORMATS):
        size = parse(name).bits
        for at in range(0, 16, size) if kind else ():
            field = ((1 << size) - 1) << at
            nar = (fmt == kind) & (words & field == 1 << at + size - 1)
            words = np.where(nar, words & ~field, words)
    return words

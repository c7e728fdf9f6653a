# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``quantize``: codes of one format to codes of another.

The meaning is that of :mod:`sim.golden.encode`; this module only brings the source to float64
without losing what decides the rounding.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import Format, PowerFormat, parse
from sim.golden.encode import encode, nan_code
from sim.golden.formats import decode_float, legal_codes

__all__ = ["float_values", "integer_bits", "integer_values", "run", "vectors"]

Reals = NDArray[np.float64]

#: Significant bits that float64 holds.
_PRECISION = 53


def integer_bits(source: str) -> int | None:
    """Return N for a source ``intN``, None for another. Raises ``ValueError`` beyond 2 to 64."""
    match = re.fullmatch(r"int([1-9]\d{0,2})", source)
    if not match:
        return None
    if not 2 <= int(match[1]) <= 64:
        raise ValueError(f"source must be int2 to int64, or a float, not {source!r}")
    return int(match[1])


def integer_values(bits: int, codes: ArrayLike) -> NDArray[Any]:
    """Return the Python integers that two's complement ``codes`` of ``bits`` bits stand for."""
    sign = 1 << bits - 1
    words = np.asarray(codes)
    values = [((int(code) & 2 * sign - 1) ^ sign) - sign for code in words.ravel()]
    return np.array(values, dtype=object).reshape(words.shape)


def float_values(source: str, codes: ArrayLike) -> Reals:
    """Return what the codes of the float ``source`` stand for; infinities and NaN included."""
    words = np.asarray(codes)
    if source == "fp32":  # too many codes for a table
        with np.errstate(invalid="ignore"):  # a signalling NaN
            return words.astype(np.uint32).view(np.float32).astype(np.float64)
    return decode_float(parse(source), words.astype(np.int64))


def run(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    """Return ``q``, target codes of the shape of ``x``: (n,) or (n, lanes) codes of the source.

    The value of an integer source is ``x * 2**lam``. Raises ``ValueError`` on a NaN that the
    target has no code for.
    """
    source, target = str(parameters["source"]), parse(parameters["format"])
    rounding = parameters.get("rounding") or "rne"
    overflow = parameters.get("overflow") or "sat"
    codes = np.asarray(beats["x"])
    bits = integer_bits(source)
    if bits is None:
        x = float_values(source, codes)
    else:
        lam = int(parameters.get("lam") or 0)
        x = _reduced(target, integer_values(bits, codes), lam)
    return {"q": encode(target, x, rounding, overflow)}


def _reduced(target: Format, integers: NDArray[Any], lam: int) -> Reals:
    """Float64 values that stand on the same side of every threshold as ``integers * 2**lam``.

    Thresholds between values have few bits: truncating to 53 bits and setting the last one if
    anything was lost keeps order with all of them, and with the float64 below each. Those
    between powers of two are irrational, but which side is known from the square; the nearest
    quarter then says it as well.
    """
    reals = []
    for integer in integers.ravel():
        magnitude, exponent = abs(int(integer)), lam
        length = magnitude.bit_length()
        if isinstance(target, PowerFormat) and magnitude & magnitude - 1:
            rises = magnitude * magnitude >> 2 * length - 1
            magnitude, exponent = 7 if rises else 5, lam + length - 3
        elif length > _PRECISION:
            lost = length - _PRECISION
            sticky = magnitude & (1 << lost) - 1 != 0
            magnitude, exponent = magnitude >> lost | sticky, lam + lost
        reals.append(float(np.ldexp(float(magnitude), exponent)) * (-1 if integer < 0 else 1))
    return np.array(reals, dtype=np.float64).reshape(integers.shape)


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, NDArray[Any]]:
    """Return ``x``, source codes of shape (beats, lanes).

    First the corners: zeros, extremes, infinities and NaN (where the target has one), and the
    source values at and beside every value and threshold of the target (as many as there is room
    for, spread evenly); then random ones, spread evenly over the octaves.
    """
    source, target = str(parameters["source"]), parse(parameters["format"])
    lanes = int(parameters.get("lanes") or 1)
    lam = int(parameters.get("lam") or 0)
    bits = integer_bits(source)
    room = beats * lanes
    if bits is None:
        corners, fill = _float_corners(source, target), _random_floats(source, target, rng, room)
    else:
        corners = _integer_corners(bits, lam, target)
        fill = _random_integers(bits, rng, room)
    most = max(1, room // 2)
    if len(corners) > most:
        corners = [corners[i * len(corners) // most] for i in range(most)]
    codes = np.array([*corners, *fill], dtype=object)[:room]
    return {"x": codes.reshape(beats, lanes)}


def _around(target: Format) -> Reals:
    """The values of the target, the middles of neighbours, and what lies beyond the largest."""
    values = decode_float(target, legal_codes(target))
    values = np.unique(values[np.isfinite(values)])
    top = np.abs(values).max()
    beyond = top * np.array([1, 1 + 2.0**-9, 1.0625, 1.125, 1.25, 1.5, 2, 3, 4])
    middles = values[:-1] / 2 + values[1:] / 2
    return np.unique(np.concatenate([values, middles, beyond, -beyond]))


def _integer_corners(bits: int, lam: int, target: Format) -> list[int]:
    mask, top = (1 << bits) - 1, 1 << bits - 1
    near = {0, 1, -1, 2, -2, 3, -3, top - 1, top - 2, -top, 1 - top}
    for value in np.ldexp(_around(target), -lam):
        if abs(value) < 2.0**70:
            near |= {int(np.floor(value)) + step for step in (-1, 0, 1, 2)}
    return [x & mask for x in sorted(near, key=lambda v: (abs(v), v)) if -top <= x < top]


def _random_integers(bits: int, rng: np.random.Generator, count: int) -> list[int]:
    words = rng.integers(0, 1 << 63, count, dtype=np.uint64, endpoint=True)
    lengths = rng.integers(1, bits, count, endpoint=True)
    signs = rng.integers(0, 2, count)
    mask = (1 << bits) - 1
    numbers = zip(words.tolist(), lengths.tolist(), signs.tolist(), strict=True)
    return [(-1 if sign else 1) * (word % (1 << length)) & mask for word, length, sign in numbers]


def _float_corners(source: str, target: Format) -> list[int]:
    width, exp_bits = (32, 8) if source == "fp32" else (16, {"fp16": 5, "bf16": 8}[source])
    man_bits = width - 1 - exp_bits
    infinity = (1 << exp_bits) - 1 << man_bits
    near = {0, 1, 2, (1 << man_bits) - 1, 1 << man_bits, infinity - 1, infinity}
    for value in np.abs(_around(target)):
        code = _float_code(source, value)
        near |= {code + step for step in (-1, 0, 1) if 0 <= code + step <= infinity}
    codes = sorted(near)
    if _has_nan(target):
        codes += [infinity + 1, infinity + (1 << man_bits - 1), (1 << width - 1) - 1]
    return [code | sign for code in codes for sign in (0, 1 << width - 1)]


def _float_code(source: str, value: float) -> int:
    """Code of the source for a positive number, or one next to it."""
    with np.errstate(over="ignore"):
        if source == "fp16":
            return int(np.float16(value).view(np.uint16))
        single = int(np.float32(value).view(np.uint32))
    return single if source == "fp32" else single >> 16


def _random_floats(source: str, target: Format, rng: np.random.Generator, count: int) -> list[int]:
    """Half anything finite, half of the magnitudes between which the target changes."""
    width = 32 if source == "fp32" else 16
    codes = rng.integers(0, 1 << width, count)
    octaves = target.lam - 3, target.lam + target.max_int.bit_length() + 2
    signs = rng.integers(0, 2, count) << width - 1
    scaled = [_float_code(source, 2.0**e) for e in rng.uniform(*octaves, count)]
    codes = np.where(rng.random(count) < 0.5, codes, np.array(scaled) | signs)
    finite = np.isfinite(float_values(source, codes))
    return [int(code) for code in np.where(finite, codes, signs)]


def _has_nan(target: Format) -> bool:
    try:
        nan_code(target)
    except ValueError:
        return False
    return True

# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``requant``: wide integers to narrow ones by a dyadic factor.

===========  ==========================================================================
scheme       value before the zero point is added and the output range clamps it
===========  ==========================================================================
``floor``    ``floor(x*m / 2**s)``
``rhu``      nearest, ties toward plus infinity
``rha``      nearest, ties away from zero
``rne``      nearest, ties to even
``ibert``    as ``rne``
``rbe``      ``floor((k*x + add) / 2**s)``, ``k`` unsigned
``tflite``   ``floor((x*m + 2**(t-1)) / 2**t)``, ``t = 31 - s`` clamped to 1..62
``gemmlowp`` ``rdpot(srdhm(sat(x << ls), m), rs)``: rs = s from 0 to 31, else ls = -s
===========  ==========================================================================

All are exact: nothing between input and the named rounding has a width, except in ``gemmlowp``,
which is defined on 32-bit integers (``sat``). Its right shifts clamp to 31.

Sources: gemmlowp and TensorFlow Lite (fixed-point kernels), I-BERT (2021), RBE / NEMO (PULP).
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["output_range", "rdpot", "requant", "run", "srdhm", "vectors"]

Integers = NDArray[Any]

_INT32 = (-1 << 31, (1 << 31) - 1)


def srdhm(a: int, b: int) -> int:
    """Return the rounded high half of ``2*a*b`` of two int32: ties toward plus infinity."""
    if a == b == _INT32[0]:
        return _INT32[1]
    product = a * b
    nudged = product + ((1 << 30) if product >= 0 else 1 - (1 << 30))
    quotient = abs(nudged) >> 31
    return quotient if nudged >= 0 else -quotient


def rdpot(x: int, exponent: int) -> int:
    """Return ``x / 2**exponent``, to nearest, ties away from zero."""
    mask = (1 << exponent) - 1
    return (x >> exponent) + ((x & mask) > (mask >> 1) + (x < 0))


def requant(scheme: str, x: int, m: int, s: int, add: int = 0) -> int:
    """Return the scaled value, before zero point and clamp. Raises ``ValueError`` for a scheme."""
    if scheme == "gemmlowp":
        shifted = _clamp(x << max(-s, 0), *_INT32)
        return rdpot(srdhm(shifted, m), min(max(s, 0), 31))
    if scheme == "tflite":
        t = min(max(31 - s, 1), 62)
        return x * m + (1 << t - 1) >> t
    product = x * m + (add if scheme == "rbe" else 0)
    if scheme in ("floor", "rbe"):
        return product >> s
    half = 1 << s >> 1
    if scheme == "rhu":
        return product + half >> s
    if scheme == "rha":
        nearest = abs(product) + half >> s
        return nearest if product >= 0 else -nearest
    if scheme in ("rne", "ibert"):
        nearest = product + half >> s
        tie = s > 0 and product & (1 << s) - 1 == half
        return nearest - (tie and nearest & 1)
    raise ValueError(f"unknown scheme {scheme!r}")


def output_range(out: str) -> tuple[int, int]:
    """Return the least and the greatest value of ``intN`` or ``uintN``."""
    match = re.fullmatch(r"(u?)int([1-9]\d*)", out)
    if not match:
        raise ValueError(f"out must be intN or uintN, not {out!r}")
    bits = int(match[2])
    return (0, (1 << bits) - 1) if match[1] else (-1 << bits - 1, (1 << bits - 1) - 1)


def run(parameters: Mapping[str, Any], beats: Mapping[str, Any]) -> dict[str, Integers]:
    """Return what the unit answers to ``beats``, in order.

    ``beats`` holds ``x`` (n, lanes) and, of shape (n,) and shared by the lanes, ``m`` and ``s``
    unless the parameters fix them, ``z`` with ``zero_point``, ``add`` for scheme ``rbe``. Each may
    be given as integers or as codes of the port's width.

    Returns ``y`` (n, lanes) and ``saturated`` (n,): some lane of ``y`` was clamped.
    """
    scheme, bits = parameters["scheme"], int(parameters["in_bits"])
    signed_shift = scheme in ("gemmlowp", "tflite")
    low, high = output_range(parameters["out"])
    x = np.asarray(beats["x"], dtype=object)
    x = x.reshape(len(x), -1)
    count = len(x)
    m = _operand(parameters["multiplier"], beats, "m", parameters["mult_bits"], scheme != "rbe", x)
    s = _operand(parameters["shift"], beats, "s", 7 if signed_shift else 6, signed_shift, x)
    zero = None if parameters["zero_point"] else 0
    z = _operand(zero, beats, "z", (high - low).bit_length() + 1, True, x)
    add = _operand(None if scheme == "rbe" else 0, beats, "add", 32, True, x)
    y = np.zeros(x.shape, dtype=object)
    saturated = np.zeros(count, dtype=bool)
    for row in range(count):
        for lane, value in enumerate(x[row]):
            wide = requant(scheme, _signed(value, bits), m[row], s[row], add[row]) + z[row]
            y[row, lane] = _clamp(wide, low, high)
            saturated[row] |= wide != y[row, lane]
    return {"y": y, "saturated": saturated}


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, Integers]:
    """Return beats: every corner of ``x`` with corners of ``m``, then values near ties."""
    scheme, bits = parameters["scheme"], int(parameters["in_bits"])
    lanes, mult_bits = int(parameters["lanes"]), int(parameters["mult_bits"])
    low, high = output_range(parameters["out"])
    corners = [0, 1, -1, 1 << bits - 2, -(1 << bits - 2), -(1 << bits - 1), (1 << bits - 1) - 1]
    factors = [0, 1, 1 << mult_bits - 2, (1 << mult_bits - 1) - 1]
    if scheme == "rbe":
        factors.append((1 << mult_bits) - 1)
    elif scheme not in ("gemmlowp", "tflite"):
        factors += [-1, -(1 << mult_bits - 1)]
    shifts = range(-64, 64) if scheme in ("gemmlowp", "tflite") else range(64)
    wide = int(rng.integers(1 << 30))
    x = np.zeros((beats, lanes), dtype=object)
    m, s, z, add = (np.zeros(beats, dtype=object) for _ in range(4))
    for row in range(beats):
        z[row] = int(rng.integers(-(high - low) - 1, high - low + 1, endpoint=True))
        if row < beats // 2:
            # A walk that meets all pairs of corners, with shifts in a different rhythm.
            m[row] = factors[row // len(corners) % len(factors)]
            s[row] = shifts[(row * 5 + wide) % len(shifts)]
            add[row] = [0, 1, -1, -1 << 31, (1 << 31) - 1][row % 5]
            x[row] = [corners[(row + lane) % len(corners)] for lane in range(lanes)]
            continue
        m[row] = _log_uniform(rng, mult_bits - 1 + (scheme == "rbe"), 1 << mult_bits - 2)
        if scheme not in ("gemmlowp", "tflite", "rbe") and rng.random() < 0.25:
            m[row] = -m[row]
        s[row] = int(rng.choice(np.array(shifts)))
        add[row] = int(rng.integers(-1 << 31, 1 << 31))
        factor = m[row] if parameters["multiplier"] is None else int(parameters["multiplier"])
        shift = s[row] if parameters["shift"] is None else int(parameters["shift"])
        places = 31 - shift if scheme == "tflite" else shift + 31 * (scheme == "gemmlowp")
        for lane in range(lanes):
            x[row, lane] = _near_tie(rng, bits, factor, places, high - low)
    found = {"x": x, "m": m, "s": s, "z": z, "add": add}
    absent = {
        "m": parameters["multiplier"] is not None,
        "s": parameters["shift"] is not None,
        "z": not parameters["zero_point"],
        "add": scheme != "rbe",
    }
    return {name: array for name, array in found.items() if not absent.get(name)}


def _operand(
    fixed: Any, beats: Mapping[str, Any], name: str, bits: int, signed: bool, like: Integers
) -> list[int]:
    """Return one integer for each row: the fixed one, or the port's."""
    if fixed is not None:
        return [int(fixed)] * len(like)
    given = np.asarray(beats[name], dtype=object).reshape(len(like))
    return [_signed(v, bits) if signed else int(v) & (1 << bits) - 1 for v in given]


def _signed(value: Any, bits: int) -> int:
    code = int(value) & (1 << bits) - 1
    return code - (code >> bits - 1 << bits)


def _clamp(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)


def _log_uniform(rng: np.random.Generator, bits: int, usual: int) -> int:
    """Mostly integers from ``usual`` on, as scales are normalised, else of any length."""
    if rng.random() < 0.5:
        return usual + int(rng.integers(min(usual, 1 << 62)))
    return int(rng.integers(1 << 62)) & (1 << int(rng.integers(1, bits + 1))) - 1


def _near_tie(rng: np.random.Generator, bits: int, factor: int, places: int, span: int) -> int:
    """Return an ``x`` whose scaled value is about half of an odd integer within the output."""
    limit = 1 << bits - 1
    if factor == 0 or rng.random() < 0.2:
        return int(rng.integers(-limit, limit)) if bits <= 63 else int(rng.integers(1 << 62))
    half = 2 * int(rng.integers(-span, span + 1)) + 1
    numerator, denominator = half << max(places - 1, 0), factor << max(1 - places, 0)
    x = numerator // denominator + int(rng.integers(-1, 2))
    return _clamp(x, -limit, limit - 1)

# SPDX-License-Identifier: Apache-2.0
"""Fourier transforms in integers, as the butterfly engine computes them.

Decimation in time with strides ``n/2`` down to 1, natural order in, bit-reversed order in memory;
one twiddle per block. ``scaling`` says what keeps the numbers in range:

* ``half``: every stage halves;
* ``bfp``: a stage shifts by 0, 1 or 2, as the largest component before it demands: one grows by
  at most ``1 + sqrt 2``;
* ``grow``: no shift, the state has ``log2 n + 1`` more bits.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.attention.tables import rhu, saturate
from sim.golden.butterfly.banks import reversed_index

__all__ = ["SCALINGS", "block_shift", "dft", "rounded", "transform", "twiddles"]

Integers = NDArray[Any]

SCALINGS = ("half", "bfp", "grow")


def rounded(value: ArrayLike, shift: ArrayLike, rounding: str) -> Integers:
    """Return ``value / 2**shift`` by ``rhu``, ``rne`` or ``floor``. Else ``ValueError``."""
    value, shift = np.asarray(value, dtype=np.int64), np.asarray(shift, dtype=np.int64)
    if rounding == "floor":
        return value >> shift
    nearest = rhu(value, shift)
    if rounding == "rne":
        half = np.int64(1) << shift >> 1
        tie = (shift > 0) & (value & (np.int64(1) << shift) - 1 == half)
        return nearest - (tie & nearest & 1)
    if rounding != "rhu":
        raise ValueError(f"rounding must be rhu, rne or floor, not {rounding!r}")
    return nearest


@cache
def twiddles(size: int, bits: int) -> tuple[Integers, Integers]:
    """Return ``exp(-2*pi*j*k/size)`` for k below ``size``, real and imaginary, in Q2.(bits-2)."""
    angle = -2 * np.pi * np.arange(size) / size
    one = 2.0 ** (bits - 2)
    real, imaginary = (np.floor(f(angle) * one + 0.5).astype(np.int64) for f in (np.cos, np.sin))
    return real, imaginary


def block_shift(largest: ArrayLike, bits: int) -> Integers:
    """Return the shift of a stage of ``bfp`` whose largest component is ``largest``."""
    grown = np.asarray(largest, dtype=np.int64) * 24143
    limit = 10000 << bits - 1
    return (grown >= limit).astype(np.int64) + (grown >= 2 * limit)


def transform(
    real: ArrayLike,
    imaginary: ArrayLike,
    *,
    scaling: str,
    data_bits: int,
    twiddle_bits: int,
    state_bits: int | None = None,
    inverse: bool = False,
    rounding: str = "rhu",
) -> tuple[Integers, Integers, Integers]:
    """Transform each row of (rows, n) arrays; return both parts as the memory has them, and ``e``.

    ``state_bits`` is ``data_bits`` unless given. The DFT is worth ``result * 2**e``, the inverse
    without its ``1/n``. Roundings other than ``rhu`` serve comparisons. Raises ``ValueError`` for
    an unknown ``scaling``.
    """
    if scaling not in SCALINGS:
        raise ValueError(f"scaling must be one of {', '.join(SCALINGS)}, not {scaling!r}")
    re, im = np.array(real, dtype=np.int64), np.array(imaginary, dtype=np.int64)
    rows, size = re.shape
    state_bits = state_bits or data_bits
    frac = twiddle_bits - 2
    exponent = np.zeros(rows, dtype=np.int64)
    for stage in range(size.bit_length() - 1):
        shift = np.full(rows, int(scaling == "half"), dtype=np.int64)
        if scaling == "bfp":
            shift = block_shift(np.maximum(np.abs(re), np.abs(im)).max(axis=1), data_bits)
        exponent += shift
        wr, wi = (part[reversed_index(stage)] for part in twiddles(2 << stage, twiddle_bits))
        wr, wi = wr[:, np.newaxis], (-wi if inverse else wi)[:, np.newaxis]
        shape = (rows, 1 << stage, 2, size >> stage + 1)
        (ar, cr), (ai, ci) = (np.moveaxis(v.reshape(shape), 2, 0) for v in (re, im))
        pr, pi = cr * wr - ci * wi, cr * wi + ci * wr
        places = (frac + shift)[:, np.newaxis, np.newaxis]
        parts = []
        for a, p in ((ar, pr), (ai, pi)):
            pair = [rounded((a << frac) + t, places, rounding) for t in (p, -p)]
            parts.append(saturate(np.stack(pair, axis=2), state_bits).reshape(rows, size))
        re, im = parts
    return re, im, exponent


def dft(
    real: ArrayLike, imaginary: ArrayLike | None = None, **options: Any
) -> tuple[Integers, Integers, Integers]:
    """Return what :func:`transform` does in natural order; without ``imaginary`` of real rows."""
    real = np.asarray(real)
    imaginary = np.zeros_like(real) if imaginary is None else imaginary
    re, im, exponent = transform(real, imaginary, **options)
    order = reversed_index(real.shape[1].bit_length() - 1)
    return re[:, order], im[:, order], exponent

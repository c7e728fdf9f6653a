# SPDX-License-Identifier: Apache-2.0
"""Activation functions: real ones, their tables, and the published integer forms.

Sources: I-BERT (2021), ITA (2023), I-ViT (2023). Constants of a scale are exact: decimals are taken
as they are printed, the root of two is not rounded.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.golden.attention.tables import look_up, rhu, saturate, table

__all__ = [
    "FUNCTIONS",
    "Constants",
    "function_table",
    "ibert_constants",
    "ibert_gelu",
    "ita_constants",
    "ita_gelu",
    "shift_exp",
    "shift_gelu",
    "shift_limit",
    "silu_segments",
]

Integers = NDArray[Any]

_INT32 = (1 << 31) - 1


def _sigmoid(v: float) -> float:
    if v >= 0:
        return 1 / (1 + math.exp(-v))
    e = math.exp(v)
    return e / (1 + e)


def _clipped(v: float) -> float:
    return min(max(v, 0.0), 6.0) / 6


#: Real functions that a table may hold.
FUNCTIONS: dict[str, Callable[[float], float]] = {
    "gelu": lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2))),
    "gelu-tanh": lambda v: (
        0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))
    ),
    "quick-gelu": lambda v: v * _sigmoid(1.702 * v),
    "h-gelu": lambda v: v * _clipped(1.702 * v + 3),
    "silu": lambda v: v * _sigmoid(v),
    "hard-swish": lambda v: v * _clipped(v + 3),
}


def function_table(name: str, scale: Fraction, scale_out: Fraction, bits: int) -> Integers:
    """Return 256 entries of a table of int8, at the unsigned code of the argument."""
    reals = [FUNCTIONS[name](float(x * scale)) for x in [*range(128), *range(-128, 0)]]
    return saturate([math.floor(v / float(scale_out) + 0.5) for v in reals], bits)


def silu_segments(x: ArrayLike, frac: int, index_bits: int) -> Integers:
    """Return SiLU of int16 with ``frac`` fraction bits, by a table of the sigmoid up to 8."""
    x = np.asarray(x, dtype=np.int64)
    place = np.abs(x) << 13 - frac
    value = look_up(table("sigmoid", index_bits), np.minimum(place, 65535))
    value = np.where(place >= 65536, 65536, value)
    return saturate(rhu(x * np.where(x < 0, 65536 - value, value), 16), 16)


class Constants(NamedTuple):
    """Of the polynomial ``(min(|x|, -b) + b)**2 + c``, and what is added to it."""

    b: int
    c: int
    one: int


def ita_constants(scale: Fraction) -> Constants:
    """Return ITA's constants. Raises ``ValueError`` where they do not fit 16 bits."""
    square = 2 * (Fraction("1.769") / scale) ** 2
    below = math.isqrt(math.floor(square))
    b = -(below + (square > (below + Fraction(1, 2)) ** 2))
    c = -round(2 / (Fraction("0.2888") * scale**2))
    if min(b, c) < -1 << 15:
        raise ValueError(f"scale must be at least 1/68 with kind ita, not {scale}")
    return Constants(b, c, c)


def ita_gelu(x: ArrayLike, constants: Constants) -> Integers:
    """Return ITA's GELU before its requantisation; its scale is negative."""
    x = np.asarray(x, dtype=np.int64)
    return x * (np.where(x < 0, -1, 1) * _polynomial(x, constants) + constants.one)


def _polynomial(x: Integers, constants: Constants) -> Integers:
    return (np.minimum(np.abs(x), -constants.b) + constants.b) ** 2 + constants.c


def ibert_constants(scale: Fraction) -> Constants:
    """Return I-BERT's constants. Raises ``ValueError`` for a scale with nothing left after
    ``>> 14``, or with a polynomial beyond 40 bits."""
    root = scale / Fraction("1.4142")
    exact = 1 / (Fraction("-0.2888") * root**2)
    found = Constants(
        math.floor(Fraction("-1.769") / root), math.floor(exact), math.floor(exact / (1 << 14))
    )
    if found.one > -16 or found.c < -1 << 40:
        raise ValueError(f"scale must be from 2.6e-6 to 0.0052 with kind ibert, not {scale}")
    return found


def ibert_gelu(x: ArrayLike, constants: Constants) -> Integers:
    """Return I-BERT's GELU; its scale is negative."""
    x = np.asarray(x, dtype=np.int64)
    return x * ((np.sign(x) * _polynomial(x, constants) >> 14) + constants.one)


def shift_limit(scale: Fraction) -> int:
    """Return ``x0`` of ShiftGELU. Raises ``ValueError`` where sums would leave 32 bits."""
    found = math.trunc(-1 / (Fraction("1.702") * scale) - 1)
    if found < -127:
        raise ValueError(f"scale must be above 1/216 with kind ivit, not {scale}")
    return found


def shift_exp(v: ArrayLike, x0: int) -> Integers:
    """Return I-ViT's ``exp(v)`` by shifts, held to 31 bits."""
    given: Integers = np.asarray(v, dtype=np.int64)
    held = np.maximum(given + (given >> 1) - (given >> 4), 23 * x0)
    k = held // x0
    return np.minimum(((held - k * x0) >> 1) - x0 << np.minimum(23 - k, 31), _INT32)


def shift_gelu(x: Integers, x0: int) -> Integers:
    """Return ShiftGELU of a row of elements, in units of ``scale / 128``."""
    if not len(x):
        return x
    top = int(x.max())
    e = shift_exp(x - top, x0)
    total = np.minimum(e + shift_exp(-top, x0), _INT32)
    return x * (_INT32 // total * e >> 24)

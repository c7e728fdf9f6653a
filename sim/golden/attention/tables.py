# SPDX-License-Identifier: Apache-2.0
"""Tables with linear interpolation, and the scalar functions made of them.

All functions take and return integers, element by element: int64 arrays (``rsqrt`` and ``log2``
uint64 ones too), or whatever becomes one.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "FUNCTIONS",
    "Table",
    "exp2",
    "exp2n",
    "log2",
    "look_up",
    "msb",
    "recip",
    "rhu",
    "rsqrt",
    "saturate",
    "sigmoid",
    "table",
    "table_error",
]

Integers = NDArray[Any]
FloatFunction = Callable[[NDArray[np.float64]], NDArray[np.float64]]

INDEX_BITS = 6
_FRACTION = 16


def _reciprocal(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / x


def _root(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / np.sqrt(x)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def _falling(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp2(-x)


def _sine(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sin(np.pi / 2 * x)


#: Function, start and end of its table.
FUNCTIONS: dict[str, tuple[FloatFunction, float, float]] = {
    "exp2n": (_falling, 0, 1),
    "exp2": (np.exp2, 0, 1),
    "recip": (_reciprocal, 1, 2),
    "rsqrt": (_root, 1, 2),
    "rsqrt2": (_root, 2, 4),
    "log2": (np.log2, 1, 2),
    "sigmoid": (_sigmoid, 0, 8),
    "sin": (_sine, 0, 1),
}


class Table(NamedTuple):
    """Values ``a`` at the start of each segment and the differences ``d`` to the next one."""

    a: Integers
    d: Integers
    index_bits: int


@cache
def table(name: str, index_bits: int = INDEX_BITS) -> Table:
    """Return the table of a function of :data:`FUNCTIONS`, with 16 fraction bits."""
    function, low, high = FUNCTIONS[name]
    points = low + (high - low) * np.arange((1 << index_bits) + 1) / (1 << index_bits)
    values = np.floor(function(points) * (1 << _FRACTION) + 0.5).astype(np.int64)
    return Table(values[:-1], np.diff(values), index_bits)


def look_up(found: Table, u: ArrayLike) -> Integers:
    """Return the table's value at ``u``, 16 bits from its start to its end."""
    u = np.asarray(u)
    rest = _FRACTION - found.index_bits
    index = u >> rest
    return found.a[index] + (found.d[index] * (u & (1 << rest) - 1) + (1 << rest - 1) >> rest)


def table_error(name: str, index_bits: int) -> float:
    """Return the worst error of a table over all inputs, in units of ``2**-16``."""
    function, low, high = FUNCTIONS[name]
    u = np.arange(1 << _FRACTION)
    exact = function(low + (high - low) * u / (1 << _FRACTION)) * (1 << _FRACTION)
    return float(np.abs(look_up(table(name, index_bits), u) - exact).max())


def rhu(value: ArrayLike, shift: ArrayLike) -> Integers:
    """Return ``value / 2**shift``, half up. Of int64 arrays values must be below ``2**61``."""
    value, shift = np.asarray(value), np.asarray(shift)
    if value.dtype != object:
        shift = np.minimum(shift, 62)
    half = (np.ones_like(value, shape=()) << shift) >> 1
    found: Integers = value + half >> shift
    return found


def saturate(value: ArrayLike, bits: int) -> Integers:
    """Return ``value`` held to the range of a signed integer."""
    return np.clip(np.asarray(value), -1 << bits - 1, (1 << bits - 1) - 1)


def msb(value: ArrayLike) -> Integers:
    """Return the index of the highest set bit of positive numbers."""
    rest = np.array(value).astype(np.uint64)
    found = np.zeros(rest.shape, dtype=np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        high = rest >> np.uint64(step)
        found += np.where(high > 0, step, 0)
        rest = np.where(high > 0, high, rest)
    return found


def exp2n(d: ArrayLike, out_bits: int, index_bits: int = INDEX_BITS) -> Integers:
    """Return ``2**-d`` with ``out_bits`` fraction bits; ``d`` has 12."""
    d = np.asarray(d)
    value = look_up(table("exp2n", index_bits), (d & 4095) << 4)
    shift = np.minimum(d >> 12, 63) + _FRACTION - out_bits
    return np.where(shift > 40, 0, rhu(value, np.minimum(shift, 40)))


def exp2(f: ArrayLike) -> Integers:
    """Return ``2**f`` with 16 fraction bits; ``f`` has 12, below 1."""
    return look_up(table("exp2"), np.asarray(f) << 4)


def _mantissa(value: ArrayLike) -> tuple[Integers, Integers]:
    """Return the exponent of positive numbers and their mantissa of 24 bits, cut."""
    code = np.array(value).astype(np.uint64)
    k = msb(code)
    up, down = np.maximum(23 - k, 0), np.maximum(k - 23, 0)
    return k, (code << up.astype(np.uint64) >> down.astype(np.uint64)).astype(np.int64)


def recip(
    value: ArrayLike, index_bits: int = INDEX_BITS, newton: bool = True
) -> tuple[Integers, Integers]:
    """Return ``(k, y)`` with ``1 / value ~ y * 2**-(30 + k)``, without ``newton`` ``16 + k``."""
    k, m = _mantissa(value)
    y = look_up(table("recip", index_bits), m - (1 << 23) >> 7)
    if newton:
        y = y * ((1 << 40) - m * y >> 9) + (1 << 15) >> 16
    return k, y


def rsqrt(
    value: ArrayLike, index_bits: int = INDEX_BITS, newton: bool = True
) -> tuple[Integers, Integers]:
    """Return ``(h, y)``: ``value**-0.5 ~ y * 2**-(30 + h)``, without ``newton`` ``16 + h``."""
    k, m = _mantissa(value)
    odd = k & 1
    u = m - (1 << 23) >> 7
    y = np.where(
        odd, look_up(table("rsqrt2", index_bits), u), look_up(table("rsqrt", index_bits), u)
    )
    if newton:
        p = (m << odd) * (y * y >> 2) >> 23
        y = y * ((3 << 30) - p) + (1 << 16) >> 17
    return k >> 1, y


def log2(value: ArrayLike, index_bits: int = INDEX_BITS) -> Integers:
    """Return the logarithm of positive numbers, with 16 fraction bits."""
    k, m = _mantissa(value)
    return (k << 16) + look_up(table("log2", index_bits), m - (1 << 23) >> 7)


def sigmoid(x: ArrayLike, index_bits: int = INDEX_BITS) -> Integers:
    """Return the sigmoid with 16 fraction bits; ``x`` has 12, and 16 bits with its sign."""
    x = np.asarray(x)
    value = look_up(table("sigmoid", index_bits), np.minimum(2 * np.abs(x), 65535))
    return np.where(x < 0, (1 << _FRACTION) - value, value)

# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``fma``: ``y = round(a * b + c)``, rounded once.

The sum is formed in integers of any length, so only the conversion to the output format rounds.
A NaN operand, ``inf * 0`` and the difference of infinities give the output's NaN (+0 where it has
none); an exact zero is +0 unless the product and the addend are both -0, as in IEEE 754.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import FloatFormat
from sim.golden.formats import check_codes
from sim.golden.fp.minifloat import (
    default_overflow,
    infinity,
    minifloat,
    nan,
    pack,
    product,
    unpack,
)
from sim.golden.fp.stimulus import operand_codes

__all__ = ["run", "vectors"]


@dataclass(frozen=True)
class _Fma:
    a: FloatFormat
    b: FloatFormat
    c: FloatFormat
    y: FloatFormat
    rounding: str
    overflow: str

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "_Fma":
        first = parameters.get("format") or "fp16"
        second = parameters.get("format_b") or first
        output = parameters.get("result") or first
        addend = parameters.get("addend") or output
        named = {"format": first, "format_b": second, "addend": addend, "result": output}
        a, b, c, y = (minifloat(name, role) for role, name in named.items())
        rounding = parameters.get("rounding") or "rne"
        return cls(a, b, c, y, rounding, parameters.get("overflow") or default_overflow(y))

    def __call__(self, a: int, b: int, c: int) -> int:
        sp, ip, kp = product(self.a, a, self.b, b)
        sc, ic, kc = unpack(self.c, c)
        if "nan" in (kp, kc) or (kp == kc == "inf" and sp != sc):
            return nan(self.y)
        if "inf" in (kp, kc):
            return infinity(self.y, sp if kp == "inf" else sc, self.overflow)
        lam = min(self.a.lam + self.b.lam, self.c.lam)
        ip <<= self.a.lam + self.b.lam - lam
        ic <<= self.c.lam - lam
        total = (-ip if sp else ip) + (-ic if sc else ic)
        sign = int(total < 0) if total else sp & sc
        return pack(self.y, sign, abs(total), lam, self.rounding, self.overflow)


def run(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    """Return what the unit answers to ``beats``: ``y``, codes (int64) of shape (n,).

    ``beats`` holds ``a``, ``b`` and ``c``, codes of shape (n,). Raises ``ValueError`` for formats
    that are no minifloats with a sign, unknown rules, and codes with too many bits.
    """
    fma = _Fma.of(parameters)
    a, b, c = (
        check_codes(fmt, np.asarray(beats[name]).reshape(-1)).tolist()
        for name, fmt in (("a", fma.a), ("b", fma.b), ("c", fma.c))
    )
    return {"y": np.array(list(map(fma, a, b, c)), dtype=np.int64)}


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, NDArray[np.int64]]:
    """Return ``beats`` beats ``a``, ``b``, ``c``: corners, then random codes.

    A third of the random beats nearly cancel, a third put the product at half a unit of the
    addend's last place or just beside it.
    """
    fma = _Fma.of(parameters)
    found = operand_codes((fma.a, fma.b, fma.c), rng, beats)
    start = beats // 3
    third = max(1, (beats - start) // 3)
    a, b, c = found
    near, half = slice(start, start + third), slice(start + third, start + 2 * third)
    c[near] = _cancelling(fma, a[near], b[near], rng)
    a[half], b[half] = _half_units(fma, c[half], rng)
    return {"a": a, "b": b, "c": c}


def _cancelling(
    fma: _Fma, a: NDArray[np.int64], b: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Addends that differ from minus the product by a few units in the last place."""
    zero = fma.c.exp_bits + fma.c.man_bits
    exact = _Fma(fma.a, fma.b, fma.c, fma.c, "rtz", "sat")
    sums = np.array([exact(x, y, 0) for x, y in zip(a.tolist(), b.tolist(), strict=True)])
    magnitude = (sums.astype(np.int64) & (1 << zero) - 1) + rng.integers(-1, 2, len(a))
    magnitude = np.clip(magnitude, 0, fma.c.max_code)
    return magnitude | (~(sums.astype(np.int64) >> zero) & 1) << zero


def _half_units(
    fma: _Fma, c: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Factors whose product is about half a unit of the last place of ``c`` in the output."""
    exponent = np.maximum(c >> fma.c.man_bits & (1 << fma.c.exp_bits) - 1, 1) - fma.c.bias
    wanted = np.maximum(exponent, 1 - fma.y.bias) - fma.y.man_bits - 1
    share = rng.integers(1, max(2, (1 << fma.a.exp_bits) - 1), len(c)) - fma.a.bias
    parts = []
    for fmt, power in ((fma.a, share), (fma.b, wanted - share)):
        field = np.clip(power + fmt.bias, 0, max(0, (1 << fmt.exp_bits) - 2))
        mantissa = np.where(rng.random(len(c)) < 0.7, 0, rng.integers(0, 1 << fmt.man_bits, len(c)))
        sign = rng.integers(0, 2, len(c))
        parts.append(sign << fmt.exp_bits + fmt.man_bits | field << fmt.man_bits | mantissa)
    return parts[0], parts[1]

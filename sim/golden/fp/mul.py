# SPDX-License-Identifier: Apache-2.0
"""Golden model of the unit ``mul``: ``y = round(a * b)``, for posits and for minifloats.

Posits: NaR absorbs everything; otherwise zero absorbs everything; a non-zero product becomes
neither zero nor NaR. Between two neighbouring codes the posit with one more bit is the threshold;
a product on it takes the even code. Minifloats: as :mod:`sim.golden.fp.fma` without an addend, so
that a zero has the sign of the product.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import FloatFormat, Format, PositFormat, parse
from sim.golden.formats import check_codes, decode
from sim.golden.fp.minifloat import default_overflow, infinity, minifloat, nan, pack, product
from sim.golden.fp.stimulus import operand_codes

__all__ = ["posit_code", "run", "vectors"]

Multiply = Callable[[int, int], int]


def run(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    """Return what the unit answers to ``beats``: ``y``, codes (int64) of shape (n,).

    ``beats`` holds ``a`` and ``b``, codes of shape (n,). Raises ``ValueError`` for formats that are
    neither all posits nor all minifloats with a sign, unknown rules, and codes with too many bits.
    """
    first, second, output = _formats(parameters)
    if isinstance(first, PositFormat):
        multiply = _posits(first, second, output)
    else:
        rules = parameters.get("rounding") or "rne", parameters.get("overflow")
        multiply = _minifloats(first, second, output, rules[0], rules[1])
    a, b = (
        check_codes(fmt, np.asarray(beats[name]).reshape(-1)).tolist()
        for name, fmt in (("a", first), ("b", second))
    )
    return {"y": np.array(list(map(multiply, a, b)), dtype=np.int64)}


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, NDArray[np.int64]]:
    """Return ``beats`` beats ``a``, ``b``: pairs of corners, then random codes."""
    first, second, _ = _formats(parameters)
    a, b = operand_codes((first, second), rng, beats)
    return {"a": a, "b": b}


def posit_code(fmt: PositFormat, integer: int, exponent: int) -> int:
    """Return the code of ``integer * 2**exponent``, rounded as posits are (sheet A.7)."""
    if integer == 0:
        return 0
    values = _finer(fmt)
    shift = exponent - _lam_of_finer(fmt)
    # Below the unit of the finer posits only whether something is left matters.
    magnitude = abs(integer) << shift if shift >= 0 else abs(integer) >> -shift
    exact = shift >= 0 or magnitude << -shift == abs(integer)
    finer = bisect_right(values, magnitude) - 1
    lower, odd = finer >> 1, finer & 1
    if odd:
        on_threshold = exact and values[finer] == magnitude
        lower += lower & 1 if on_threshold else 1
    code = min(max(lower, 1), (1 << fmt.bits - 1) - 1)
    return code if integer > 0 else (1 << fmt.bits) - code


def _lam_of_finer(fmt: PositFormat) -> int:
    return PositFormat("finer", fmt.bits + 1, fmt.es).lam


@cache
def _finer(fmt: PositFormat) -> list[int]:
    """Values of the non-negative codes of the posit with one more bit, in its unit."""
    finer = PositFormat("finer", fmt.bits + 1, fmt.es)
    values: list[int] = decode(finer, np.arange(1 << fmt.bits))[0].tolist()
    return values


def _posits(first: PositFormat, second: Format, output: Format) -> Multiply:
    assert isinstance(second, PositFormat) and isinstance(output, PositFormat)
    books = [decode(fmt, np.arange(1 << fmt.bits)) for fmt in (first, second)]
    (values_a, nar_a), (values_b, nar_b) = ((i.tolist(), n.tolist()) for i, n in books)
    lam = first.lam + second.lam

    def multiply(a: int, b: int) -> int:
        if nar_a[a] or nar_b[b]:
            return 1 << output.bits - 1
        return posit_code(output, values_a[a] * values_b[b], lam)

    return multiply


def _minifloats(
    first: Format, second: Format, output: Format, rounding: str, overflow: str | None
) -> Multiply:
    fa, fb, fy = (
        minifloat(fmt.name, role)
        for fmt, role in ((first, "format"), (second, "format_b"), (output, "result"))
    )
    rule = overflow or default_overflow(fy)

    def multiply(a: int, b: int) -> int:
        sign, magnitude, kind = product(fa, a, fb, b)
        if kind == "nan":
            return nan(fy)
        if kind == "inf":
            return infinity(fy, sign, rule)
        return pack(fy, sign, magnitude, fa.lam + fb.lam, rounding, rule)

    return multiply


def _formats(parameters: Mapping[str, Any]) -> tuple[Format, Format, Format]:
    first = parameters.get("format") or "posit8_2"
    names = (first, parameters.get("format_b") or first, parameters.get("result") or first)
    formats = tuple(parse(name) for name in names)
    for kind in (PositFormat, FloatFormat):
        if all(isinstance(fmt, kind) for fmt in formats):
            return formats[0], formats[1], formats[2]
    raise ValueError(
        f"format, format_b and result must be all posits or all minifloats, not {', '.join(names)}"
    )

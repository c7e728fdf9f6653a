# SPDX-License-Identifier: Apache-2.0
"""Golden model of ``pe --arch lmul``: products of minifloats by one integer addition.

With X and Y the exponent and mantissa fields of two codes, their product is the code
``X + Y - (bias << y) + 2**(y - l)``, ``l`` the offset exponent of :func:`offset_bits`; the signs
are exclusive-ored. The carry of the mantissas into the exponent is part of the definition. An
operand whose exponent field is 0 makes the product 0, as does a sum below the smallest normal
code; a sum above the largest finite code becomes that code. Products are added exactly.
Source: L-Mul (2024), sheet B.5.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import FloatFormat, parse
from sim.golden.formats import decode, legal_codes
from sim.golden.pe.framing import frames, totals

__all__ = ["error_table", "offset_bits", "product_codes", "run", "vectors"]


def offset_bits(man_bits: int) -> int:
    """Return ``l``: the correction to a sum of two mantissas is ``2**-l``."""
    return man_bits if man_bits <= 3 else 3 if man_bits == 4 else 4


def product_codes(fmt: FloatFormat, a: ArrayLike, w: ArrayLike) -> NDArray[np.int64]:
    """Return the codes of the products of codes, which broadcast. The code of 0 has no sign.

    Both must be finite. Raises ``ValueError`` for formats without sign or 2 exponent bits.
    """
    x, y = (np.asarray(codes, dtype=np.int64) for codes in (a, w))
    if fmt.exp_bits < 2 or not fmt.has_sign or fmt.special is not None:
        raise ValueError(f"format must be a signed minifloat of 2 exponent bits, not {fmt.name!r}")
    top, one = 1 << fmt.bits - 1, 1 << fmt.man_bits
    correction = 1 << fmt.man_bits - offset_bits(fmt.man_bits)
    sums = x % top + y % top - fmt.bias * one + correction
    zero = (x % top < one) | (y % top < one) | (sums < one)
    negative = (x ^ y) & top
    return np.where(zero, 0, np.minimum(sums, fmt.max_code) | negative)


def error_table(man_bits: int) -> dict[str, tuple[float, float, float]]:
    """Return the mean, mean absolute and largest absolute relative error of three products.

    Over all pairs of mantissas of ``man_bits`` bits, of numbers in [1, 2) whose product does not
    overflow: ``formula`` without the carry into the exponent, ``adder`` with it (the one that
    :func:`product_codes` has), ``mitchell`` the adder without correction.
    """
    x, y = (m / (1 << man_bits) for m in np.ogrid[: 1 << man_bits, : 1 << man_bits])
    exact, correction = (1 + x) * (1 + y), 2.0 ** -offset_bits(man_bits)

    def carried(fraction: NDArray[np.float64]) -> NDArray[np.float64]:
        carries = np.floor(fraction)
        return 2**carries * (1 + fraction - carries)

    products = {
        "formula": 1 + x + y + correction,
        "adder": carried(x + y + correction),
        "mitchell": carried(x + y),
    }
    errors = {name: product / exact - 1 for name, product in products.items()}
    return {
        name: (float(e.mean()), float(np.abs(e).mean()), float(np.abs(e).max()))
        for name, e in errors.items()
    }


def run(parameters: Mapping[str, Any], beats: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    """Return ``acc`` (``p`` for core ``dot``), Python integers in units of the format's unit, and
    ``nan`` where the format has NaN or infinities; of shape (m,).

    ``beats`` holds ``a`` and ``w``, codes of shape (n, lanes), and ``last`` or ``clr`` as the core
    has it. Products of NaN or infinite codes count as 0 and set ``nan``. Raises ``ValueError`` as
    :func:`product_codes`, and where weights and activations differ in format.
    """
    fmt = _format(parameters)
    a, w = (np.asarray(beats[name], dtype=np.int64) for name in "aw")
    marks = decode(fmt, a)[1] | decode(fmt, w)[1]
    products, _ = decode(fmt, np.where(marks, 0, product_codes(fmt, a, w)))
    sums = totals(parameters, beats, products.astype(object).sum(axis=1))
    result = {"p" if parameters.get("core") == "dot" else "acc": sums}
    if fmt.nonfinite:
        result["nan"] = totals(parameters, beats, marks.any(axis=1))
    return result


def _format(parameters: Mapping[str, Any]) -> FloatFormat:
    fmt = parse(parameters["format"])
    if parameters["act"] != fmt.name:
        raise ValueError(f"act must be {fmt.name!r} as format is, not {parameters['act']!r}")
    if not isinstance(fmt, FloatFormat):
        raise ValueError(f"format must be a signed minifloat of 2 exponent bits, not {fmt.name!r}")
    return fmt


def vectors(
    parameters: Mapping[str, Any], rng: np.random.Generator, beats: int
) -> dict[str, NDArray[Any]]:
    """Return ``beats`` beats for :func:`run`.

    First the pairs of the ends of the ranges (0, subnormals, normals, non-finite) with either sign;
    the sums of codes next to underflow and overflow; the largest sums; then random codes, half of
    the beats with finite ones only.
    """
    fmt, lanes = _format(parameters), int(parameters["lanes"])
    one, sign = 1 << fmt.man_bits, 1 << fmt.bits - 1
    legal = legal_codes(fmt)
    finite = legal[~decode(fmt, legal)[1]]
    middle = fmt.bias * one
    ends = [0, 1, one - 1, one, one + 1, middle, fmt.max_code - 1, fmt.max_code]
    ends += [fmt.max_code + 1] * (fmt.nonfinite_rule in ("ieee", "fn")) + [sign, sign - 1]
    pairs = [(x, y ^ sign * (k % 2)) for k, x in enumerate(ends) for y in ends]
    offset = middle - (1 << fmt.man_bits - offset_bits(fmt.man_bits))
    for total in (one - 1, one, fmt.max_code, fmt.max_code + 1):
        x = max(one, min(fmt.max_code, (total + offset) // 2))
        pairs.append((x, max(0, total + offset - x) % sign | sign))
    longest = max(1, int(parameters["max_k"]) // lanes)
    full = min(longest, max(1, beats // 8))
    n = len(pairs)
    size = (max(beats, n + 2 * full), lanes)
    drawn = {}
    clean = rng.random(size[0]) < 0.5
    for side, name in enumerate("aw"):
        codes = np.where(clean[:, None], rng.choice(finite, size), rng.choice(legal, size))
        codes[:n] = np.array([pair[side] for pair in pairs])[:, None]
        codes[n : n + 2 * full] = fmt.max_code
        codes[n : n + full] |= sign * side
        drawn[name] = codes[:beats]
    return {**drawn, **frames(parameters, rng, beats, [1] * n + [full] * 2, longest)}

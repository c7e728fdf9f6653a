# SPDX-License-Identifier: Apache-2.0
"""Softmax of mantissas and exponents, without a pass for the maximum.

Source: XNNPACK's two-pass softmax (2020); here in integers, with shifts in place of products.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.golden.attention.tables import exp2, recip, rhu

__all__ = ["merge", "row"]

Integers = NDArray[Any]

#: Mantissa and exponent, or None for the sum of nothing.
Pair = tuple[int, int] | None


def merge(a: Pair, b: Pair) -> Pair:
    """Return the sum of two pairs, in units of the larger exponent."""
    if a is None or b is None:
        return b if a is None else a
    top = max(a[1], b[1])
    return int(rhu(a[0], top - a[1]) + rhu(b[0], top - b[1])), top


def row(
    parameters: Mapping[str, Any], x: Integers, keep: NDArray[np.bool_], m: int, sh: int
) -> dict[str, Integers]:
    """Return ``p`` of one row (beats, lanes)."""
    u = x * m >> sh
    exponents, mantissas = u >> 12, exp2(u & 4095)
    total: Pair = None
    for beat in range(len(x)):
        pairs = [
            (int(v), int(n)) if there else None
            for v, n, there in zip(mantissas[beat], exponents[beat], keep[beat], strict=True)
        ]
        while len(pairs) > 1:
            pairs = [merge(*pairs[k : k + 2]) for k in range(0, len(pairs), 2)]
        total = merge(total, pairs[0])
    if total is None:
        return {"p": np.zeros_like(x)}
    out_bits = int(parameters["out_bits"])
    k, y = recip(total[0])
    # An exponent above that of the row is that of an absent element.
    shift = np.maximum(30 + k - out_bits + total[1] - exponents, 0)
    p = np.minimum(rhu(mantissas * y, shift), (1 << out_bits) - 1)
    return {"p": np.where(keep, p, 0)}

# SPDX-License-Identifier: Apache-2.0
"""Operands on which floating-point units go wrong."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hw.spec.formats import FloatFormat, Format

__all__ = ["corner_codes", "operand_codes"]

Codes = NDArray[np.int64]


def corner_codes(fmt: Format) -> Codes:
    """Return the codes at the borders of ``fmt``, ascending, of both signs."""
    sign = 1 << fmt.bits - 1
    if isinstance(fmt, FloatFormat):
        one, top = 1 << fmt.man_bits, fmt.max_code
        unit = min(fmt.bias, (1 << fmt.exp_bits) - 1) << fmt.man_bits
        low = [
            0,
            1,
            one - 1,
            one,
            one + 1,
            unit,
            unit + 1,
            top - 1,
            top,
            top + 1,
            top + 2,
            sign - 1,
        ]
    else:  # posits: minpos, one and its neighbours, maxpos
        one = sign >> 1
        low = [0, 1, 2, one - 1, one, one + 1, sign - 2, sign - 1]
    positive = [code for code in low if 0 <= code < sign]
    return np.unique(np.array([*positive, *(code | sign for code in positive)], dtype=np.int64))


def operand_codes(formats: Sequence[Format], rng: np.random.Generator, beats: int) -> list[Codes]:
    """Return ``beats`` codes of each format: a third corners of all of them, the rest random.

    Where the corners of all operands have more combinations than that, a random choice of them.
    """
    corners = [corner_codes(fmt) for fmt in formats]
    count = beats // 3
    shape = [len(c) for c in corners]
    total = int(np.prod(shape))
    picked = rng.choice(total, count, replace=count > total)
    indices = np.unravel_index(np.sort(picked), shape)
    found = []
    for fmt, codes, index in zip(formats, corners, indices, strict=True):
        random = rng.integers(0, 1 << fmt.bits, beats - count)
        found.append(np.concatenate([codes[index], random]).astype(np.int64))
    return found

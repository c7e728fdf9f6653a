# SPDX-License-Identifier: Apache-2.0
"""Functions of real numbers of which the unit ``activation`` has tables."""

import math
from collections.abc import Callable

__all__ = ["FUNCTIONS"]


def _sigmoid(v: float) -> float:
    if v >= 0:
        return 1 / (1 + math.exp(-v))
    e = math.exp(v)
    return e / (1 + e)


def _tanh(v: float) -> float:
    return math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))


def _ramp(v: float) -> float:
    return min(max(v + 3, 0.0), 6.0)


#: Name -> function.
FUNCTIONS: dict[str, Callable[[float], float]] = {
    "gelu": lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2))),
    "gelu-tanh": lambda v: 0.5 * v * (1 + _tanh(v)),
    "quick-gelu": lambda v: v * _sigmoid(1.702 * v),
    "h-gelu": lambda v: v * _ramp(1.702 * v) / 6,
    "silu": lambda v: v * _sigmoid(v),
    "hard-swish": lambda v: v * _ramp(v) / 6,
}

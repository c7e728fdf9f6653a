# SPDX-License-Identifier: Apache-2.0
"""Products of more terms than an engine sums at a time, as several that add to the same C."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fpga.driver.operands import Operands, Quantized

__all__ = ["pieces"]


def pieces(
    operands: Operands, a: Any, w: Any, options: Mapping[str, Any]
) -> list[tuple[Any, Any, dict[str, Any]]]:
    """Return A, W and options of the products that add up to that of ``a`` and ``w``.

    There is only one where it fits, and where the device cannot add: engines that take scales have
    none. What ``options`` say of the result is for the last product, ``add`` for the first. Raises
    ``ValueError`` where C has too few bits for so long a sum.
    """
    most, k = operands.contract.unit.engine.max_k, _columns(a)
    can = operands.contract.accumulates and not operands.contract["s_slot"]
    if k <= most or not can or _rows(w) != k:
        return [(a, w, dict(options))]
    begins = range(0, k, most)
    spare = 8 * operands.contract["c_bytes"] - operands.contract.unit.engine.acc_bits
    if len(begins) > 1 << spare:
        raise ValueError(f"K must be at most {most << spare} for C to hold the sums, not {k}")
    own = {name: options[name] for name in ("activation", "clamp", "out") if name in options}
    shared = {n: v for n, v in options.items() if n not in own and n not in ("add", "onto")}
    first = {name: options[name] for name in ("add", "onto") if name in options}
    found = []
    for begin in begins:
        part = slice(begin, min(k, begin + most))
        more = first if begin == 0 else {}
        last = own if part.stop == k else {}
        found.append((_cut(a, np.s_[:, part]), _cut(w, part), {**shared, **more, **last}))
    return found


def _columns(a: Any) -> int:
    shape = np.shape(a.codes if isinstance(a, Quantized) else a)
    return shape[1] if len(shape) == 2 else 0


def _rows(w: Any) -> int:
    shape = np.shape(w.codes if isinstance(w, Quantized) else w)
    return shape[0] if len(shape) == 2 else 0


def _cut(operand: Any, part: Any) -> Any:
    if isinstance(operand, Quantized):
        return Quantized(operand.codes[part], operand.scales, operand.zeros, operand.format)
    return np.asarray(operand)[part]

# SPDX-License-Identifier: Apache-2.0
"""Which engine of a co-processor takes a product, where there are several."""

from collections.abc import Sequence
from typing import Any

from fpga.driver.operands import Operands, Quantized
from hw.spec.formats import parse
from sim.golden.mpgemm.unit import weight_format

__all__ = ["name_of", "pick"]


def name_of(operands: Operands) -> str:
    """Return the format of weights by which an engine is called, or its kind if it has none."""
    unit = operands.contract.unit
    ternary = unit.name in ("lut-ternary", "ternary-add")
    return weight_format(unit) or ("ternary" if ternary else unit.name)


def pick(
    engines: Sequence[Operands], engine: int | None, format: str | None, a: Any, w: Any
) -> int:
    """Return the number of the engine for a product of ``a`` and ``w``.

    It is ``engine`` if given, else the one whose weights have ``format``, or that of a
    :class:`Quantized` W; of several the one whose activations have that of a :class:`Quantized` A;
    without any of these the first. Raises ``ValueError`` where that is none, or several.
    """
    count, names = len(engines), [name_of(one) for one in engines]
    if engine is not None and not 0 <= engine < count:
        raise ValueError(f"engine must be 0 to {count - 1}, not {engine}")
    wanted = format
    if wanted is None and isinstance(w, Quantized) and engine is None:
        wanted = w.format
    found = [i for i, name in enumerate(names) if wanted is None or _same(name, wanted)]
    if format is not None and engine is not None and engine not in found:
        raise ValueError(f"format of engine {engine} is {names[engine]}, not {format}")
    if engine is not None:
        return engine
    if format is not None and not found:
        raise ValueError(f"format must be {', '.join(dict.fromkeys(names))}, not {format!r}")
    if wanted is None or not found:
        return 0
    act = a.format if isinstance(a, Quantized) else None
    acts = [str(one.contract.parameters["act"]) for one in engines]
    fits = [i for i in found if act is None or _same(acts[i], act)] or found
    if len(fits) > 1:
        told = ", ".join(f"{i} (act {acts[i]})" for i in fits)
        raise ValueError(f"format {wanted} is that of engines {told}: give engine")
    return fits[0]


def _same(name: str, wanted: str) -> bool:
    if name == wanted:
        return True
    try:
        return parse(wanted).name == parse(name).name
    except ValueError:
        return False

# SPDX-License-Identifier: Apache-2.0
"""The two operands of a dot product as the unit ``pe`` sees them.

With a window ``LO:HI`` an activation is first truncated toward zero to a multiple of ``2**LO``,
which then is its unit; from ``2**HI`` on it counts as non-finite.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw.spec.formats import Format, parse
from sim.golden.formats import check_codes, decode, legal_codes

__all__ = ["DEFAULT_WINDOWS", "Operand", "acc_bits", "activations", "operands"]

#: Windows of activations whose exact sums would be absurdly wide.
DEFAULT_WINDOWS = {"bf16": (-24, 16)}


@dataclass(frozen=True)
class Operand:
    """A format as one operand of the PE sees it: after the window, if there is one."""

    fmt: Format
    window: tuple[int, int] | None = None

    @property
    def lam(self) -> int:
        """Exponent of the unit of :meth:`decode`."""
        return self.fmt.lam if self.window is None else self.window[0]

    @property
    def nonfinite(self) -> bool:
        """Whether any code may count as non-finite."""
        return self.fmt.nonfinite or self.window is not None

    @cached_property
    def max_int(self) -> int:
        """Largest magnitude that any code contributes."""
        ints, _ = self.decode(self.codes)
        return max(1, int(max(ints)), -int(min(ints)))

    @cached_property
    def codes(self) -> NDArray[np.int64]:
        """Every legal code, ascending."""
        return legal_codes(self.fmt)

    def decode(self, codes: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return ``(ints, nan)`` as :func:`sim.golden.formats.decode`, in units of ``2**lam``."""
        if self.window is None:
            return decode(self.fmt, codes)
        index = check_codes(self.fmt, codes)
        ints, nan = _windowed(self.fmt, *self.window)
        return ints[index], nan[index]


@lru_cache(maxsize=16)
def _windowed(fmt: Format, low: int, high: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Integers in units of ``2**low`` and non-finite marks of all codes; illegal codes hold 0."""
    legal = legal_codes(fmt)
    ints, nan = decode(fmt, legal)
    wide = np.zeros(1 << fmt.bits, dtype=object)
    marks = np.zeros(1 << fmt.bits, dtype=bool)
    for code, integer, mark in zip(legal.tolist(), ints.tolist(), nan.tolist(), strict=True):
        magnitude, shift = abs(integer), fmt.lam - low
        magnitude = magnitude << shift if shift >= 0 else magnitude >> -shift
        marks[code] = mark or magnitude >> high - low
        wide[code] = 0 if marks[code] else magnitude if integer >= 0 else -magnitude
    return (wide.astype(np.int64) if high - low < 62 else wide), marks


def operands(parameters: Mapping[str, Any]) -> tuple[Operand, Operand]:
    """Return ``(weight, act)`` of the parameters in a manifest, see :func:`activations`."""
    return Operand(parse(parameters["format"])), activations(parameters)


def activations(parameters: Mapping[str, Any]) -> Operand:
    """Return the activations of the parameters in a manifest.

    ``window`` is ``"LO:HI"`` or ``None``; bf16 then has the window -24:16. Raises ``ValueError`` on
    a window that is not two integers with LO < HI.
    """
    act, text = parse(parameters["act"]), parameters.get("window")
    if text is None:
        return Operand(act, DEFAULT_WINDOWS.get(act.name))
    match = re.fullmatch(r"(-?\d{1,4}):(-?\d{1,4})", str(text))
    if not match or int(match[1]) >= int(match[2]):
        raise ValueError(f"window must be LO:HI with LO < HI, such as -24:16, not {text!r}")
    return Operand(act, (int(match[1]), int(match[2])))


def acc_bits(parameters: Mapping[str, Any], weight: Operand, act: Operand) -> int:
    """Return the accumulator width: as asked for, else that of ``max_k`` products (B.12)."""
    given = parameters.get("acc_bits")
    if given is not None:
        return int(given)
    products = int(parameters["max_k"])
    if parameters.get("core") == "dot":
        products = int(parameters["lanes"])
    return 1 + (products * weight.max_int * act.max_int).bit_length()

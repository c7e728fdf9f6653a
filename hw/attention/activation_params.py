# SPDX-License-Identifier: Apache-2.0
"""Parameters of the unit ``activation``: what a user chooses, and what follows from it."""

import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from hw.attention.activation_functions import FUNCTIONS
from hw.attention.scalar_params import TARGETS
from hw.quant.params import among, within

__all__ = ["KINDS", "ActivationParams"]

#: Kind -> what it is.
KINDS = {
    "lut": "a table of 256 entries, of a function or loaded at run time; half a unit of error",
    "pwl": "SiLU of 16 bits by segments of the sigmoid",
    "swiglu": "a table of the gate times i_u, rounded once",
    "ita": "GELU of ITA, 8 bits in and out; constants for one scale",
    "ibert": "GELU of I-BERT with its shift by 14, for accumulators; constants for one scale",
}

LOADED = "load"
_TABLE = ("lut", "swiglu")

#: Parameter -> kinds that have it.
_OF_KINDS = {
    "function": _TABLE,
    "scale": (*_TABLE, "ita", "ibert"),
    "scale_out": _TABLE,
    "table_bits": _TABLE,
    "frac": ("pwl",),
    "index_bits": ("pwl",),
}


@dataclass(frozen=True)
class ActivationParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    kind: str = "lut"  #: One of :data:`KINDS`.
    function: str | None = None  #: Of a table: gelu, of ``swiglu`` silu.
    scale: str | None = None  #: What a unit of x is worth: 1/16, of ``ibert`` 1/4096.
    scale_out: str | None = None  #: What a unit of an entry is worth: 1/16, ``swiglu`` 1/2048.
    x_bits: int | None = None  #: Width of x, signed: 8, of ``pwl`` and ``ibert`` 16.
    table_bits: int | None = None  #: Width of an entry, signed: 8, of ``swiglu`` 16.
    frac: int | None = None  #: Fraction bits of x of ``pwl``: 12.
    index_bits: int | None = None  #: ``pwl`` has ``2**index_bits`` segments: 5.
    lanes: int = 8  #: Elements of a beat.
    target: str = "gates"  #: Decides structure, never function.

    def __post_init__(self) -> None:
        among("kind", self.kind, tuple(KINDS))
        among("target", self.target, TARGETS)
        within("lanes", self.lanes, 1, 64)
        for name, kinds in _OF_KINDS.items():
            if self.kind not in kinds and getattr(self, name) is not None:
                raise ValueError(f"{name} must not be given with kind {self.kind}")
        chosen = self.resolved
        if self.kind in _TABLE:
            among("function", chosen["function"], (*FUNCTIONS, LOADED))
            within("table_bits", chosen["table_bits"], 8, 16)
            for name in ("scale", "scale_out"):
                if self.loaded and getattr(self, name) is not None:
                    raise ValueError(f"{name} must not be given with function load")
        if self.kind == "pwl":
            within("frac", chosen["frac"], 0, 13)
            within("index_bits", chosen["index_bits"], 4, 8)
        least, most = {"pwl": (16, 16), "ibert": (8, 24)}.get(self.kind, (8, 8))
        within("x_bits", chosen["x_bits"], least, most)
        for name in ("scale", "scale_out"):
            if chosen[name] is not None:
                self._fraction(name)
        if self.kind == "ita" and not (self.bend < 1 << 15 and -(1 << 15) <= self.constant):
            raise ValueError(f"scale is too small for 16 bits of constants: {self.scale!r}")
        if self.kind == "ibert" and not (-16 >= self.one and -(1 << 40) <= self.constant):
            raise ValueError(
                f"scale must leave constants from 16 to 2**26 behind the shift, not {self.scale!r}"
            )

    def _fraction(self, name: str) -> Fraction:
        text = self.resolved[name]
        try:
            value = Fraction(text)
        except (ValueError, ZeroDivisionError, TypeError):
            value = Fraction(0)
        if value <= 0:
            raise ValueError(f"{name} must be a fraction above 0, not {text!r}")
        return value

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default made explicit."""
        wide, gated = self.kind in ("pwl", "ibert"), self.kind == "swiglu"
        defaults = {
            "function": "silu" if gated else "gelu",
            "scale": "1/4096" if self.kind == "ibert" else "1/16",
            "scale_out": "1/2048" if gated else "1/16",
            "table_bits": 16 if gated else 8,
            "frac": 12,
            "index_bits": 5,
        }
        chosen = {**asdict(self), "x_bits": self.x_bits or (16 if wide else 8)}
        if self.x_bits is not None:
            chosen["x_bits"] = self.x_bits
        for name, value in defaults.items():
            absent = self.loaded and name in ("scale", "scale_out")
            if self.kind in _OF_KINDS[name] and not absent and chosen[name] is None:
                chosen[name] = value
        return chosen

    def __getitem__(self, name: str) -> int:
        """Return the value of a parameter of this kind."""
        return int(self.resolved[name])

    @property
    def loaded(self) -> bool:
        """Whether packets fill the table."""
        return self.function == LOADED

    @property
    def entries(self) -> list[int]:
        """The table at each code of x: at 255 that of -1."""
        scale, out = self._fraction("scale"), float(self._fraction("scale_out"))
        f, bits = FUNCTIONS[self.resolved["function"]], self["table_bits"]
        most = (1 << bits - 1) - 1
        codes = [*range(128), *range(-128, 0)]
        values = [math.floor(f(float(x * scale)) / out + 0.5) for x in codes]
        return [max(-most - 1, min(most, value)) for value in values]

    @property
    def bend(self) -> int:
        """Of ``ita`` and ``ibert``: from where on the error function is taken as 1."""
        scale = self._fraction("scale")
        if self.kind == "ita":
            return round(1.769 * math.sqrt(2) / float(scale))
        return -math.floor(-Fraction("1.769") * Fraction("1.4142") / scale)

    @property
    def constant(self) -> int:
        """Of ``ita`` and ``ibert``: the constant of the polynomial, negative."""
        scale = self._fraction("scale")
        if self.kind == "ita":
            return -round(2 / (Fraction("0.2888") * scale**2))
        return math.floor(-(Fraction("1.4142") ** 2) / (Fraction("0.2888") * scale**2))

    @property
    def one(self) -> int:
        """What stands for 1: of ``ibert`` behind its shift."""
        if self.kind == "ita":
            return self.constant
        scale = self._fraction("scale")
        return math.floor(-(Fraction("1.4142") ** 2) / (Fraction("0.2888") * scale**2 * 2**14))

    @property
    def y_bits(self) -> int:
        """Width of a result, signed."""
        if self.kind == "ibert":
            return self["x_bits"] + 1 + (2 * abs(self.one) + 2).bit_length()
        if self.kind == "lut":
            return self["table_bits"]
        return 16 if self.kind == "pwl" else 8

# SPDX-License-Identifier: Apache-2.0
"""Parameters of the softmax units: what a user chooses, and what follows from it."""

import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from hw.attention.scalar_params import TARGETS
from hw.quant.params import among, within

__all__ = ["FIXED", "KINDS", "LOGARITHMIC", "SoftmaxParams"]

#: Kind -> what it is.
KINDS = {
    "safe": "ours: maximum first, then powers of two and their sum, one reciprocal a row; exact "
    "in any order, three passes",
    "online": "ours: maximum and sum in one pass, the sum rescaled as the maximum moves; two "
    "passes, powers of two twice",
    "two-pass": "mantissas and exponents, no maximum; two passes",
    "ita": "of ITA: shifts only, int8; rows of up to 255 elements",
    "ibert": "of I-BERT: a polynomial, constants for one scale of the logits",
    "ivit": "Shiftmax of I-ViT, as TVM deploys it: shifts, constants for one scale",
    "log2": "codes that are powers of 1/2, and their sum; no exponential, no division",
    "log-sqrt2": "of RepQ-ViT: codes that are powers of 1/sqrt(2), and their sum",
    "adalog": "of AdaLog: codes that are powers of 2**(-base/37), and their sum",
}

#: Kinds that give codes of a logarithm.
LOGARITHMIC = ("log2", "log-sqrt2", "adalog")

#: Kinds whose constants hold for one scale of the logits.
FIXED = ("ibert", "ivit")

#: Parameter -> kinds that have it, its default, least and greatest value.
_OF_KINDS: dict[str, tuple[tuple[str, ...], int, int, int]] = {
    "exp_bits": (("safe", "online"), 12, 4, 16),
    "out_bits": (("safe", "online", "two-pass", "ita", "ibert", "ivit"), 8, 1, 16),
    "code_bits": (LOGARITHMIC, 4, 2, 4),
    "shift": (("ita",), 0, 0, 7),
    "base": (("adalog",), 22, 10, 60),
}


@dataclass(frozen=True)
class SoftmaxParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    kind: str = "safe"  #: One of :data:`KINDS`.
    lanes: int | None = None  #: Elements of a beat: 4, of ``ita`` 16.
    in_bits: int = 8  #: Width of a logit, signed.
    max_len: int = 1024  #: Elements of the longest row.
    exp_bits: int | None = None  #: Bits of a power of two: 12.
    out_bits: int | None = None  #: Bits of a probability: 8.
    code_bits: int | None = None  #: Bits of a code: 4.
    shift: int | None = None  #: Bits of a logit behind the point of its octave: 0.
    scale: str | None = None  #: What a unit of a logit is worth: 1/16.
    base: int | None = None  #: A step of a code is ``2**(-base / 37)``: 22.
    target: str = "gates"  #: Decides structure, never function.

    def __post_init__(self) -> None:
        among("kind", self.kind, tuple(KINDS))
        among("target", self.target, TARGETS)
        if self.lanes is not None:
            within("lanes", self.lanes, 1, 64)
            if self.kind == "two-pass" and self.lanes & self.lanes - 1:
                raise ValueError(f"lanes must be a power of two with two-pass, not {self.lanes}")
        most = {"ita": 8, "ibert": 16, "ivit": 16}.get(self.kind, 32)
        within("in_bits", self.in_bits, 8 if self.kind == "ita" else 2, most)
        within("max_len", self.max_len, 1, 65536)
        for name, (kinds, _, least, top) in _OF_KINDS.items():
            value = getattr(self, name)
            if value is None:
                continue
            if self.kind not in kinds:
                raise ValueError(f"{name} must not be given with kind {self.kind}")
            if name == "out_bits" and self.kind in ("ita", *FIXED):
                least = top = 8
            within(name, value, least, top)
        self._check_scale()

    def _check_scale(self) -> None:
        if self.scale is None:
            return
        if self.kind not in FIXED:
            raise ValueError(f"scale must not be given with kind {self.kind}")
        try:
            value = Fraction(self.scale)
        except (ValueError, ZeroDivisionError, TypeError):
            value = Fraction(0)
        if not Fraction(1, 1024) <= value <= Fraction(1, 4):
            raise ValueError(f"scale must be a fraction from 1/1024 to 1/4, not {self.scale!r}")

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default made explicit."""
        chosen = asdict(self)
        defaults: dict[str, Any] = {"lanes": 16 if self.kind == "ita" else 4}
        for name, (kinds, usual, _, _) in _OF_KINDS.items():
            if self.kind in kinds:
                defaults[name] = usual
        if self.kind in FIXED:
            defaults["scale"] = "1/16"
        chosen.update((k, v) for k, v in defaults.items() if chosen[k] is None)
        return chosen

    def __getitem__(self, name: str) -> int:
        """Return the value of a parameter of this kind."""
        return int(self.resolved[name])

    @property
    def width(self) -> int:
        """Elements of a beat."""
        return self["lanes"]

    @property
    def max_beats(self) -> int:
        """Beats of the longest row."""
        return -(-self.max_len // self.width)

    @property
    def scaled(self) -> bool:
        """Whether rows bring a scale, ``m`` and ``sh``."""
        return self.kind not in ("ita", *FIXED)

    @property
    def unit(self) -> Fraction:
        """What a unit of a logit is worth, where that is a constant."""
        return Fraction(str(self.resolved["scale"]))

    @property
    def p_bits(self) -> int:
        """Bits of a result."""
        return self["code_bits" if self.kind in LOGARITHMIC else "out_bits"]

    @property
    def sum_bits(self) -> int:
        """Bits of the sum of a row's weights."""
        count = self.max_beats * self.width
        if self.kind in ("safe", "online"):
            return (count * ((1 << self["exp_bits"]) - 1)).bit_length()
        if self.kind == "two-pass":
            return (count << 17).bit_length()
        if self.kind == "ita":
            return 19
        if self.kind == "ibert":
            return (count * 32767).bit_length()
        if self.kind == "ivit":
            return 32
        if self.kind == "log-sqrt2":
            return (3 * count << 15).bit_length()
        return (count * self.weights[0]).bit_length()

    @property
    def weights(self) -> tuple[int, ...]:
        """Of a kind with codes: what each code is worth; of ``log-sqrt2`` without its root."""
        codes = range(1 << self["code_bits"])
        if self.kind == "log2":
            return tuple(1 << 15 - q for q in codes)
        if self.kind == "log-sqrt2":
            return tuple(1 << 15 - (q + 1) // 2 for q in codes)
        base = self["base"]
        unit = (2 << self["code_bits"]) - 2
        shifts = [q * base // 37 for q in codes]
        parts = [math.floor(2 ** (-(q * base % 37) / 37) * unit + 0.5) for q in codes]
        return tuple(part << shifts[-1] - s for part, s in zip(parts, shifts, strict=True))

# SPDX-License-Identifier: Apache-2.0
"""Parameters of the scalar functions: what a user chooses, and what follows from it."""

from dataclasses import asdict, dataclass
from typing import Any

from hw.quant.params import among, within

__all__ = ["FUNCTIONS", "TARGETS", "ScalarParams"]

#: Function -> what it gives.
FUNCTIONS = {
    "exp2n": "2**-x, x with 12 fraction bits",
    "recip": "1 / x as y * 2**-(30 + k)",
    "rsqrt": "1 / sqrt(x) as y * 2**-(30 + k)",
    "log2": "log2(x) with 16 fraction bits",
    "sigmoid": "1 / (1 + exp(-x)), x from -8 to 8 with 12 fraction bits",
}

TARGETS = ("gates", "fpga")

#: Function -> least, most and usual width of an argument.
_WIDTHS = {
    "exp2n": (13, 32, 24),
    "recip": (2, 48, 32),
    "rsqrt": (2, 64, 64),
    "log2": (2, 64, 32),
    "sigmoid": (16, 16, 16),
}


@dataclass(frozen=True)
class ScalarParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    function: str = "exp2n"  #: One of :data:`FUNCTIONS`.
    index_bits: int = 6  #: The table has ``2**index_bits`` segments.
    in_bits: int | None = None  #: Width of an argument.
    out_bits: int | None = None  #: Fraction bits of ``exp2n``: 16.
    newton: bool | None = None  #: Whether a step of Newton follows the table; yes.
    lanes: int = 1  #: Arguments per beat.
    target: str = "gates"  #: Decides structure, never function.

    def __post_init__(self) -> None:
        among("function", self.function, tuple(FUNCTIONS))
        among("target", self.target, TARGETS)
        within("index_bits", self.index_bits, 4, 8)
        within("lanes", self.lanes, 1, 64)
        if self.in_bits is not None:
            within("in_bits", self.in_bits, *_WIDTHS[self.function][:2])
        if self.function == "exp2n":
            if self.out_bits is not None:
                within("out_bits", self.out_bits, 8, 16)
        elif self.out_bits is not None:
            raise ValueError(f"out_bits must not be given with function {self.function}")
        if self.newton is None:
            return
        if self.function not in ("recip", "rsqrt"):
            raise ValueError(f"newton must not be given with function {self.function}")
        if not isinstance(self.newton, bool):
            raise ValueError(f"newton must be True or False, not {self.newton!r}")

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default made explicit."""
        chosen = asdict(self)
        defaults: dict[str, Any] = {"in_bits": _WIDTHS[self.function][2]}
        if self.function == "exp2n":
            defaults["out_bits"] = 16
        if self.function in ("recip", "rsqrt"):
            defaults["newton"] = True
        chosen.update((k, v) for k, v in defaults.items() if chosen[k] is None)
        return chosen

    @property
    def bits(self) -> int:
        """Width of an argument."""
        return int(self.resolved["in_bits"])

    @property
    def fields(self) -> dict[str, int]:
        """Results of an argument and their widths."""
        chosen = self.resolved
        if self.function == "exp2n":
            return {"y": chosen["out_bits"] + 1}
        if self.function in ("recip", "rsqrt"):
            return {"y": 31 if chosen["newton"] else 17, "k": 6 if self.function == "recip" else 5}
        return {"y": 22 if self.function == "log2" else 17}

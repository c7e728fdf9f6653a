# SPDX-License-Identifier: Apache-2.0
"""Parameters of requantization: what a user chooses, and what follows from it."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from amaranth.hdl import Shape, signed, unsigned

from hw.quant.params import among, within
from hw.spec.formats import IntFormat, parse

__all__ = ["CORES", "SCHEMES", "TARGETS", "RequantParams"]

#: Scheme -> what it computes.
SCHEMES = {
    "rhu": "round(x * m / 2**s), ties toward plus infinity",
    "rha": "round(x * m / 2**s), ties away from zero",
    "rne": "round(x * m / 2**s), ties to even",
    "floor": "floor(x * m / 2**s)",
    "gemmlowp": "double rounding of gemmlowp and TFLite",
    "tflite": "single rounding of TFLite, x * m / 2**(31 - s)",
    "ibert": "as rne, the way of I-BERT and I-ViT, exactly",
    "rbe": "floor((kappa * x + lambda) / 2**s) of RBE and NEMO",
}

TARGETS = ("gates", "fpga")
CORES = ("stream", "cell")


@dataclass(frozen=True)
class RequantParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    scheme: str = "rhu"  #: One of :data:`SCHEMES`.
    in_bits: int = 32  #: Width of the accumulators.
    mult_bits: int | None = None  #: Width of the multiplier: 32, for ``rbe`` 16 (unsigned).
    out: str = "int8"  #: Output format, intN or uintN.
    zero_point: bool = False  #: Whether a zero point is added before saturation.
    lanes: int = 1  #: Accumulators per beat; they share multiplier and shift.
    multiplier: int | None = None  #: Constant that takes the place of the port ``m``.
    shift: int | None = None  #: Constant that takes the place of the port ``s``.
    core: str = "stream"
    pipeline: int = 0  #: Register stages, 0 to 3.
    target: str = "gates"  #: Decides structure, never function.

    def __post_init__(self) -> None:
        among("scheme", self.scheme, tuple(SCHEMES))
        among("core", self.core, CORES)
        among("target", self.target, TARGETS)
        within("in_bits", self.in_bits, 4, 32 if self.scheme == "gemmlowp" else 64)
        if self.mult_bits is not None:
            least, most = (32, 32) if self.scheme in ("gemmlowp", "tflite") else (2, 32)
            within("mult_bits", self.mult_bits, least, most)
        within("lanes", self.lanes, 1, 256)
        within("pipeline", self.pipeline, 0, 3)
        if self.core == "cell" and self.pipeline:
            raise ValueError(f"pipeline must be 0 where core is cell, not {self.pipeline}")
        fmt = parse(self.out)
        if not isinstance(fmt, IntFormat) or fmt.encoding not in ("twos", "unsigned"):
            raise ValueError(f"out must be intN or uintN, not {self.out!r}")
        if fmt.ternary:
            raise ValueError(f"out must be intN or uintN, not {self.out!r}")
        if self.multiplier is not None:
            bits = self.multiplier_shape.width
            least, most = (-1 << bits - 1, (1 << bits - 1) - 1)
            if self.scheme == "rbe":
                least, most = 0, (1 << bits) - 1
            elif self.scheme == "gemmlowp":
                least = 0
            within("multiplier", self.multiplier, least, most)
        if self.shift is not None:
            within("shift", self.shift, *self.shift_range)

    @cached_property
    def out_format(self) -> IntFormat:
        """Format of the results."""
        fmt = parse(self.out)
        assert isinstance(fmt, IntFormat)
        return fmt

    @property
    def multiplier_shape(self) -> Shape:
        """Shape of the multiplier."""
        if self.scheme == "rbe":
            return unsigned(self.mult_bits or 16)
        return signed(self.mult_bits or 32)

    @property
    def shift_range(self) -> tuple[int, int]:
        """Shifts with an effect of their own; those beyond act as the nearest of these."""
        return {"gemmlowp": (-31, 31), "tflite": (-31, 30)}.get(self.scheme, (0, 63))

    @property
    def shift_shape(self) -> Shape:
        """Shape of the shift."""
        return signed(7) if self.scheme in ("gemmlowp", "tflite") else unsigned(6)

    @property
    def resolved(self) -> dict[str, Any]:
        """The parameters with every default made explicit."""
        return dataclasses.asdict(self) | {"mult_bits": self.multiplier_shape.width}

    @property
    def inputs(self) -> dict[str, Any]:
        """Shapes of the ports beside ``x``: what the user leaves to run time."""
        shapes: dict[str, Any] = {}
        if self.multiplier is None:
            shapes["m"] = self.multiplier_shape
        if self.shift is None:
            shapes["s"] = self.shift_shape
        if self.zero_point:
            shapes["z"] = signed(self.out_format.bits + 1)
        if self.scheme == "rbe":
            shapes["add"] = signed(32)
        return shapes

# SPDX-License-Identifier: Apache-2.0
"""Powers of two with negative exponents: ``2**-d``."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux
from amaranth.lib.wiring import In, Out

from hw.arith.rounding import incremented
from hw.arith.sticky import shifted_right
from hw.arith.wires import wire
from hw.attention.stages import Stages, check_pipeline
from hw.attention.table import TARGETS, TableParams, interpolated
from hw.cell import Cell
from hw.quant.params import among, within

__all__ = ["Exp2N", "Exp2NParams"]

#: Fraction bits of the exponent.
FRACTION = 12

#: From this shift on even 2**16, the largest table value, rounds to zero.
FARTHEST = 18


@dataclass(frozen=True)
class Exp2NParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    in_bits: int = 18  #: Width of the exponent, 12 bits of it fraction.
    out_bits: int = 16  #: Fraction bits of the power.
    index_bits: int = 6  #: The table has ``2**index_bits`` segments.
    clamp: bool = False  #: Whether 1.0 becomes the largest number of ``out_bits`` bits.
    pipeline: int = 0  #: Register stages, 0 to 3.
    target: str = "gates"  #: Decides structure, never function.

    def __post_init__(self) -> None:
        within("in_bits", self.in_bits, FRACTION, 64)
        within("out_bits", self.out_bits, 4, 16)
        within("index_bits", self.index_bits, 4, 8)
        among("target", self.target, TARGETS)
        check_pipeline(self.pipeline, 3)

    @property
    def table(self) -> TableParams:
        """The table: that of 16 bits, of which the lowest 4 always are 0."""
        return TableParams("exp2n", self.index_bits, FRACTION - self.index_bits)

    @property
    def width(self) -> int:
        """Bits of a result."""
        return self.out_bits + (not self.clamp)


class Exp2N(Cell):
    """``2**-d`` for unsigned ``d``, the unit EXP2N of FA-INT.

    Parameters
    ----------
    params : :class:`Exp2NParams`

    Members
    -------
    d : ``In(in_bits)``
        Exponent, 12 bits of it fraction.
    en : ``In(pipeline)``
        Bit k lets a beat into stage k. Absent without stages.
    e : ``Out(width)``
        ``out_bits`` fraction bits: ``2**out_bits`` for ``d`` 0, or with ``clamp`` one less.

    Timing
    ------
    ``pipeline`` cycles, one result per cycle. Three stages (table, line, shift) and a register of
    the user behind them are the four cycles of the usual implementation.
    """

    def __init__(self, params: Exp2NParams):
        self.params = params
        self.latency = params.pipeline
        self.label = (
            f"exp2n_i{params.in_bits}_b{params.index_bits}_o{params.out_bits}"
            f"{'c' if params.clamp else ''}_p{params.pipeline}_{params.target}"
        )
        members = {"d": In(params.in_bits)}
        if params.pipeline:
            members["en"] = In(params.pipeline)
        super().__init__({**members, "e": Out(params.width)})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        later = Stages(m, self.en if params.pipeline else None, params.pipeline, 3)
        values = params.table.values
        start = FRACTION - params.index_bits
        index, rest = self.d[start:FRACTION], self.d[:start]
        v = interpolated(m, later, 0, [values], index, rest, params.target == "fpga")
        v = later(v, 1)

        # Shift by whole octaves and at the end by 16 - out_bits; a bit below is what rounds.
        drop = 16 - params.out_bits
        octaves = self.d[FRACTION:]
        most = FARTHEST - drop  # octaves that leave nothing
        near = octaves[: most.bit_length()]
        far = wire(m, Cat(octaves[most.bit_length() :]).any() | (near >= most), "far")
        near, far = later(wire(m, near, "octaves"), 0, 1), later(far, 0, 1)
        word = v[drop - 1 :] if drop else Cat(Const(0, 1), v)
        shifted, _ = shifted_right(m, word, near)
        shifted = wire(m, shifted & (~far).replicate(len(word)), "shifted")
        shifted = later(shifted, 2)
        e = wire(m, incremented(m, shifted[1:], shifted[0]), "rounded")
        if params.clamp:
            e = Mux(e[params.out_bits], (1 << params.out_bits) - 1, e[: params.out_bits])
        m.d.comb += self.e.eq(e)
        return m

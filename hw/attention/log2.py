# SPDX-License-Identifier: Apache-2.0
"""Logarithms of integers: the place of the leading one, and a table for what follows it."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.attention.recip import MANTISSA, mantissa
from hw.attention.stages import Stages, check_pipeline
from hw.attention.table import TARGETS, TableParams, interpolated
from hw.cell import Cell
from hw.quant.params import among, within

__all__ = ["Log2", "Log2Params"]


@dataclass(frozen=True)
class Log2Params:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    in_bits: int = 32  #: Width of the argument.
    index_bits: int = 6  #: The table has ``2**index_bits`` segments.
    pipeline: int = 0  #: Register stages, 0 to 2.
    target: str = "gates"  #: Decides structure, never function.

    def __post_init__(self) -> None:
        within("in_bits", self.in_bits, 2, 64)
        within("index_bits", self.index_bits, 4, 8)
        among("target", self.target, TARGETS)
        check_pipeline(self.pipeline, 2)

    @property
    def table(self) -> TableParams:
        """The table of the mantissa's logarithm."""
        return TableParams("log2", self.index_bits, 16 - self.index_bits)

    @property
    def width(self) -> int:
        """Bits of a result."""
        return (self.in_bits << 16).bit_length()


class Log2(Cell):
    """``log2 l`` of an integer ``l > 0`` with 16 fraction bits.

    What comes out for ``l`` 0 is not defined.

    Parameters
    ----------
    params : :class:`Log2Params`

    Members
    -------
    l : ``In(in_bits)``
    en : ``In(pipeline)``
        Bit k lets a beat into stage k. Absent without stages.
    y : ``Out(width)``
        Unsigned, 16 fraction bits; ``k << 16`` for powers of two.

    Timing
    ------
    ``pipeline`` cycles, one result per cycle. Two stages end behind the normalising shift and the
    table.
    """

    def __init__(self, params: Log2Params):
        self.params = params
        self.latency = params.pipeline
        self.label = (
            f"log2_i{params.in_bits}_b{params.index_bits}_p{params.pipeline}_{params.target}"
        )
        members = {"l": In(params.in_bits)}
        if params.pipeline:
            members["en"] = In(params.pipeline)
        super().__init__({**members, "y": Out(params.width)})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        later = Stages(m, self.en if params.pipeline else None, params.pipeline, 2)
        fraction, k = mantissa(m, self.l)
        fraction = later(fraction, 0)
        bits = params.index_bits
        index, rest = fraction[MANTISSA - bits :], fraction[MANTISSA - 16 : MANTISSA - bits]
        chains = params.target == "fpga"
        y = interpolated(m, later, 1, [params.table.values], index, rest, chains)
        octaves = Cat(Const(0, 16), later(k, 0, 1))
        m.d.comb += self.y.eq(wire(m, octaves, "octaves") + y)
        return m

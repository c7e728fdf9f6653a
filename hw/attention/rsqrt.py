# SPDX-License-Identifier: Apache-2.0
"""Reciprocal square roots of integers: two tables and one step of Newton."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.wires import wire
from hw.attention.products import add_product, add_square
from hw.attention.recip import MANTISSA, mantissa
from hw.attention.stages import Stages, check_pipeline
from hw.attention.table import TARGETS, TableParams, interpolated
from hw.cell import Cell
from hw.quant.params import among, within

__all__ = ["Rsqrt", "RsqrtParams"]

#: Bits of what the first step leaves, for each number of index bits; with its sign.
_LEFT = {4: 21, 5: 19, 6: 18, 7: 18, 8: 18}


@dataclass(frozen=True)
class RsqrtParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    in_bits: int = 40  #: Width of the radicand.
    index_bits: int = 6  #: Each table has ``2**index_bits`` segments.
    newton: bool = True  #: Whether a step of Newton follows the table.
    pipeline: int = 0  #: Register stages, 0 to 5.
    target: str = "gates"  #: Decides structure, never function.

    def __post_init__(self) -> None:
        within("in_bits", self.in_bits, 2, 64)
        within("index_bits", self.index_bits, 4, 8)
        among("target", self.target, TARGETS)
        check_pipeline(self.pipeline, 5)

    @property
    def tables(self) -> tuple[TableParams, TableParams]:
        """The tables of the first guess: for even and for odd exponents."""
        bits = self.index_bits, 16 - self.index_bits
        return TableParams("rsqrt", *bits), TableParams("rsqrt2", *bits)

    @property
    def width(self) -> int:
        """Bits of a result."""
        return 31 if self.newton else 17

    @property
    def exponent_bits(self) -> int:
        """Bits of the exponent ``h``."""
        return max(1, ((self.in_bits - 1) // 2).bit_length())


class Rsqrt(Cell):
    """``v**-0.5`` of an integer ``v > 0`` as ``y * 2**-(30 + h)``, the unit RSQRT of LN-INT.

    The relative error is below 3.1e-9 with 6 index bits and up to 24 significant bits; what lies
    below them is cut off. Without ``newton`` the result is ``y * 2**-(16 + h)``, straight from the
    tables. What comes out for ``v`` 0 is not defined.

    Parameters
    ----------
    params : :class:`RsqrtParams`

    Members
    -------
    v : ``In(in_bits)``
        Radicand.
    en : ``In(pipeline)``
        Bit k lets a beat into stage k. Absent without stages.
    h : ``Out(exponent_bits)``
        Half the place of the leading one of ``v``, rounded down.
    y : ``Out(width)``
        30 fraction bits, 2**29 to 2**30; without ``newton`` 16.

    Timing
    ------
    ``pipeline`` cycles, one result per cycle. Five stages end behind the normalising shift, the
    tables, the line, the square and the product with the mantissa.
    """

    def __init__(self, params: RsqrtParams):
        self.params = params
        self.latency = params.pipeline
        newton = "" if params.newton else "_plain"
        self.label = (
            f"rsqrt_i{params.in_bits}_b{params.index_bits}{newton}_p{params.pipeline}"
            f"_{params.target}"
        )
        members = {"v": In(params.in_bits)}
        if params.pipeline:
            members["en"] = In(params.pipeline)
        super().__init__({**members, "h": Out(params.exponent_bits), "y": Out(params.width)})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        later = Stages(m, self.en if params.pipeline else None, params.pipeline, 5)
        chains = params.target == "fpga"
        fraction, k = mantissa(m, self.v)
        fraction, odd = later(fraction, 0), later(wire(m, k[0], "odd"), 0)
        start = MANTISSA - params.index_bits
        index, rest = Cat(fraction[start:], odd), fraction[MANTISSA - 16 : start]
        values = [table.values for table in params.tables]
        guess = later(interpolated(m, later, 1, values, index, rest, chains), 2)
        m.d.comb += self.h.eq(later(wire(m, k[1:], "half"), 0, 4))
        if not params.newton:
            m.d.comb += self.y.eq(later(guess, 3, 4))
            return m

        heap = BitHeap(m, 34, chains)
        add_square(m, heap, guess)
        square = later(wire(m, heap.total()[2:33], "square"), 3)

        # What is left, 2**30 - m * guess**2, is so small that its lowest bits tell it.
        fraction, odd = later(fraction, 1, 3), later(odd, 1, 3)
        one = Cat(fraction, Const(1, 1))
        scaled = wire(m, Mux(odd, Cat(Const(0, 1), one), one), "scaled")
        product = BitHeap(m, MANTISSA + _LEFT[params.index_bits], chains)
        add_product(m, product, square, scaled)
        left = wire(m, (~product.total()[MANTISSA:]).as_signed(), "left")  # one less than that
        left, guess = later(left, 4), later(guess, 3, 4)

        heap = BitHeap(m, 48, chains)
        heap.add(guess, 31)
        heap.add(guess)
        heap.add_constant(1 << 16)
        add_product(m, heap, guess, left)
        m.d.comb += self.y.eq(heap.total()[17:])
        return m

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

_INDEX, _REST = 6, 10


@dataclass(frozen=True)
class RsqrtParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    in_bits: int = 40  #: Width of the radicand.
    pipeline: int = 0  #: Register stages, 0 to 5.
    target: str = "gates"  #: Decides structure, never function.

    def __post_init__(self) -> None:
        within("in_bits", self.in_bits, 2, 64)
        among("target", self.target, TARGETS)
        check_pipeline(self.pipeline, 5)

    @property
    def tables(self) -> tuple[TableParams, TableParams]:
        """The tables of the first guess: for even and for odd exponents."""
        return TableParams("rsqrt", _INDEX, _REST), TableParams("rsqrt2", _INDEX, _REST)

    @property
    def exponent_bits(self) -> int:
        """Bits of the exponent ``h``."""
        return max(1, ((self.in_bits - 1) // 2).bit_length())


class Rsqrt(Cell):
    """``v**-0.5`` of an integer ``v > 0`` as ``y * 2**-(30 + h)``, the unit RSQRT of LN-INT.

    The relative error is below 3.1e-9 for up to 24 significant bits; what lies below them is cut
    off. What comes out for ``v`` 0 is not defined.

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
    y : ``Out(31)``
        30 fraction bits, 2**29 to 2**30.

    Timing
    ------
    ``pipeline`` cycles, one result per cycle. Five stages end behind the normalising shift, the
    tables, the line, the square and the product with the mantissa.
    """

    def __init__(self, params: RsqrtParams):
        self.params = params
        self.latency = params.pipeline
        self.label = f"rsqrt_i{params.in_bits}_p{params.pipeline}_{params.target}"
        members = {"v": In(params.in_bits)}
        if params.pipeline:
            members["en"] = In(params.pipeline)
        super().__init__({**members, "h": Out(params.exponent_bits), "y": Out(31)})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        later = Stages(m, self.en if params.pipeline else None, params.pipeline, 5)
        chains = params.target == "fpga"
        fraction, k = mantissa(m, self.v)
        fraction, odd = later(fraction, 0), later(wire(m, k[0], "odd"), 0)
        index = Cat(fraction[MANTISSA - _INDEX :], odd)
        rest = fraction[MANTISSA - _INDEX - _REST :][:_REST]
        values = [table.values for table in params.tables]
        guess = later(interpolated(m, later, 1, values, index, rest, chains), 2)

        heap = BitHeap(m, 34, chains)
        add_square(m, heap, guess)
        square = later(wire(m, heap.total()[2:33], "square"), 3)

        # What is left, 2**30 - m * guess**2, is so small that its lowest 18 bits tell it.
        fraction, odd = later(fraction, 1, 3), later(odd, 1, 3)
        one = Cat(fraction, Const(1, 1))
        scaled = wire(m, Mux(odd, Cat(Const(0, 1), one), one), "scaled")
        product = BitHeap(m, MANTISSA + 18, chains)
        add_product(m, product, square, scaled)
        left = wire(m, (~product.total()[MANTISSA:]).as_signed(), "left")  # one less than that
        left, guess = later(left, 4), later(guess, 3, 4)

        heap = BitHeap(m, 48, chains)
        heap.add(guess, 31)
        heap.add(guess)
        heap.add_constant(1 << 16)
        add_product(m, heap, guess, left)
        m.d.comb += [self.h.eq(later(wire(m, k[1:], "half"), 0, 4)), self.y.eq(heap.total()[17:])]
        return m

# SPDX-License-Identifier: Apache-2.0
"""Reciprocals of integers: a table and one step of Newton."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.shifts import normalized
from hw.arith.wires import wire
from hw.attention.products import add_product
from hw.attention.stages import Stages, check_pipeline
from hw.attention.table import TARGETS, TableParams, interpolated
from hw.cell import Cell
from hw.quant.params import among, within

__all__ = ["MANTISSA", "Recip", "RecipParams", "mantissa"]

#: Fraction bits of a mantissa.
MANTISSA = 23

#: Bits of what the first step leaves, for each number of index bits; with its sign.
_LEFT = {4: 21, 5: 20, 6: 18, 7: 17, 8: 17}


@dataclass(frozen=True)
class RecipParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    in_bits: int = 32  #: Width of the divisor.
    index_bits: int = 6  #: The table has ``2**index_bits`` segments.
    newton: bool = True  #: Whether a step of Newton follows the table.
    pipeline: int = 0  #: Register stages, 0 to 4.
    target: str = "gates"  #: Decides structure, never function.

    def __post_init__(self) -> None:
        within("in_bits", self.in_bits, 2, 64)
        within("index_bits", self.index_bits, 4, 8)
        among("target", self.target, TARGETS)
        check_pipeline(self.pipeline, 4)

    @property
    def table(self) -> TableParams:
        """The table of the first guess."""
        return TableParams("recip", self.index_bits, 16 - self.index_bits)

    @property
    def width(self) -> int:
        """Bits of a result."""
        return 31 if self.newton else 17

    @property
    def exponent_bits(self) -> int:
        """Bits of the exponent ``k``."""
        return (self.in_bits - 1).bit_length()


def mantissa(m: Module, value: Value) -> tuple[Value, Value]:
    """Return ``(fraction, k)``: k is the place of the leading one, ``fraction`` what follows it.

    The fraction has :data:`MANTISSA` bits, those below are cut off. Nothing is said of 0.
    """
    word, zeros = normalized(m, value)
    bits = (len(value) - 1).bit_length()
    k = wire(m, ((len(value) - 1) - zeros)[:bits], "k")
    fraction = word[:-1] << MANTISSA
    return wire(m, fraction[len(value) - 1 :][:MANTISSA], "fraction"), k


class Recip(Cell):
    """``1 / l`` of an integer ``l > 0`` as ``y * 2**-(30 + k)``, the unit RECIP of FA-INT.

    The relative error is below 8.1e-9 with 6 index bits. Without ``newton`` the result is
    ``y * 2**-(16 + k)``, straight from the table. What comes out for ``l`` 0 is not defined.

    Parameters
    ----------
    params : :class:`RecipParams`

    Members
    -------
    l : ``In(in_bits)``
        Divisor. Of more than 24 bits the top 24 count.
    en : ``In(pipeline)``
        Bit k lets a beat into stage k. Absent without stages.
    k : ``Out(exponent_bits)``
        Place of the leading one of ``l``.
    y : ``Out(width)``
        Reciprocal of the mantissa: 30 fraction bits, 2**29 to 2**30; without ``newton`` 16.

    Timing
    ------
    ``pipeline`` cycles, one result per cycle. Four stages end behind the normalising shift, the
    table, the line and the first product.
    """

    def __init__(self, params: RecipParams):
        self.params = params
        self.latency = params.pipeline
        newton = "" if params.newton else "_plain"
        self.label = (
            f"recip_i{params.in_bits}_b{params.index_bits}{newton}_p{params.pipeline}"
            f"_{params.target}"
        )
        members = {"l": In(params.in_bits)}
        if params.pipeline:
            members["en"] = In(params.pipeline)
        super().__init__({**members, "k": Out(params.exponent_bits), "y": Out(params.width)})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        later = Stages(m, self.en if params.pipeline else None, params.pipeline, 4)
        chains = params.target == "fpga"
        fraction, k = mantissa(m, self.l)
        fraction = later(fraction, 0)
        start = MANTISSA - params.index_bits
        index, rest = fraction[start:], fraction[MANTISSA - 16 : start]
        guess = later(interpolated(m, later, 1, [params.table.values], index, rest, chains), 2)
        m.d.comb += self.k.eq(later(k, 0, 3))
        if not params.newton:
            m.d.comb += self.y.eq(later(guess, 3))
            return m

        # What is left, 2**39 - m * guess, is so small that few bits of the product tell it.
        bits = _LEFT[params.index_bits] + 9
        product = BitHeap(m, bits, chains)
        one = wire(m, guess[: bits - MANTISSA], "one")
        product.add(one, MANTISSA)
        add_product(m, product, later(fraction, 1, 2), guess)
        product.add_constant(-1)
        left = later(wire(m, (~product.total()[9:]).as_signed(), "left"), 3)

        guess = later(guess, 3)
        heap = BitHeap(m, 47, chains)
        heap.add(guess, 30)
        heap.add_constant(1 << 15)
        add_product(m, heap, guess, left)
        m.d.comb += self.y.eq(heap.total()[16:])
        return m

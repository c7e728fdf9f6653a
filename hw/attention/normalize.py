# SPDX-License-Identifier: Apache-2.0
"""The last pass of a softmax: a weight times the reciprocal of their sum, rounded."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module, Mux
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.rounding import incremented
from hw.arith.sticky import shifted_right
from hw.arith.wires import wire
from hw.attention.products import add_product
from hw.attention.softmax_params import SoftmaxParams
from hw.attention.stages import Stages
from hw.cell import Cell

__all__ = ["Normalize", "NormalizeParams"]


@dataclass(frozen=True)
class NormalizeParams:
    """What decides a probability: ``min(RHU(e * y, base + s), 2**out_bits - 1)``."""

    e_bits: int  #: Bits of a weight.
    base: int  #: Least shift, 1 or more.
    shift_bits: int  #: Bits of the shift beyond that.
    out_bits: int
    target: str = "gates"

    @classmethod
    def of_sums(cls, params: SoftmaxParams, e_bits: int, least: int) -> "NormalizeParams":
        """Return those of weights whose sum has its leading one at the place ``least`` or above."""
        most = params.sum_bits - 1 - least
        base = 30 + least - params.p_bits
        return cls(e_bits, base, max(1, most.bit_length()), params.p_bits, params.target)


class Normalize(Cell):
    """A weight times a reciprocal.

    Parameters
    ----------
    params : :class:`NormalizeParams`

    Members
    -------
    e : ``In(e_bits)``, ``y`` : ``In(31)``, ``s`` : ``In(shift_bits)``
        The product without its shift is less than ``2**(base + s + out_bits + 1)``.
    en : ``In(1)``
        Lets a beat into the stage.
    p : ``Out(out_bits)``

    Timing
    ------
    One cycle, one result per cycle: the stage ends behind the product.
    """

    latency = 1

    def __init__(self, params: NormalizeParams):
        self.params = params
        self.label = (
            f"normalize_e{params.e_bits}_b{params.base}_s{params.shift_bits}_o{params.out_bits}"
            f"_{params.target}"
        )
        members = {"e": In(params.e_bits), "y": In(31), "s": In(params.shift_bits), "en": In(1)}
        super().__init__({**members, "p": Out(params.out_bits)})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        later = Stages(m, self.en, 1, 1)
        heap = BitHeap(m, params.e_bits + 31, params.target == "fpga")
        add_product(m, heap, self.y, self.e)
        # Of what is below the last bit only the next one decides.
        product = later(wire(m, heap.total()[params.base - 1 :], "product"), 0)
        shifted, _ = shifted_right(m, product, later(self.s, 0))
        shifted = wire(m, shifted[: params.out_bits + 2], "shifted")
        p = wire(m, incremented(m, shifted[1:], shifted[0]), "rounded")
        over = p[params.out_bits]
        m.d.comb += self.p.eq(Mux(over, (1 << params.out_bits) - 1, p[: params.out_bits]))
        return m

# SPDX-License-Identifier: Apache-2.0
"""The weight of a logit: a power of two with its scaled distance from the maximum."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module, signed
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.sticky import shifted_right
from hw.arith.wires import wire
from hw.attention.exp2n import Exp2N, Exp2NParams
from hw.attention.products import add_product
from hw.attention.stages import Stages
from hw.cell import Cell

__all__ = ["Distance", "Score", "ScoreParams"]

#: Bits of a scale and of its shift.
SCALE, SHIFT = 15, 6


@dataclass(frozen=True)
class ScoreParams:
    """What decides a score."""

    in_bits: int  #: Width of a logit, signed.
    out_bits: int = 0  #: Fraction bits of the power of two.
    clamp: bool = True  #: Whether 1.0 becomes the largest number of ``out_bits`` bits.
    target: str = "gates"

    @property
    def width(self) -> int:
        """Bits of a distance."""
        return self.in_bits + SCALE


class Distance(Cell):
    """``((top - x) * m) >> sh``: how far a logit lies below the maximum, 12 fraction bits.

    Parameters
    ----------
    params : :class:`ScoreParams`

    Members
    -------
    top, x : ``In(signed(in_bits))``
        ``top`` is not less than ``x``, or nothing is said of what comes out.
    m : ``In(15)``, ``sh`` : ``In(6)``
    en : ``In(2)``
        Bit k lets a beat into stage k.
    d : ``Out(in_bits + 15)``

    Timing
    ------
    Two cycles, one result per cycle: stages end behind the difference and the product.
    """

    latency = 2

    def __init__(self, params: ScoreParams):
        self.params = params
        self.label = f"distance_i{params.in_bits}_{params.target}"
        logit = In(signed(params.in_bits))
        members = {"top": logit, "x": logit, "m": In(SCALE), "sh": In(SHIFT), "en": In(2)}
        super().__init__({**members, "d": Out(params.width)})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        later = Stages(m, self.en, 2, 2)
        distance = wire(m, (self.top - self.x)[: params.in_bits], "distance")
        heap = BitHeap(m, params.width, params.target == "fpga")
        add_product(m, heap, later(self.m, 0), later(distance, 0))
        product = later(wire(m, heap.total()[:], "product"), 1)
        scaled, _ = shifted_right(m, product, later(self.sh, 0, 1))
        m.d.comb += self.d.eq(scaled)
        return m


class Score(Cell):
    """``min(EXP2N(((top - x) * m) >> sh), 2**out_bits - 1)``; 2**out_bits without ``clamp``.

    Parameters
    ----------
    params : :class:`ScoreParams`

    Members
    -------
    top, x, m, sh : as of :class:`Distance`
    en : ``In(6)``
        Bit k lets a beat into stage k.
    e : ``Out(out_bits)``, without ``clamp`` one bit more

    Timing
    ------
    :attr:`latency` cycles, one result per cycle.
    """

    latency = 6

    def __init__(self, params: ScoreParams):
        self.params = params
        clamp = "c" if params.clamp else ""
        self.label = f"score_i{params.in_bits}_o{params.out_bits}{clamp}_{params.target}"
        logit = In(signed(params.in_bits))
        members = {"top": logit, "x": logit, "m": In(SCALE), "sh": In(SHIFT), "en": In(6)}
        super().__init__({**members, "e": Out(params.out_bits + (not params.clamp))})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        m.submodules.distance = distance = Distance(params)
        power = Exp2NParams(
            params.width, params.out_bits, clamp=params.clamp, pipeline=3, target=params.target
        )
        m.submodules.power = exp2n = Exp2N(power)
        later = Stages(m, self.en[2], 1, 1)
        m.d.comb += [
            *(getattr(distance, n).eq(getattr(self, n)) for n in ("top", "x", "m", "sh")),
            distance.en.eq(self.en[:2]),
            exp2n.d.eq(later(distance.d, 0)),
            exp2n.en.eq(self.en[3:]),
            self.e.eq(exp2n.e),
        ]
        return m

# SPDX-License-Identifier: Apache-2.0
"""Pairs of mantissa and exponent: what two-pass softmax adds up instead of powers of two."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.sticky import shifted_right
from hw.arith.wires import wire
from hw.attention.products import add_product
from hw.attention.score import SCALE, SHIFT
from hw.attention.stages import Stages
from hw.attention.table import TableParams, interpolated
from hw.cell import Cell

__all__ = ["Mantissa", "MantissaParams", "Pair", "merged"]


@dataclass(frozen=True)
class MantissaParams:
    """What decides a mantissa."""

    in_bits: int  #: Width of a logit, signed.
    target: str = "gates"

    @property
    def exponent_bits(self) -> int:
        """Bits of an exponent, signed."""
        return self.in_bits + SCALE - 12


class Mantissa(Cell):
    """``2**(x * scale)`` as ``v * 2**(n - 16)``, v from 2**16 to 2**17.

    Parameters
    ----------
    params : :class:`MantissaParams`

    Members
    -------
    x : ``In(signed(in_bits))``, ``m`` : ``In(15)``, ``sh`` : ``In(6)``
        ``(x * m) >> sh`` has 12 fraction bits.
    en : ``In(3)``
        Bit k lets a beat into stage k.
    n : ``Out(signed(exponent_bits))``, ``v`` : ``Out(17)``

    Timing
    ------
    Three cycles, one result per cycle: stages end behind product, shift and table.
    """

    latency = 3

    def __init__(self, params: MantissaParams):
        self.params = params
        self.label = f"mantissa_i{params.in_bits}_{params.target}"
        members = {"x": In(signed(params.in_bits)), "m": In(SCALE), "sh": In(SHIFT), "en": In(3)}
        super().__init__({**members, "n": Out(signed(params.exponent_bits)), "v": Out(17)})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        later = Stages(m, self.en, 3, 3)
        chains = params.target == "fpga"
        heap = BitHeap(m, params.in_bits + SCALE, chains)
        add_product(m, heap, self.x, self.m)
        product = later(heap.total(), 0)
        u = later(wire(m, product >> later(self.sh, 0), "u"), 1)
        values = TableParams("exp2", 6, 6).values
        v = interpolated(m, later, 2, [values], u[6:12], u[:6], chains)
        m.d.comb += [self.n.eq(later(wire(m, u[12:], "n"), 2)), self.v.eq(v)]
        return m


@dataclass(frozen=True)
class Pair:
    """A sum of powers of two, ``v * 2**exponent``; empty without ``some``, and then ``v`` is 0."""

    some: Value
    exponent: Value  #: Signed.
    v: Value


def merged(m: Module, a: Pair, b: Pair) -> Pair:
    """Return the sum of two pairs: the one of the lesser exponent is shifted, rounded half up."""
    first = wire(m, a.some & (~b.some | (a.exponent >= b.exponent)), "first")
    exponent = wire(m, Mux(first, a.exponent, b.exponent).as_signed(), "exponent")
    difference = wire(m, a.exponent - b.exponent, "difference")
    apart = wire(m, Mux(first, difference, -difference)[: len(a.exponent)], "apart")
    high, low = Mux(first, a.v, b.v), Mux(first, b.v, a.v)
    width = max(len(a.v), len(b.v))
    word, _ = shifted_right(m, Cat(Const(0, 1), wire(m, low, "low")), apart)
    word = wire(m, word, "shifted")
    total = wire(m, Cat(Const(1, 1), high) + Cat(word[0], word[1:]), "sum")
    return Pair(wire(m, a.some | b.some, "some"), exponent, total[1 : width + 2])

# SPDX-License-Identifier: Apache-2.0
"""Outlier-victim pairs: an outlier takes the place of its neighbour too.

Source: OliVe (2023); of two outliers the larger stays, the even element when equal.
"""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.cell import Cell
from hw.encode.rounding import grows
from hw.encode.shift import normalize
from hw.encode.source import magnitude

__all__ = ["OLIVE", "Pair", "PairFormat"]


@dataclass(frozen=True)
class PairFormat:
    """Normal integers of ``bits``; outliers ``(2**man_bits + m) << e + bias``."""

    bits: int
    man_bits: int
    bias: int
    top_code: int  #: Magnitude code of the largest outlier.

    @property
    def least(self) -> int:
        """Exponent of the smallest magnitude beyond the normal ones."""
        return self.bits - 1

    @property
    def keep(self) -> int:
        """Bits of the largest outlier."""
        return (self.top_code >> self.man_bits) + self.bias + self.man_bits + 1


OLIVE = {"olive4": PairFormat(4, 1, 2, 0b111), "olive8": PairFormat(8, 3, 4, 0b1000_000)}


class Pair(Cell):
    """Encode two neighbours.

    Parameters
    ----------
    name : str
        A key of :data:`OLIVE`.
    source_bits : int
        Bits of the integers.

    Members
    -------
    x : ``In(2 * source_bits)``
        Integers, the even element in the low bits.
    q : ``Out(2 * bits)``

    Timing
    ------
    Combinational.
    """

    def __init__(self, name: str, source_bits: int):
        self.fmt, self.source_bits = OLIVE[name], source_bits
        self.label = f"{name}_pair_int{source_bits}"
        super().__init__({"x": In(2 * source_bits), "q": Out(2 * self.fmt.bits)})

    def body(self, platform: Any) -> Module:
        m, fmt = Module(), self.fmt
        codes = [self.x.word_select(k, self.source_bits) for k in range(2)]
        sizes = [wire(m, magnitude(m, code, self.source_bits)[0], "size") for code in codes]
        out = [wire(m, size[fmt.bits - 1 :].any(), "outlier") for size in sizes]
        odd = wire(m, out[1] & (~out[0] | (sizes[1] > sizes[0])), "odd_stays")
        some = out[0] | out[1]
        size = wire(m, Mux(odd, sizes[1], sizes[0]), "kept")
        outlier = wire(m, Cat(self._abfloat(m, size), Mux(odd, codes[1][-1], codes[0][-1])), "ab")
        mark = Const(1 << fmt.bits - 1, fmt.bits)
        for k, code in enumerate(codes):
            other = Mux(odd if k else ~odd, outlier, mark)
            m.d.comb += self.q.word_select(k, fmt.bits).eq(Mux(some, other, code[: fmt.bits]))
        return m

    def _abfloat(self, m: Module, size: Value) -> Value:
        """Return the magnitude code of an outlier: nearest, ties to the smaller."""
        fmt = self.fmt
        word = Cat(size[: fmt.keep], Const(0, max(0, fmt.keep - len(size))))
        beyond = size[fmt.keep :].any()
        room = fmt.keep - 1 - fmt.least
        word, zeros = normalize(m, word, room)
        low = fmt.keep - 1 - fmt.man_bits
        code = Cat(word[low:-1], (Const(room) - zeros).as_unsigned())
        code = wire(m, code, "cut")
        up = grows("ties-to-zero", code[0], word[low - 1], word[: low - 1].any())
        rounded = wire(m, code + up, "rounded")
        # The code 0 would read as no value.
        rounded = wire(m, Cat(rounded[0] | ~rounded.any(), rounded[1:]), "outlier_code")
        top = Mux(beyond | (rounded > fmt.top_code), fmt.top_code, rounded)
        return Cat(top, Const(0, fmt.bits))[: fmt.bits - 1]

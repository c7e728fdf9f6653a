# SPDX-License-Identifier: Apache-2.0
"""Binary32 arithmetic of dequantization: integers to floats, and sums, to nearest even."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value
from amaranth.lib.wiring import In, Out

from hw.arith.leading import normalized_to_limit
from hw.arith.sticky import shifted_right
from hw.arith.wires import wire
from hw.cell import Cell

__all__ = ["NAN", "Fp32Add", "rounded"]

NAN = 0x7FC00000  #: The one NaN that is ever made.


def rounded(
    m: Module, magnitude: Value, exponent: Value, offset: int, least: int, most: int
) -> Value:
    """Return the code, without its sign, of ``magnitude * 2**(exponent + offset)``.

    ``least`` and ``most`` bound ``exponent + offset``; what they show to be impossible (subnormal
    results, overflow) costs nothing. Overflow gives infinity, underflow is gradual.
    """
    bits = len(magnitude)
    width = max(bits, 26)
    word = wire(m, Cat(Const(0, width - bits), magnitude), "magnitude")
    top, zeros = _normalized(m, word)
    # Field of the float's exponent if the number is normal; 127 is the bias.
    shift = offset - (width - bits) + width - 1 + 127
    field = wire(m, exponent - zeros + shift, "field")
    word = wire(m, Cat(top[: width - 25].any(), top[width - 25 :]), "kept")
    nonzero = top[-1]
    if least + 127 < 1:
        tiny = wire(m, field < 1, "tiny")
        by = wire(m, (1 - field)[: len(field)] & tiny.replicate(len(field)), "by")
        word, lost = shifted_right(m, word, by)
        word = wire(m, word | lost, "denormal")
        nonzero = nonzero & ~tiny
    up = word[1] & (word[0] | word[2])
    low = Cat(word[2:25], field[:8] & nonzero.replicate(8))
    code = wire(m, (low + up)[:31], "code")
    if most + bits - 1 + 127 >= 254:
        beyond = (field >= 255) & top[-1]
        code = wire(m, Mux(beyond, Const(0xFF << 23, 31), code), "held")
    return code


def _normalized(m: Module, word: Value, limit: Value | None = None) -> tuple[Value, Value]:
    """Return ``word`` shifted to its leading one, or by ``limit``, and by how much."""
    if limit is None:
        bits = len(word).bit_length()
        limit = Const((1 << bits) - 1, bits)
    shifted, amount = normalized_to_limit(m, word, limit, Const(0, 1))
    return wire(m, shifted, "normal"), wire(m, amount, "zeros")


class Fp32Add(Cell):
    """Sum of two binary32 codes, rounded to nearest even.

    Parameters
    ----------
    subnormals : bool
        Whether operands or results can be subnormal.

    Members
    -------
    a, b : ``In(32)``
    y : ``Out(32)``
        NaN is always 0x7fc00000; a sum of zero is +0 whatever the signs.

    Timing
    ------
    Combinational.
    """

    def __init__(self, subnormals: bool = True):
        self.subnormals = subnormals
        self.label = "fp32_add" if subnormals else "fp32_add_normal"
        self.latency = 0
        super().__init__({"a": In(32), "b": In(32), "y": Out(32)})

    def body(self, platform: Any) -> Module:
        m = Module()
        swap = wire(m, self.a[:31] < self.b[:31], "swap")
        big = wire(m, Mux(swap, self.b, self.a), "big")
        small = wire(m, Mux(swap, self.a, self.b), "small")
        exponent, less = self._exponent(m, big), self._exponent(m, small)
        sub = wire(m, big[31] ^ small[31], "sub")

        by = wire(m, (exponent - less)[:8], "by")
        aligned, lost = shifted_right(m, Cat(Const(0, 3), self._significand(small)), by)
        aligned = wire(m, aligned | lost, "aligned")
        operand = Cat(aligned, Const(0, 1)) ^ sub.replicate(28)
        total = Cat(Const(0, 3), self._significand(big)) + operand + sub
        total = wire(m, total[:28], "total")

        # No shift takes the exponent below its least.
        normal, zeros = _normalized(m, total, exponent if self.subnormals else None)
        nonzero = total.any() if self.subnormals else normal[27]
        field = wire(m, (exponent + 1 - zeros)[:8] & normal[27].replicate(8), "field")
        top = wire(m, field.all(), "top")
        up = normal[3] & (normal[:3].any() | normal[4]) & ~top
        code = Cat(normal[4:27] & (~top).replicate(23), field) + up
        special = wire(m, big[23:31].all(), "special")
        nan = special & (big[:23].any() | (small[23:31].all() & (small[:23].any() | sub)))
        finite = Cat(code[:31], big[31] & nonzero)
        m.d.comb += self.y.eq(
            Mux(nan, NAN, Mux(special, Cat(Const(0xFF << 23, 31), big[31]), finite))
        )
        return m

    def _exponent(self, m: Module, code: Value) -> Value:
        field = code[23:31]
        if self.subnormals:
            field = Cat(field[0] | ~field.any(), field[1:])
        return wire(m, field, "exponent")

    @staticmethod
    def _significand(code: Value) -> Value:
        return Cat(code[:23], code[23:31].any())

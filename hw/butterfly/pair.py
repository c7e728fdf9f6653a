# SPDX-License-Identifier: Apache-2.0
"""One butterfly: four multipliers for two complex numbers and a twiddle, or for 2x2 weights."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.butterfly.params import ButterflyParams
from hw.cell import Cell

__all__ = ["Pair", "shift_of"]


def shift_of(params: ButterflyParams) -> tuple[int, int, int, int]:
    """Return the least shift, what transforms and weights add to it, and the largest addition."""
    turn, weight = params.twiddle_frac, params.frac + params.lift
    least = min(turn, weight)
    return least, turn - least, weight - least, max(turn + 2, weight + 15) - least


class Pair(Cell):
    """A butterfly.

    Parameters
    ----------
    params : :class:`ButterflyParams`

    Members
    -------
    a_re, a_im, c_re, c_im : ``In(state_bits)``
        Elements, in cycle 0.
    real : ``In(1)``
        Whether they meet weights, in cycle 0; then the imaginary parts are ignored.
    w0, w1, w2, w3 : ``In(factor_bits)``
        Factors, in cycle 1: of ``a`` for either result and of ``c``; or real part, imaginary
        part, imaginary part and real part of the twiddle, but for signs.
    plus_re, plus_im : ``In(1)``
        Whether products of the real or imaginary part are added, in cycle 2.
    extra : ``In``
        Shift beyond the least one, in cycle 4.
    x_re, x_im, y_re, y_im : ``Out(state_bits)``
        What takes the places of ``a`` and ``c``, in cycle 5. With weights the results are x_re and
        x_im.
    """

    def __init__(self, params: ButterflyParams):
        self.params = params
        self.label = "pair"
        bits = params.state_bits
        words = {name: In(bits) for name in ("a_re", "a_im", "c_re", "c_im")}
        factors = {f"w{k}": In(params.factor_bits) for k in range(4)}
        results = {name: Out(bits) for name in ("x_re", "x_im", "y_re", "y_im")}
        extra = {"extra": In(shift_of(params)[3].bit_length())}
        flags = {"real": In(1), "plus_re": In(1), "plus_im": In(1)}
        super().__init__({**words, **factors, **flags, **extra, **results})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        bits, frac = params.state_bits, params.twiddle_frac
        kept = [Signal(signed(bits), name=f"kept{k}", reset_less=True) for k in range(4)]
        first, second, add_re, add_im = kept
        m.d.sync += [
            first.eq(Mux(self.real, self.a_re, self.c_re)),
            second.eq(Mux(self.real, self.c_re, self.c_im)),
            add_re.eq(Mux(self.real, 0, self.a_re)),
            add_im.eq(Mux(self.real, 0, self.a_im)),
        ]
        operands = (first, first, second, second)
        products = []
        for k, operand in enumerate(operands):
            product = Signal(signed(bits + params.factor_bits), name=f"p{k}", reset_less=True)
            m.d.sync += product.eq(operand * getattr(self, f"w{k}").as_signed())
            products.append(product)
        sums = []
        for k, plus in ((0, self.plus_re), (1, self.plus_im)):
            # Imaginary: what the second operand adds, plus or minus what the first does.
            one, other = products[k], products[k + 2]
            if k:
                one, other = other, one
            total = Signal(signed(bits + params.factor_bits + 1), name=f"sum{k}", reset_less=True)
            m.d.sync += total.eq(Mux(plus, one + other, one - other))
            sums.append(total)
        beside = [self._later(m, self._later(m, word)) for word in (add_re, add_im)]
        for name, total, word in zip(("re", "im"), sums, beside, strict=True):
            up = Cat(Const(0, frac), word).as_signed()
            for stem, value in (("x", up + total), ("y", up - total)):
                # Weights need only the first; their sums may be wider.
                width = len(total) if stem == "x" else bits + frac + 2
                raw = Signal(signed(max(width, bits + frac + 2)), name=f"{stem}_{name}_raw")
                m.d.sync += raw.eq(value)
                m.d.sync += getattr(self, f"{stem}_{name}").eq(self._rounded(m, raw, stem == "x"))
        return m

    @staticmethod
    def _later(m: Module, word: Signal) -> Signal:
        held = Signal(word.shape(), reset_less=True)
        m.d.sync += held.eq(word)
        return held

    def _rounded(self, m: Module, value: Signal, weights: bool) -> Value:
        """Return the value shifted, rounded half up and saturated."""
        params, bits = self.params, self.params.state_bits
        least, turn, _, _ = shift_of(params)
        # One bit below the point stays to round by.
        lower = value[least - 1 :] if least else Cat(Const(0, 1), value)
        lower = wire(m, lower.as_signed(), "lower")
        if weights:
            down = wire(m, lower >> self.extra, "down")
        elif params.scaling == "bfp":
            low = [lower >> turn + k for k in range(3)]
            by = wire(m, (self.extra - turn)[:2], "by")
            down = wire(m, Mux(by[1], low[2], Mux(by[0], low[1], low[0])), "down")
        else:
            down = wire(m, lower >> turn + (params.scaling == "half"), "down")
        whole = wire(m, down[1:].as_signed(), "whole")
        top = wire(m, whole[bits - 1 :], "top")
        sign = whole[-1]
        rounded = wire(m, whole[:bits] + down[0], "rounded")
        carried = ~whole[bits - 1] & rounded[bits - 1]
        exceeds = wire(m, (top.any() & ~top.all()) | (~sign & carried), "exceeds")
        extreme = Cat((~sign).replicate(bits - 1), sign)
        return Mux(exceeds, extreme, rounded[:bits])

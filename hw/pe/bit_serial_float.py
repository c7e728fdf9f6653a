# SPDX-License-Identifier: Apache-2.0
"""Datapath of the bit-serial processing element with a floating-point accumulator."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import Out

from hw.arith.bitheap import BitHeap
from hw.arith.leading import normalized_to_limit
from hw.arith.shifts import normalized, shifted_down
from hw.arith.wires import wire
from hw.cell import Cell
from hw.pe.bit_serial_exact import operand_members, operands
from hw.pe.decode import label_of
from hw.pe.params import PEParams
from hw.spec.formats import FloatFormat

__all__ = ["BitSerialFloat", "scaled_code"]

_EXTRA = 3  #: Bits below an activation's significand: guard, round and sticky.
_BIAS = 63  #: Of the accumulator's 7-bit exponent, whose field 0 means zero.


class BitSerialFloat(Cell):
    """Add one term of every weight, times its fp16 activation, to a rounded sum.

    In each step the lanes' significands are aligned to the largest exponent among them, with guard,
    round and sticky bits, and added; that sum meets the accumulator exactly, and the result is
    rounded once, to 24 bits, to nearest and ties to even.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`

    Members
    -------
    en, clr, step, a, w, sel, sv, nan, bad
        As those of :class:`~hw.pe.bit_serial_exact.BitSerialExact`.
    total : ``Out(31)``
        The sum with this step: 23 bits of mantissa, 7 of exponent with bias 63 of which 0 means
        zero, and the sign.
    y : ``Out(32)``
        The sum so far as an fp32 code. Its exponent can leave the range of fp32 in neither
        direction.

    Timing
    ------
    ``y`` and the flags hold a step one cycle after it.
    """

    def __init__(self, params: PEParams):
        self.params = params
        chains = "_chains" if params.carry_chains else ""
        self.label = f"bit_serial_float_{label_of(params.weight_format)}_l{params.lanes}{chains}"
        super().__init__({**operand_members(params), "total": Out(31), "y": Out(32)})

    def body(self, platform: Any) -> Module:
        m = Module()
        exp, negative, significand = self._lanes_sum(m)
        sign = Signal(reset_less=True)
        man = Signal(23, reset_less=True)
        field = Signal(7)
        kept = wire(m, field & (~self.clr).replicate(7), "kept")
        old = Cat(man & kept[5:].any().replicate(23), kept[5:].any())
        following = _add(m, (kept, sign, old), (exp, negative, Cat(Const(0, 8), significand)))
        with m.If(self.en):
            m.d.sync += Cat(man, field, sign).eq(following)
        m.d.comb += [self.total.eq(following), self.y.eq(_code(man, field, sign))]
        return m

    def _lanes_sum(self, m: Module) -> tuple[Value, Value, Value]:
        """Return (exponent field, sign, 16 bits with the leading one on top) of the step's sum."""
        params = self.params
        lanes = []
        for lane, (term, act) in enumerate(operands(m, params, self)):
            code = self.a.word_select(lane, 16)
            some = wire(m, term.present & act.significand.any(), "some")
            # The decoder's shift is the biased exponent less 1, with that of subnormals 0.
            exp = wire(m, (act.shift + term.exp) & some.replicate(6), "exp")
            significand = act.significand & some.replicate(11)
            lanes.append((exp, term.negative ^ code[15], Cat(Const(0, _EXTRA), significand)))
        exps = [exp for exp, _, _ in lanes]
        while len(exps) > 1:
            pairs = zip(exps[::2], exps[1::2], strict=True)
            exps = [wire(m, Mux(x < y, y, x), "largest") for x, y in pairs]
        heap = BitHeap(m, 17, params.carry_chains)
        for exp, negative, significand in lanes:
            below = wire(m, (exps[0] - exp)[:6], "below")
            row = Cat(shifted_down(m, significand, below), Const(0, 1))
            negative = wire(m, negative, "negative")
            heap.add((row ^ negative.replicate(15)).as_signed(), carry=negative)
        total = heap.total()
        magnitude = wire(m, Mux(total[16], -total, total)[:16], "magnitude")
        top, zeros = normalized(m, magnitude)
        # Lanes count in 2**(exponent + 1 - 15 - 10 - 3), times 4**step or 2**-step.
        base = exps[0] + (1 - 15 - 10 - _EXTRA + 15 + _BIAS)
        if isinstance(params.weight_format, FloatFormat):
            weighted = base - self.step
        else:
            weighted = base + Cat(Const(0, 1), self.step)
        field = wire(m, (weighted - zeros)[:7], "lanes_field")
        return field & top[15].replicate(7), total[16], top


def _add(m: Module, first: tuple[Value, Value, Value], second: tuple[Value, Value, Value]) -> Value:
    """Return Cat(man, field, sign) of the rounded sum of two (field, sign, 24-bit significand).

    Both have the leading one on top, or are 0 with field 0.
    """
    (exp_a, sign_a, sig_a), (exp_b, sign_b, sig_b) = first, second
    swap = wire(m, Cat(sig_b, exp_b) > Cat(sig_a, exp_a), "swap")
    exp = wire(m, Mux(swap, exp_b, exp_a), "exp")
    sign = Mux(swap, sign_b, sign_a)
    large = wire(m, Mux(swap, sig_b, sig_a), "large")
    below = wire(m, (exp - Mux(swap, exp_a, exp_b))[:7], "below")
    small = shifted_down(m, Cat(Const(0, 3), Mux(swap, sig_a, sig_b)), below)
    differ = wire(m, sign_a ^ sign_b, "differ")
    word = wire(m, Cat(small, Const(0, 1)) ^ differ.replicate(28), "addend")
    total = (Cat(differ, Const(0, 3), large, Const(0, 1)) + Cat(differ, word))[1:29]
    top, zeros = normalized(m, wire(m, total, "total"))
    some = top[27]
    up = top[3] & (top[4] | top[:3].any())
    field = (exp + 1 - zeros)[:7]
    rounded = (Cat(top[4:27], field) + up)[:30]
    return Cat(rounded & some.replicate(30), sign & some)


def _code(man: Value, field: Value, sign: Value) -> Value:
    """Return the fp32 code of a sum, whose exponent is the field plus 64."""
    some = field[5:].any()  # a sum other than 0 is at least 2**-28, so the field 35
    return Cat(man & some.replicate(23), field[:6], some & ~field[6], field[6], sign & some)


def scaled_code(m: Module, product: Value, field: Value, sign: Value) -> Value:
    """Return the fp32 code of a sum times a scale, rounded to nearest, ties to even.

    ``product`` is the significand of 24 bits times a magnitude of at most 128; ``field`` the
    exponent of the significand.
    """
    product = wire(m, product, "product")
    top, zeros = normalized_to_limit(m, product, Const(7, 3), Const(0, 1))
    up = top[6] & (top[7] | top[:6].any())
    exp = (field + (7 - zeros[:3]))[:7] & top[30].replicate(7)
    rounded = wire(m, (Cat(top[7:30], exp) + up)[:30], "rounded")
    return _code(rounded[:23], rounded[23:], sign)

# SPDX-License-Identifier: Apache-2.0
"""One multiplier and one exact accumulator for FP4, posit(4,1), posit(8,0) and posit(16,1)."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.cell import Cell
from hw.pe.framed import Framed
from hw.pe.params import PEParams
from hw.pe.simd_operand import Formats, Word
from hw.pe.simd_product import placed_products
from hw.pe.simd_round import e2m1_magnitude, posit_magnitude

__all__ = ["SimdAccumulate", "build", "next_state", "rounded"]

_WORD, _FORMAT, _QUIRE, _LANES = 16, 2, 128, 4
_RESULTS = {"quire": unsigned(_QUIRE), "nar": unsigned(_LANES), "y": unsigned(_WORD)}


class SimdAccumulate(Cell):
    """Multiply and accumulate one beat per cycle.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`

    Members
    -------
    en : ``In(1)``
        Lets the beat into the accumulator.
    clr : ``In(1)``
        With ``en``: this beat starts new sums.
    a, w : ``In(16 * lanes)``
        Words, each of four, two or one codes, the first in the low bits.
    fmt : ``In(2)``
        0: four e2m1, 1: four posit4_1, 2: two posit8_0, 3: one posit16_1. Equal in all beats of a
        sum.
    quire : ``Out(128)``
        Exact sums of four times 32, two times 64 or 128 bits, in units of ``2**-2``, ``2**-8``,
        ``2**-12`` and ``2**-56``. NaR counts as zero.
    nar : ``Out(4)``
        Whether a code of each sum was NaR.
    y : ``Out(16)``
        The sums rounded to the format: posits as posits are, e2m1 to nearest even and saturating.

    Timing
    ------
    All outputs hold a beat one cycle after it came; ``y`` comes from the registers through logic.
    """

    def __init__(self, params: PEParams):
        self.params, self.latency = params, 1
        self.label = f"simd_l{params.lanes}"
        super().__init__(
            {
                "en": In(1),
                "clr": In(1),
                "a": In(_WORD * params.lanes),
                "w": In(_WORD * params.lanes),
                "fmt": In(_FORMAT),
                "quire": Out(_QUIRE, init=0),
                "nar": Out(_LANES, init=0),
                "y": Out(_WORD),
            }
        )

    def body(self, platform: Any) -> Module:
        m = Module()
        formats = Formats(m, self.fmt)
        quire = wire(m, self.quire & (~self.clr).replicate(_QUIRE), "kept")
        nar: Value = self.nar & (~self.clr).replicate(_LANES)
        for lane in range(self.params.lanes):
            a, w = (port.word_select(lane, _WORD) for port in (self.a, self.w))
            quire, nar = next_state(m, a, w, quire, nar, formats)
        held = Signal(_FORMAT)
        with m.If(self.en):
            m.d.sync += [self.quire.eq(quire), self.nar.eq(nar), held.eq(self.fmt)]
        m.d.comb += self.y.eq(rounded(m, self.quire, self.nar, Formats(m, held)))
        return m


def next_state(
    m: Module, a: Value, w: Value, quire: Value, nar: Value, formats: Formats
) -> tuple[Value, Value]:
    """Return (quire, nar) after the products of one word of each operand."""
    words = [Word(m, word, formats) for word in (a, w)]
    magnitudes, signs = placed_products(m, words[0], words[1], formats)
    total = _signed_sum(m, quire, magnitudes, signs, formats)
    return total, nar | _nar(words[0], formats) | _nar(words[1], formats)


def _signed_sum(
    m: Module, sums: Value, magnitudes: Value, signs: list[Value], formats: Formats
) -> Value:
    """Return the sums after adding magnitudes, each quarter with its sign."""
    bits = _QUIRE // _LANES
    joined = (Const(0, 1), ~formats.quarters, formats.posit16, ~formats.quarters)
    first, second = [], []
    for k, (join, sign) in enumerate(zip(joined, signs, strict=True)):
        # Below each quarter a bit hands the carry on, or starts the complement of a negative one.
        first += [join | sign, sums.word_select(k, bits)]
        second += [~join & sign, magnitudes.word_select(k, bits) ^ sign.replicate(bits)]
    total = wire(m, (Cat(*first) + Cat(*second))[: _QUIRE + _LANES], "spaced")
    return wire(m, Cat(*(total[(bits + 1) * k + 1 :][:bits] for k in range(_LANES))), "sums")


def _nar(word: Word, formats: Formats) -> Value:
    """Return the flags of the numbers of a word, the first one's in bit 0."""
    high, low = word.high.nar, word.low.nar
    quarters = Cat(word.first.nar, low, word.third.nar, high)
    return Mux(formats.quarters, quarters, Mux(formats.posit16, high, Cat(low, high)))


def rounded(m: Module, quire: Value, nar: Value, formats: Formats) -> Value:
    """Return the word of codes nearest to the sums."""
    bits = _QUIRE // _LANES
    tops = [quire[bits * k + bits - 1] for k in range(_LANES)]
    halves = [Mux(formats.posit8, tops[k | 1], tops[k]) for k in range(_LANES)]
    signs = [wire(m, Mux(formats.posit16, tops[-1], half), "sign") for half in halves]
    size = _signed_sum(m, Const(0, _QUIRE), quire, signs, formats)
    quarters = [size.word_select(k, bits) for k in range(_LANES)]
    codes = {
        "e2m1": [Cat(e2m1_magnitude(m, q), s) for q, s in zip(quarters, signs, strict=True)],
        "posit4": [
            _posit(m, posit_magnitude(m, quarters[k], 8, 4, 1), signs[k], nar[k])
            for k in range(_LANES)
        ],
        "posit8": [
            _posit(m, posit_magnitude(m, size.word_select(k, 64), 12, 8, 0), signs[2 * k], nar[k])
            for k in range(2)
        ],
        "posit16": [_posit(m, posit_magnitude(m, size, 56, 16, 1), signs[0], nar[0])],
    }
    total: Value = Const(0, _WORD)
    for name, parts in codes.items():
        total = total | Cat(*parts) & getattr(formats, name).replicate(_WORD)
    return total


def _posit(m: Module, magnitude: Value, sign: Value, nar: Value) -> Value:
    """Return the code of a posit from its magnitude's, its sign and whether it is NaR."""
    bits = len(magnitude)
    rest = ((magnitude ^ sign.replicate(bits)) + sign)[:bits]
    code = Cat(rest, sign & magnitude.any())
    return wire(m, Mux(nar, 1 << bits, code)[: bits + 1], "code")


def build(params: PEParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    component: Any = SimdAccumulate(params)
    if params.core == "stream":
        words = _WORD * params.lanes
        component = Framed(component, {"a": words, "w": words}, ("fmt", _FORMAT), _RESULTS)
    component.number_formats = {}
    component.contract = {"lam": [-2, -8, -12, -56], "acc_bits": _QUIRE, "max_k": params.max_k}
    component.notes = (
        "fmt 0: four e2m1, sums in quarters; 1: four posit4_1, sums in 2**-8; "
        "2: two posit8_0, sums in 2**-12; 3: one posit16_1, sum in 2**-56",
    )
    return component

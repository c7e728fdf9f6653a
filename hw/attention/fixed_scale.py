# SPDX-License-Identifier: Apache-2.0
"""Weights of I-BERT and I-ViT: exponentials of logits whose scale is a constant.

Both divide the distance from the maximum by a constant, ln 2 or 1 in units of a logit, take the
quotient as a shift and the remainder through a polynomial. Of few distances the result is looked
up; of many the remainder's part is, behind four to five subtractions of constants.
"""

from fractions import Fraction
from math import floor
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed
from amaranth.lib.wiring import In, Out

from hw.arith.recode import lookup
from hw.arith.sticky import shifted_right
from hw.arith.wires import wire
from hw.attention.stages import Stages
from hw.cell import Cell

__all__ = ["FixedWord", "IBert", "IVit", "stages"]

#: Distances of which the result is looked up whole.
_FEW = 512


class IBert:
    """Constants of I-BERT for one scale. A word is the weight, 32767 for the maximum.

    Source: Kim et al., "I-BERT: Integer-only BERT Quantization" (2021).
    """

    name = "ibert"
    word_bits = 15

    def __init__(self, scale: Fraction):
        self.scale = scale
        self.step = -floor(-Fraction("0.6931") / scale)
        self._b = floor(Fraction("0.96963238") / Fraction("0.35815147") / scale)
        self._c = floor(1 / Fraction("0.35815147") / scale**2)
        ratio = Fraction(32767, self._c)
        places = 0
        while floor(ratio * 2 ** (places + 1) + Fraction(1, 2)) < 1 << 31:
            places += 1
        self._places = places
        self._factor = floor(ratio * 2**places + Fraction(1, 2))
        #: From this distance on every weight is 0.
        self.reach = 17 * self.step

    def _exact(self, rest: int) -> int:
        """Return the weight of a remainder, in units of ``2**-places``."""
        return (rest * (rest - self._b) + self._c) * self._factor

    def word(self, distance: int) -> int:
        """Return the word of a distance below :attr:`reach`: rounded half to even."""
        z, rest = divmod(distance, self.step)
        return round(Fraction(self._exact(rest), 1 << self._places + z))

    @property
    def beyond(self) -> int:
        """The word of all farther distances."""
        return 0

    def build(self, m: Module, later: Stages, distance: Value) -> Value:
        """Return the word of a distance by dividing it, behind the places 1 and 2."""
        far = wire(m, distance >= self.reach, "far")
        z, rest = _divided(m, distance, self.step)
        z, rest, far = later(z, 1), later(rest, 1), later(far, 1, 2)
        rows = []
        for value in map(self._exact, range(self.step)):
            kept, lost = divmod(value, 1 << self._places - 2)
            rows.append(kept | (lost != 0))
        table = later(wire(m, lookup(rows, rest[: (self.step - 1).bit_length()], 17), "part"), 2)
        z = later(z, 2)
        word, lost = shifted_right(m, table, z)
        word = wire(m, word, "shifted")
        up = word[1] & (word[0] | lost | word[2])
        return (word[2:] + up)[:15] & (~far).replicate(15)


class IVit:
    """Constants of I-ViT for one scale, as TVM deploys it. A word is a mantissa and its shift.

    The weight is ``mantissa << 16 - shift``.

    Source: Li and Gu, "I-ViT: Integer-only Quantization for Efficient Vision Transformer Inference"
    (2023), and its TVM implementation.
    """

    name = "ivit"

    def __init__(self, scale: Fraction):
        self.scale = scale
        self.step = floor(1 / scale + 1)
        self.mantissa_bits = self.step.bit_length()
        self.word_bits = self.mantissa_bits + 5
        self.reach = next(d for d in range(32 * self.step) if self._lowered(d) >= 16 * self.step)

    @staticmethod
    def _lowered(distance: int) -> int:
        """Return minus the logit once it is multiplied by about log2(e)."""
        d = -distance
        return -(d + (d >> 1) - (d >> 4))

    def word(self, distance: int) -> int:
        """Return the word of a distance up to :attr:`reach`."""
        z, rest = divmod(min(self._lowered(distance), 16 * self.step), self.step)
        return self.step - (rest + 1 >> 1) | z << self.mantissa_bits

    @property
    def beyond(self) -> int:
        """The word of all farther distances."""
        return self.word(self.reach)

    def build(self, m: Module, later: Stages, distance: Value) -> Value:
        """Return the word of a distance by dividing it, behind the places 1 and 2."""
        d = wire(m, -distance, "negated")
        scaled = wire(m, -(d + (d >> 1) - (d >> 4)), "scaled")
        scaled = later(wire(m, scaled[: len(distance) + 1], "lowered"), 1)
        far = later(wire(m, scaled >= 16 * self.step, "far"), 2)
        z, rest = _divided(m, scaled, self.step)
        z, rest = later(z, 2), later(rest, 2)
        mantissa = wire(m, (self.step - ((rest + 1) >> 1))[: self.mantissa_bits], "mantissa")
        return Mux(far, self.beyond, Cat(mantissa, z))


def _divided(m: Module, value: Value, divisor: int) -> tuple[Value, Value]:
    """Return quotient and remainder of an unsigned value below ``32 * divisor``."""
    bits: list[Value] = []
    for k in reversed(range(5)):
        trial = wire(m, value - (divisor << k), "trial")
        fits = wire(m, ~trial[-1], "fits")
        value = wire(m, Mux(fits, trial, value)[: (divisor << k).bit_length()], "rest")
        bits.insert(0, fits)
    return wire(m, Cat(*bits), "quotient"), value


def stages(constants: IBert | IVit, in_bits: int) -> int:
    """Return the stages of a :class:`FixedWord`: 1 where words are looked up, else 3."""
    return 1 if min(1 << in_bits, constants.reach) <= _FEW else 3


class FixedWord(Cell):
    """The word of a logit.

    Parameters
    ----------
    constants : IBert or IVit
    in_bits : int
        Width of a logit.

    Members
    -------
    top, x : ``In(signed(in_bits))``
    en : ``In(latency)``
        Bit k lets a beat into stage k.
    word : ``Out(word_bits)``

    Timing
    ------
    :attr:`latency` cycles, one result per cycle: one stage where the word is looked up, else three.
    """

    def __init__(self, constants: IBert | IVit, in_bits: int):
        self._constants, self._bits = constants, in_bits
        self._reach = min(1 << in_bits, constants.reach)
        self.latency = stages(constants, in_bits)
        scale = constants.scale
        self.label = f"{constants.name}_{scale.numerator}_{scale.denominator}_i{in_bits}"
        logit = In(signed(in_bits))
        members = {"top": logit, "x": logit, "en": In(self.latency)}
        super().__init__({**members, "word": Out(constants.word_bits)})

    def body(self, platform: Any) -> Module:
        m, constants = Module(), self._constants
        later = Stages(m, self.en, self.latency, self.latency)
        distance = later(wire(m, (self.top - self.x)[: self._bits], "distance"), 0)
        if self.latency > 1:
            m.d.comb += self.word.eq(constants.build(m, later, distance))
            return m
        index_bits = (self._reach - 1).bit_length()
        words = [constants.word(d) for d in range(self._reach)]
        words += [constants.beyond] * ((1 << index_bits) - self._reach)
        word = wire(m, lookup(words, distance[:index_bits], constants.word_bits), "word")
        far = distance[index_bits:].any() if self._bits > index_bits else Const(0, 1)
        m.d.comb += self.word.eq(Mux(far, constants.beyond, word))
        return m

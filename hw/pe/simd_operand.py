# SPDX-License-Identifier: Apache-2.0
"""A word of 16 bits as one, two or four numbers: signs, significands and exponents."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.wires import wire

__all__ = ["E2M1", "POSIT4", "POSIT8", "POSIT16", "Formats", "Part", "Word"]

E2M1, POSIT4, POSIT8, POSIT16 = range(4)


class Formats:
    """Which format a word holds."""

    def __init__(self, m: Module, fmt: Value):
        self.e2m1, self.posit4, self.posit8, self.posit16 = (
            wire(m, fmt == k, f"is{k}") for k in range(4)
        )
        self.quarters = wire(m, ~fmt[1], "quarters")


@dataclass(frozen=True)
class Part:
    """One number of a word."""

    sign: Value
    significand: Value  #: Leading one first; 0 for zero and NaR.
    down: Value  #: Minus the exponent, up to a constant of the format; signed.
    nar: Value


class Word:
    """The numbers in a word, found by four decoders of 16, 8, 4 and 4 bits.

    The decoder of 16 bits also takes the upper of two and the uppermost of four numbers, the one of
    8 bits the lower of two and the second of four.
    """

    def __init__(self, m: Module, word: Value, formats: Formats):
        es = wire(m, ~formats.posit8, "es")
        high = [word[12:], word[8:12] & ~_all(formats.quarters, 4)]
        high.append(word[:8] & _all(formats.posit16, 8))
        low = Cat(word[:4] & _all(formats.posit8, 4), word[4:8])
        self._m, self._e2m1 = m, formats.e2m1
        self.high = self._part(Cat(high[2], high[1], high[0]), es, word[12:])
        self.low = self._part(low, es, word[4:8])
        self.third = self._part(word[8:12], Const(1, 1), word[8:12])
        self.first = self._part(word[:4], Const(1, 1), word[:4])

    def _part(self, code: Value, es: Value, nibble: Value) -> Part:
        m = self._m
        posit = _posit(m, code, es)
        normal = nibble[1:3].any()
        # The significand of e2m1 takes the place of the two leading bits of a posit's.
        room = max(2, len(posit.significand))
        small = Cat(Const(0, room - 2), nibble[0], normal)
        wide = Cat(Const(0, room - len(posit.significand)), posit.significand)
        down = _e2m1_down(nibble)
        return Part(
            wire(m, Mux(self._e2m1, nibble[3], posit.sign), "sign"),
            wire(m, Mux(self._e2m1, small, wide), "significand"),
            wire(m, Mux(self._e2m1, down, posit.down).as_signed(), "down"),
            wire(m, posit.nar & ~self._e2m1, "nar"),
        )


def _all(bit: Value, count: int) -> Value:
    return bit.replicate(count)


def _e2m1_down(nibble: Value) -> Value:
    """Return 2, 2, 1 and 0 for the exponent fields 0 to 3, as a signed number."""
    field = nibble[1:3]
    return Mux(field == 0, 2, 3 - field)[:3].as_signed()


def _posit(m: Module, code: Value, es: Value) -> Part:
    """Return the parts of a posit of ``len(code)`` bits, with one exponent bit where ``es`` is 1.

    ``down`` is the complement of the exponent, ``-1 - exponent``.
    """
    bits = len(code)
    sign = wire(m, code[-1], "sign")
    rest = wire(m, code[:-1], "rest")
    present = wire(m, rest.any(), "present")
    magnitude = wire(m, ((rest ^ sign.replicate(bits - 1)) + sign)[: bits - 1], "magnitude")
    first = wire(m, magnitude[-1], "first")
    # Move the run of equal bits out to the left, all but its first; count what was moved.
    word, levels = magnitude, []
    for level in reversed(range((bits - 2).bit_length())):
        step = 1 << level
        if step >= bits - 1:
            continue
        run = word[-step - 1 : -1] ^ first.replicate(step)
        equal = wire(m, ~run.any(), "equal")
        word = wire(m, Mux(equal, Cat(Const(0, step), word[:-step]), word)[: bits - 1], "word")
        levels.append(equal)
    count = Cat(*reversed(levels))
    tail = word[:-2]  # below the run's last bit and the bit that ends it
    exponent = wire(m, tail[-1] & es, "exponent")
    fraction = Mux(es, Cat(Const(0, 1), tail[:-1]), tail)
    # The regime is count after ones, -1 - count after zeros; its complement is the other way.
    regime = Cat(count ^ first.replicate(len(count)), first)
    down = Mux(es, Cat(~exponent, regime), Cat(regime, first)).as_signed()
    significand = Cat(fraction[: len(tail)], Const(1, 1)) & present.replicate(len(tail) + 1)
    return Part(sign, wire(m, significand, "significand"), wire(m, down, "down"), sign & ~present)

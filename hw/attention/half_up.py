# SPDX-License-Identifier: Apache-2.0
"""The rounding of the row units, and the clamp behind it."""

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.wires import wire

__all__ = ["clamped", "half_up"]


def half_up(m: Module, word: Value, by: Value | int) -> Value:
    """Return ``RHU(word, by)`` of a signed word: ``(word + 2**(by-1)) >> by``, of 0 the word."""
    half = wire(m, Cat(Const(0, 1), word).as_signed(), "halves")
    moved = wire(m, half >> by, "moved")
    return wire(m, ((moved + 1) >> 1)[: len(word)].as_signed(), "rounded")


def clamped(m: Module, word: Value, bits: int) -> Value:
    """Return ``SAT_bits(word)`` of a signed word."""
    if len(word) <= bits:
        return word
    word = wire(m, word, "unclamped")
    above = word[bits - 1 :]
    fits = wire(m, ~above.any() | above.all(), "fits")
    extreme = Cat((~word[-1]).replicate(bits - 1), word[-1])
    return wire(m, Mux(fits, word[:bits], extreme).as_signed(), "clamped")

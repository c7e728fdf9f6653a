# SPDX-License-Identifier: Apache-2.0
"""Normalising shifters: a word moves up until its leading one is on top, or a limit is reached."""

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.wires import wire

__all__ = ["normalized_to_limit"]


def normalized_to_limit(m: Module, word: Value, limit: Value, fill: Value) -> tuple[Value, Value]:
    """Return ``(shifted, amount)``: ``word`` shifted by its leading zeros or by ``limit``.

    The smaller of the two counts.

    Freed low bits take the bit ``fill``, and count in what follows: for 0 filled with ones the
    amount is ``len(word)``. For 0 filled with zeros it is ``limit`` or, if that is less, all ones.
    The amount has ``bit_length(len(word))`` bits.

    Each step looks at the top bits of what the step before has left, so that zeros are counted on
    the way; the minimum with ``limit`` is taken bit by bit, from the top, as two numbers are
    compared.
    """
    width = len(word)
    steps = width.bit_length()
    word, limit = wire(m, word, "lifted"), wire(m, limit, "limit")
    unlimited: Value = limit[steps:].any() if len(limit) > steps else Const(0, 1)
    limited: Value = Const(0, 1)
    bits: list[Value] = []
    for step in reversed(range(steps)):
        by = 1 << step
        room = limit[step] if step < len(limit) else Const(0, 1)
        empty = ~word[max(0, width - by) :].any()
        empty = wire(m, empty, "empty")
        up = wire(m, Mux(limited, room, empty & (unlimited | room)), "up")
        if step:
            decided = (unlimited | ~empty & room & ~limited, limited | empty & ~room & ~unlimited)
            unlimited = wire(m, decided[0], "unlimited")
            limited = wire(m, decided[1], "limited")
        word = wire(m, Mux(up, Cat(fill.replicate(by), word)[:width], word), "lifted")
        bits.insert(0, up)
    return word, Cat(bits)

# SPDX-License-Identifier: Apache-2.0
"""Shifters of encoders: leading zeros, normalisation, and right shifts that remember lost bits."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from hw.arith.wires import wire

__all__ = ["leading_zeros", "normalize", "shift_right"]


def leading_zeros(m: Module, word: Value, limit: int) -> Signal:
    """Return the number of zeros above the leading 1 of ``word``, at most ``limit``.

    ``limit`` is at most the width of ``word``, whose lower bits may then not matter.
    """
    bits = [*[*word][::-1][:limit], Const(1, 1)]
    width = max(1, limit.bit_length())
    # Pairs of (some bit is 1, index of the first), merged like the rounds of a tournament.
    entries: list[tuple[Value, Value]] = [(bit, Const(0, 0)) for bit in bits]
    for level in range(width):
        merged = []
        for k in range(0, len(entries), 2):
            some, index = entries[k]
            if k + 1 == len(entries):
                merged.append((some, Cat(index, Const(0, 1))))
                continue
            other, behind = entries[k + 1]
            index = Cat(Mux(some, index, behind) if level else Const(0, 0), ~some)
            merged.append((wire(m, some | other, "some"), wire(m, index, "index")))
        entries = merged
    return wire(m, entries[0][1][:width], "zeros")


def normalize(m: Module, word: Value, limit: int) -> tuple[Signal, Signal]:
    """Return ``word`` shifted left by its leading zeros, at most ``limit``, and that number."""
    word = wire(m, word, "word")
    zeros = leading_zeros(m, word, limit)
    return wire(m, (word << zeros)[: len(word)], "normal"), zeros


def shift_right(
    m: Module, word: Value, amount: Value, most: int, fill: Value | None = None
) -> tuple[Signal, Signal]:
    """Return ``word >> amount`` and whether a 1 was shifted out, for amounts up to ``most``.

    ``fill`` is the bit that comes in on the left, 0 by default.
    """
    word = wire(m, word, "word")
    lost: list[Value] = [Const(0, 1)]
    for stage in range(most.bit_length()):
        step, go = 1 << stage, amount[stage]
        lost.append(go & word[:step].any())
        upper = word[step:]
        if fill is not None:
            upper = Cat(upper, fill.replicate(step))
        word = wire(m, Mux(go, upper, word), "shifted")
    return word, wire(m, Cat(*lost).any(), "lost")

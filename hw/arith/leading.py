# SPDX-License-Identifier: Apache-2.0
"""Normalising shifters: a word moves up until its leading one is on top, or a limit is reached."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.wires import wire

__all__ = ["Normal", "normalized_to_limit", "normalized_top"]

#: Blocks of ``2**BLOCK`` bits are compared with zero before a word is shifted.
BLOCK = 2

#: Words of fewer bits are compared step by step: there looking ahead costs more than it gains.
NARROW = 10


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


@dataclass(frozen=True)
class Normal:
    """The top of a word that has moved up."""

    top: Value
    rest: Value  #: A bit below ``top`` differs from those that moved in.
    amount: Value


def normalized_top(
    m: Module, word: Value, flip: Value, idle: Value, limit: Value, kept: int
) -> Normal:
    """Return the top ``kept`` bits of ``word ^ flip`` as :func:`normalized_to_limit` leaves them.

    Bits ``idle`` lie below the word and move up in it; where ``flip`` is 1, so is ``idle``. For 0
    the amount is as there, with ``idle ^ flip`` for ``fill``.

    Blocks are compared with zero before the word is shifted, so that a step need not wait for the
    shift of the step before; and what no later step can bring to the top is not shifted.
    """
    width = len(word)
    steps = width.bit_length()
    word, limit = wire(m, word, "lifted"), wire(m, limit, "limit")
    unlimited: Value = limit[steps:].any() if len(limit) > steps else Const(0, 1)
    limited: Value = Const(0, 1)
    rest: Value = Const(0, 1)
    floor = 0  # the place of the lowest bit that is shifted on
    blocks: dict[int, list[Value]] = {}
    bits: list[Value] = []
    for step in reversed(range(steps)):
        if step not in blocks or width < NARROW:
            blocks = _blocks(m, word, flip, idle, step)
        by = 1 << step
        room = limit[step] if step < len(limit) else Const(0, 1)
        empty = blocks[step][0]
        up = wire(m, Mux(limited, room, empty & (unlimited | room)), "up")
        if step:
            decided = (unlimited | ~empty & room & ~limited, limited | empty & ~room & ~unlimited)
            unlimited = wire(m, decided[0], "unlimited")
            limited = wire(m, decided[1], "limited")
            blocks = {low: _half(m, blocks[low], empty) for low in blocks if low < step}
        low = max(0, width - kept - by + 1) - floor
        floor += low
        moved = Cat(idle.replicate(by), word)[low:-by]
        rest = rest | ~up & ~_all(word[:low], idle)
        word = wire(m, Mux(up, moved, word[low:]), "lifted")
        bits.insert(0, up)
    padding = idle.replicate(max(0, kept - width))
    top = wire(m, Cat(padding, word) ^ flip.replicate(kept), "top")
    return Normal(top, wire(m, rest, "rest"), Cat(bits))


def _blocks(m: Module, word: Value, flip: Value, idle: Value, step: int) -> dict[int, list[Value]]:
    """Return, for each step down to a block, whether there are zeros where it looks.

    That is at every other block of as many bits as the step moves by, from the top on; ones count
    as zeros where ``flip`` is 1.
    """
    least = BLOCK if step >= BLOCK else 0
    size, count = 1 << least, 1 << step + 1 - least
    padded = Cat(idle.replicate(max(0, size * count - len(word))), word)
    padded = wire(m, padded[len(padded) - size * count :], "padded")
    starts = [size * (count - 1 - k) for k in range(count)]
    empty = [wire(m, _all(padded[at : at + size], flip), "empty") for at in starts]
    found = {}
    for low in range(least, step + 1):
        span = 1 << low - least
        runs = [Cat(empty[at : at + span]).all() for at in range(0, count, 2 * span)]
        found[low] = [wire(m, run, "empty") for run in runs]
    return found


def _half(m: Module, blocks: list[Value], second: Value) -> list[Value]:
    """Return the first or the second half of ``blocks``."""
    pairs = zip(blocks[: len(blocks) // 2], blocks[len(blocks) // 2 :], strict=True)
    return [wire(m, Mux(second, b, a), "empty") for a, b in pairs]


def _all(word: Value, bit: Value) -> Value:
    """Return whether all bits of ``word`` are ``bit``."""
    if not len(word):
        return Const(1, 1)
    return Mux(bit, word.all(), ~word.any())

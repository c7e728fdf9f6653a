# SPDX-License-Identifier: Apache-2.0
"""Shifts of signed words that keep few bits and say what they lost."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.wires import wire

__all__ = ["Shifted", "shift_left_saturating", "shift_right"]


@dataclass(frozen=True)
class Shifted:
    """The low bits of a signed word after a shift to the right."""

    word: Value  #: Signed; right modulo ``2**len(word)``.
    overflow: Value  #: The shifted word does not fit.
    lost: Value  #: Some bit that was shifted out was 1.
    negative: Value  #: Sign of the whole word.


def shift_right(m: Module, word: Value, amount: Value | int, width: int) -> Shifted:
    """Shift a signed ``word`` right by ``amount`` and keep ``width`` bits.

    The longest steps come first: after the step of ``2**k``, no later one reaches beyond
    ``width + 2**k - 1`` bits, so what lies above needs no multiplexers, only a look whether it
    equals the sign.
    """
    word = wire(m, word, "unshifted")
    sign = word[-1]
    lost: list[Value] = []
    excess: list[Value] = []
    if isinstance(amount, int):
        steps: list[tuple[int, Value]] = [(min(amount, len(word) - 1), Const(1, 1))]
    else:
        amount = wire(m, amount, "amount")
        steps = [(1 << k, amount[k]) for k in reversed(range(len(amount)))]
    for index, (step, on) in enumerate(steps):
        bits = list(word)
        reach = step if index + 1 < len(steps) else 1
        keep = min(width + reach - 1, len(bits))
        lost.append(Cat(bits[:step]).any() & on)
        moved = [bits[k + step] if k + step < len(bits) else sign for k in range(keep)]
        for above, gate in ((bits[keep:], ~on), (bits[keep + step :], on)):
            if above:
                excess.append((Cat(above) ^ sign.replicate(len(above))).any() & gate)
        word = wire(m, Mux(on, Cat(moved), Cat(bits[:keep])), "shifted")
    bits = [*word, *[sign] * (width - len(word))]
    above = bits[width - 1 :]
    excess.append((Cat(above) ^ sign.replicate(len(above))).any())
    return Shifted(
        wire(m, Cat(bits[:width]).as_signed(), "word"),
        wire(m, Cat(excess).any(), "overflow"),
        wire(m, Cat(lost).any(), "lost"),
        sign,
    )


def shift_left_saturating(m: Module, word: Value, amount: Value) -> Value:
    """Shift a signed ``word`` left by ``amount``; beyond its range, return its extremes."""
    word = wire(m, Cat(word), "unshifted")
    sign, width = word[-1], len(word)
    excess: list[Value] = []
    amount = wire(m, amount, "amount")
    for k in reversed(range(len(amount))):
        step = 1 << k
        above = Cat(*word[max(0, width - step - 1) :])
        excess.append((above ^ sign.replicate(len(above))).any() & amount[k])
        word = wire(m, Mux(amount[k], Cat(Const(0, step), word)[:width], word), "shifted")
    extreme = Cat((~sign).replicate(width - 1), sign)
    return wire(m, Mux(Cat(excess).any(), extreme, word).as_signed(), "saturated")

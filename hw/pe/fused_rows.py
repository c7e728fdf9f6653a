# SPDX-License-Identifier: Apache-2.0
"""One weight word of run-time precision times as many activations as it holds weights.

Every radix-4 digit of the word has a row of its own, with an activation of its own: the digits of
one weight share theirs, moved to the digit's place. So the only thing that the width decides is
what each row multiplies, before the rows are formed; one heap adds them all.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.bitheap import BitHeap
from hw.arith.recode import Digit, multiple
from hw.arith.wires import wire

__all__ = ["add_word", "booth_digit"]

_WORD = 8  #: Bits of a weight word and of an activation.
_WIDTHS = 3  #: 8, 4 and 2 bits.


def add_word(m: Module, heap: BitHeap, a: Value, w: Value, width: Value) -> None:
    """Add the products of one weight word to ``heap``.

    ``a`` holds four int8, ``w`` one, two or four integers of 8, 4 or 2 bits where ``width`` is 0,
    1 or more.
    """
    whole = wire(m, width == 0, "whole")
    half = wire(m, width == 1, "half")
    quarter = wire(m, ~(whole | half), "quarter")
    within = (None, ~quarter, whole, ~quarter)  # whether a digit has the one below in its weight
    for row, joined in enumerate(within):
        low = Const(0, 1) if joined is None else w[2 * row - 1] & joined
        digit = booth_digit(m, low, w[2 * row], w[2 * row + 1])
        operand = _operand(m, a, row, (whole, half, quarter))
        addend, carry = multiple(digit, operand)
        heap.add(addend, 0, carry)


def _operand(m: Module, a: Value, row: int, widths: tuple[Value, ...]) -> Value:
    """Return what a row multiplies: the activation of its weight, at the digit's place in it."""
    choices: dict[tuple[int, int], Value] = {}
    for level, chosen in enumerate(widths):
        bits = _WORD >> level
        index, place = divmod(2 * row, bits)
        before = choices.get((index, place))
        choices[index, place] = chosen if before is None else before | chosen
    length = _WORD + max(place for _, place in choices)
    words = [
        (Cat(Const(0, place), a.word_select(index, _WORD)).as_signed(), chosen)
        for (index, place), chosen in choices.items()
    ]
    if len(words) == 1:
        return wire(m, words[0][0], "operand")
    total = Const(0, length)
    for word, chosen in words:
        extended = Cat(word, word[-1].replicate(length - len(word)))
        total = total | extended & chosen.replicate(length)
    return wire(m, total.as_signed(), "operand")


def booth_digit(m: Module, low: Value, mid: Value, high: Value) -> Digit:
    """Return the radix-4 digit ``low + mid - 2 * high``."""
    one = wire(m, low ^ mid, "one")
    two = wire(m, Mux(high, ~(low | mid), low & mid), "two")
    return Digit(0, one, two, wire(m, high, "negative"))

# SPDX-License-Identifier: Apache-2.0
"""Products of run-time precision made of bricks: a radix-4 digit times a slice of two bits.

``N/2`` by ``N/2`` bricks make one product of ``N`` bits, four of half as many, and so on down to
one of 2 bits each. Bricks whose products are moved alike in every width are added before anything
is moved, so an adder tree of narrow words does most of the work.

Source: Bit Fusion (2018) for the bricks and their fusion; the grouping is ours.
"""

from itertools import product

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from hw.arith.bitheap import BitHeap
from hw.arith.recode import multiple
from hw.arith.wires import wire
from hw.pe.fused_rows import booth_digit

__all__ = ["Bricks", "add_fused"]

_MOST = 6  # largest magnitude of a digit in -2...2 times a slice in -2...3


class Bricks:
    """The bricks of one pair of operands.

    Parameters
    ----------
    m : Module
    a, w : Value
        ``(bits / b)**2`` codes of ``b = bits >> width`` bits each, code 0 in the low bits.
    width : Value
        From ``log2(bits) - 1`` on it counts as that, which is ``b = 2``.
    bits : int
        8 or 16.
    """

    def __init__(self, m: Module, a: Value, w: Value, width: Value, bits: int):
        self.bits, self.levels = bits, bits.bit_length() - 2
        self._m, self._a, self._w = m, a, w
        #: Bit k: codes have ``bits >> k`` bits.
        self.chosen = [wire(m, width == k, f"width{k}") for k in range(self.levels)]
        self.chosen.append(wire(m, width >= self.levels, f"width{self.levels}"))

    def code(self, level: int, i: int, j: int) -> int:
        """Return which code the brick (digit i, slice j) works on in a width.

        Four codes of one width lie where one of the next wider does.
        """
        places = range(self.levels - level, self.levels)
        return sum((i >> t & 1) * 2 << 2 * (t - places[0]) for t in places) + sum(
            (j >> t & 1) << 2 * (t - places[0]) for t in places
        )

    def brick(self, i: int, j: int) -> tuple[Value, Value]:
        """Return (row, carry) with the brick's product ``row + carry``."""
        m = self._m
        digits, slices = [], []
        for level in range(self.levels + 1):
            width = self.bits >> level
            first = self.code(level, i, j) * width
            at_w, at_a = first + 2 * i % width, first + 2 * j % width
            low = self._w[at_w - 1] if 2 * i % width else Const(0, 1)
            digits.append(Cat(low, self._w[at_w : at_w + 2]))
            top = (2 * j + 2) % width == 0
            slices.append(Cat(self._a[at_a : at_a + 2], self._a[at_a + 1] if top else Const(0, 1)))
        low, mid, high = wire(m, self._one_of(digits), "digit")
        digit = booth_digit(m, low, mid, high)
        row, carry = multiple(digit, wire(m, self._one_of(slices).as_signed(), "slice"))
        assert carry is not None
        return wire(m, row, "row"), carry

    def _one_of(self, choices: list[Value]) -> Value:
        total: Value = Const(0, len(choices[0]))
        for choice, chosen in zip(choices, self.chosen, strict=True):
            total = total | choice & chosen.replicate(len(choice))
        return total


def add_fused(m: Module, heap: BitHeap, bricks: Bricks) -> None:
    """Add the products of all codes to ``heap``."""
    levels, side = bricks.levels, range(bricks.bits // 2)
    # Digit i and slice j meet at 2 * (i + j) in the widest codes; narrower ones leave out the upper
    # bits of i and of j.
    groups: dict[tuple[int, ...], list[tuple[Value, Value]]] = {}
    for i, j in product(side, side):
        steps = tuple((i >> t & 1) + (j >> t & 1) for t in range(levels))
        groups.setdefault(steps, []).append(bricks.brick(i, j))
    words = {steps: _group(m, found) for steps, found in groups.items()}
    for t in reversed(range(1, levels)):
        words = {
            steps: _fold(m, bricks, t, [words[*steps, k] for k in range(3)])
            for steps in product(range(3), repeat=t)
        }
    for k in range(3):
        word, most = words[k,]
        heap.add(_moved(m, bricks, 0, k, word, most)[0])


Bounded = tuple[Value, int]  # a signed word and its largest magnitude


def _group(m: Module, rows: list[tuple[Value, Value]]) -> Bounded:
    most = _MOST * len(rows)
    heap = BitHeap(m, most.bit_length() + 1)
    for row, carry in rows:
        heap.add(row, 0, carry)
    return heap.total(), most


def _fold(m: Module, bricks: Bricks, t: int, words: list[Bounded]) -> Bounded:
    """Add three words, moved by 0, 1 and 2 times the weight of bit t where codes are that wide."""
    moved = [_moved(m, bricks, t, k, *words[k]) for k in range(3)]
    most = sum(bound for _, bound in moved)
    heap = BitHeap(m, most.bit_length() + 1)
    for word, _ in moved:
        heap.add(word)
    return heap.total(), most


def _moved(m: Module, bricks: Bricks, t: int, k: int, word: Value, most: int) -> Bounded:
    if k == 0:
        return word, most
    places = k * 2 << t
    wide = Signal(len(word) + places, name="wide")
    fits = Cat(*bricks.chosen[: bricks.levels - t]).any()
    m.d.comb += wide.eq(Mux(fits, word << places, word))
    return wide.as_signed(), most << places

# SPDX-License-Identifier: Apache-2.0
"""One accumulator register for one, four or sixteen sums: carries stop where sums meet."""

from itertools import product

from amaranth.hdl import Cat, Const, Module, Value

from hw.arith.bitheap import BitHeap
from hw.arith.wires import wire
from hw.pe.fused_bricks import Bricks

__all__ = ["add_fields", "cut_sum", "separate_products"]

_SIDE = 4  # bricks along one operand
_FIELDS = _SIDE * _SIDE


def separate_products(m: Module, bricks: Bricks, field: int) -> Value:
    """Return ``16 * field`` bits that hold the products of 8-bit operands, each in an equal part.

    With 8-bit codes there is one part, with 4-bit codes four, with 2-bit codes sixteen.
    """
    rows = {(i, j): bricks.brick(i, j) for i, j in product(range(_SIDE), repeat=2)}
    small: list[Value] = [Const(0)] * _FIELDS
    middle: list[Value] = []
    for (i, j), (row, carry) in rows.items():
        heap = BitHeap(m, 4)
        heap.add(row, 0, carry)
        small[bricks.code(2, i, j)] = heap.total()
    for i, j in product(range(0, _SIDE, 2), repeat=2):
        heap = BitHeap(m, 8)  # a digit pair is -8 to 8, a pair of slices up to 15
        for di, dj in product(range(2), repeat=2):
            row, carry = rows[i + di, j + dj]
            heap.add(row, 2 * (di + dj), carry)
        middle.append(heap.total())
    heap = BitHeap(m, 16)
    for word, place in zip(middle, (0, 4, 4, 8), strict=True):
        heap.add(word, place)
    whole = heap.total()
    words: Value = Const(0, _FIELDS * field)
    for chosen, parts in zip(bricks.chosen, ([whole], middle, small), strict=True):
        bits = _FIELDS * field // len(parts)
        together = Cat(_extended(part, bits) for part in parts)
        words = words | together & chosen.replicate(len(together))
    return wire(m, words, "products")


def _extended(word: Value, bits: int) -> Value:
    if len(word) >= bits:
        return word[:bits]
    return Cat(word, word[-1].replicate(bits - len(word)))


def cut_sum(m: Module, first: Value, second: Value, cuts: list[Value]) -> Value:
    """Return ``first + second`` in ``len(cuts) + 1`` equal fields; a cut stops the carry."""
    field = len(first) // (len(cuts) + 1)
    # Between fields lies a bit that hands a carry on, or swallows it.
    passes = [~cut for cut in cuts] + [Const(0, 1)]
    spaced = [
        Cat(*(Cat(word.word_select(k, field), fill[k]) for k in range(len(passes))))
        for word, fill in ((first, passes), (second, [Const(0, 1)] * len(passes)))
    ]
    total = wire(m, (spaced[0] + spaced[1])[: len(spaced[0])], "spaced")
    return Cat(*(total.word_select(k, field + 1)[:field] for k in range(len(passes))))


def add_fields(m: Module, sums: Value, products: Value, bricks: Bricks) -> Value:
    """Return the sums after the products of one beat."""
    whole, _, small = bricks.chosen
    cuts = [~whole if k % _SIDE == 0 else small for k in range(1, _FIELDS)]
    return cut_sum(m, sums, products, cuts)

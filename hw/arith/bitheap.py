# SPDX-License-Identifier: Apache-2.0
"""Sums of many addends: collect them column by column, compress, add."""

from amaranth.hdl import Cat, Const, Module, Value

from hw.arith.chains import Addend, chained_sum
from hw.arith.columns import column_sum
from hw.arith.wires import wire

__all__ = ["BitHeap"]

#: Widest sum whose carries ripple. Above it, synthesis chooses the adder: more area, less time.
RIPPLE = 45


class BitHeap:
    """Addends of a sum modulo ``2**width``.

    A signed addend's sign bit ``s`` of weight ``2**p`` is entered as ``1 - s`` with the constant
    ``-2**p``, so that no sign is ever extended; all constants meet in one.

    Parameters
    ----------
    m : Module
        Where the adders go.
    width : int
        Bits of the sum.
    carry_chains : bool
        Add with the carry chains of an FPGA, instead of full adders.

    Source: Dadda, "Some schemes for parallel multipliers" (1965), for the column heights.
    """

    def __init__(self, m: Module, width: int, carry_chains: bool = False):
        self.width = width
        self.carry_chains = carry_chains
        self._m = m
        self._addends: list[Addend] = []
        self._constant = 0

    def add(self, word: Value, weight: int = 0, carry: Value | None = None) -> None:
        """Add ``(word + carry) * 2**weight``; the shape of ``word`` says whether it is signed."""
        self._addends.append(Addend(wire(self._m, word, "row"), weight, carry))

    def add_constant(self, constant: int) -> None:
        """Add a constant of any sign."""
        self._constant += constant

    def compress(self) -> tuple[Value, Value]:
        """Return two words whose sum modulo ``2**width`` is the sum of all addends."""
        columns, constant = self._columns()
        for position in range(self.width):
            if constant >> position & 1:
                columns[position].append(Const(1, 1))
        heights = [2]
        while heights[-1] < max(map(len, columns), default=0):
            heights.append(heights[-1] * 3 // 2)
        for target in reversed(heights[:-1]):
            columns = self._stage(columns, target)
        zero = Const(0, 1)
        words = [Cat(c[k] if len(c) > k else zero for c in columns) for k in (0, 1)]
        return words[0], words[1]

    def _columns(self) -> tuple[list[list[Value]], int]:
        """Return the bits of all addends by weight, and the sum of all constants."""
        columns: list[list[Value]] = [[] for _ in range(self.width)]
        constant = self._constant
        for addend in self._addends:
            bits = list(addend.word)
            if addend.word.shape().signed:
                bits[-1] = ~bits[-1]
                constant -= 1 << addend.weight + len(bits) - 1
            places = [(addend.weight + k, bit) for k, bit in enumerate(bits)]
            if addend.carry is not None:
                places.append((addend.weight, addend.carry))
            for place, bit in places:
                if place < self.width:
                    columns[place].append(bit)
        return columns, constant

    def total(self) -> Value:
        """Return the sum as a signed word of ``width`` bits."""
        if self.carry_chains:
            return chained_sum(self._m, self.width, self._addends, self._constant)
        if self.width <= RIPPLE:
            total = column_sum(self._m, *self._columns())
            return wire(self._m, total.as_signed(), "total")
        first, second = self.compress()
        return wire(self._m, (first + second)[: self.width].as_signed(), "total")

    def _stage(self, columns: list[list[Value]], target: int) -> list[list[Value]]:
        """Bring every column to ``target`` bits with full and half adders of one level."""
        after: list[list[Value]] = [[] for _ in range(self.width + 1)]
        full: list[tuple[int, list[Value]]] = []
        half: list[tuple[int, list[Value]]] = []
        carries = 0
        for position, column in enumerate(columns):
            todo, carried, carries = list(column), carries, 0
            while len(todo) + carried > target and len(todo) > 1:
                adder = full if len(todo) + carried > target + 1 and len(todo) > 2 else half
                count = 3 if adder is full else 2
                adder.append((position, todo[:count]))
                todo, carried, carries = todo[count:], carried + 1, carries + 1
            after[position] += todo
        for adders, count in ((full, 3), (half, 2)):
            if not adders:
                continue
            operands = [Cat(bits[k] for _, bits in adders) for k in range(count)]
            operands = [wire(self._m, operand, "addend") for operand in operands]
            sums = wire(self._m, operands[0] ^ operands[1], "half_sum")
            carry = operands[0] & operands[1]
            if count == 3:
                carry = carry | sums & operands[2]
                sums = wire(self._m, sums ^ operands[2], "sum")
            carry = wire(self._m, carry, "carry")
            for index, (position, _) in enumerate(adders):
                after[position].append(sums[index])
                after[position + 1].append(carry[index])
        return after[: self.width]

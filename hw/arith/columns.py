# SPDX-License-Identifier: Apache-2.0
"""Sums for logic gates: full adders in order of arrival, until one bit per column is left."""

from dataclasses import dataclass, field
from math import inf

from amaranth.hdl import Cat, Const, Module, Value

from hw.arith.wires import wire

__all__ = ["column_sum"]

#: Levels of logic from the bits of a small full adder to its sum and to its carry.
SMALL = (5, 2)


@dataclass(eq=False)
class _Bit:
    """A bit, and the levels of logic after which it settles and has to."""

    value: Value = field(default_factory=lambda: Const(0, 1))
    time: int = 0
    needed: float = inf


@dataclass
class _Adder:
    """One, two or three bits of a column, the latest last; with ``one``, 1 is added too."""

    bits: list[_Bit]
    one: bool
    total: _Bit = field(default_factory=_Bit)
    carry: _Bit = field(default_factory=_Bit)

    def levels(self, small: bool = False) -> list[tuple[int, int]]:
        """Return the levels of logic from each bit to the sum and to the carry."""
        if len(self.bits) < 3:
            return [(len(self.bits) - 1,) * 2] * 2
        return [SMALL] * 3 if small else [(2, 1), (2, 1), (1, 1)]

    def settle(self, small: bool = False) -> bool:
        """Set the times of the results; return whether they are early enough."""
        levels = list(zip(self.bits, self.levels(small), strict=False))
        self.total.time = max(bit.time + n for bit, (n, _) in levels)
        self.carry.time = max(bit.time + n for bit, (_, n) in levels)
        return all(bit.time <= bit.needed for bit in (self.total, self.carry))

    def require(self) -> None:
        """Lower the times at which the bits are needed to what the results need."""
        for bit, (to_total, to_carry) in zip(self.bits, self.levels(), strict=False):
            needed = min(self.total.needed - to_total, self.carry.needed - to_carry)
            bit.needed = min(bit.needed, needed)

    def build(self, m: Module) -> None:
        """Make the results, with the smaller logic if there is time for it."""
        small = len(self.bits) == 3 and self.settle(small=True)
        if not small:
            self.settle()
        values = [bit.value for bit in self.bits]
        if len(values) == 3:
            total, carry = _full(m, *values, small=small)
        elif len(values) == 1:
            total, carry = ~values[0], values[0]
        elif self.one:
            total, carry = ~(values[0] ^ values[1]), values[0] | values[1]
        else:
            total, carry = values[0] ^ values[1], values[0] & values[1]
        self.total.value, self.carry.value = wire(m, total, "sum"), wire(m, carry, "carry")


def column_sum(m: Module, columns: list[list[Value]], ones: int = 0) -> Value:
    """Return the sum of all bits of ``columns`` and of ``ones``, modulo ``2**len(columns)``.

    Bits of ``columns[k]`` have weight ``2**k`` and are taken to come at the same time. Every adder
    takes the earliest bits of its column, and the carries ripple; so the final adder needs no logic
    of its own and hides behind the columns above it. Where the latest bit of the sum does not wait
    for a full adder, it is a smaller, slower one. The result is unsigned.

    Source: Oklobdzija, Villeger, Liu, "A method for speed optimized partial product reduction and
    generation of fast parallel multipliers" (1996), taken down to one word.
    """
    total: list[_Bit] = []
    adders: list[_Adder] = []
    carries: list[_Bit] = []
    for position, column in enumerate(columns):
        bits = [*(_Bit(b) for b in column), *carries]
        carries = []
        odd = bool(ones >> position & 1)
        while len(bits) + odd > 1:
            bits.sort(key=lambda b: b.time)
            taken = min(2, len(bits)) if odd else 2 + len(bits) % 2
            adder = _Adder(bits[:taken], odd)
            adder.settle()
            adders.append(adder)
            bits = [*bits[taken:], adder.total]
            carries.append(adder.carry)
            odd = False
        total.append(bits[0] if bits else _Bit(Const(odd, 1)))
    latest = max((bit.time for bit in total), default=0)
    for bit in total:
        bit.needed = latest
    for adder in reversed(adders):
        adder.require()
    for adder in adders:
        adder.build(m)
    return Cat(*(bit.value for bit in total))


def _full(m: Module, a: Value, b: Value, c: Value, *, small: bool) -> tuple[Value, Value]:
    """Return the sum and the carry of three bits."""
    # A majority that shares nothing with the sum: mapping finds the cell for it.
    carry = wire(m, a & b | (a | b) & c, "carry")
    if small:
        # The carry tells one from two, for fewer gates than two exclusive ors. Taken in another
        # order than above, for the majority to stay one cell.
        return b & c & a | ~carry & (b | c | a), carry
    return a ^ b ^ c, carry

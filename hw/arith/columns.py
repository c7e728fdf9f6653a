# SPDX-License-Identifier: Apache-2.0
"""Sums for logic gates: full adders in order of arrival, until one bit per column is left."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Value

from hw.arith.wires import wire

__all__ = ["column_sum"]


@dataclass(frozen=True)
class _Bit:
    """A bit and the moment it settles, in levels of logic."""

    value: Value
    time: int = 0


def column_sum(m: Module, columns: list[list[Value]], ones: int = 0) -> Value:
    """Return the sum of all bits of ``columns`` and of ``ones``, modulo ``2**len(columns)``.

    Bits of ``columns[k]`` have weight ``2**k`` and are taken to come at the same time. Every adder
    takes the earliest bits of its column, and the carries ripple; so the final adder needs no logic
    of its own and hides behind the columns above it. The result is unsigned.

    Source: Oklobdzija, Villeger, Liu, "A method for speed optimized partial product reduction and
    generation of fast parallel multipliers" (1996), taken down to one word.
    """
    total: list[Value] = []
    carries: list[_Bit] = []
    for position, column in enumerate(columns):
        bits = [*(_Bit(b) for b in column), *carries]
        carries = []
        odd = ones >> position & 1
        while len(bits) + odd > 1:
            bits.sort(key=lambda b: b.time)
            if odd:
                taken, added = _with_one(m, bits)
                odd = 0
            elif len(bits) % 2 == 0:
                taken, added = 2, _half(m, bits[0], bits[1])
            else:
                taken, added = 3, _full(m, bits[0], bits[1], bits[2])
            bits = [*bits[taken:], added[0]]
            carries.append(added[1])
        total.append(bits[0].value if bits else Const(odd, 1))
    return Cat(*total)


def _with_one(m: Module, bits: list[_Bit]) -> tuple[int, tuple[_Bit, _Bit]]:
    """Add 1 to the first one or two bits."""
    a = bits[0]
    if len(bits) == 1:
        return 1, (_Bit(~a.value, a.time), a)
    b = bits[1]
    total = wire(m, ~(a.value ^ b.value), "sum")
    carry = wire(m, a.value | b.value, "carry")
    return 2, (_Bit(total, b.time + 1), _Bit(carry, b.time + 1))


def _half(m: Module, a: _Bit, b: _Bit) -> tuple[_Bit, _Bit]:
    total = wire(m, a.value ^ b.value, "sum")
    carry = wire(m, a.value & b.value, "carry")
    return _Bit(total, b.time + 1), _Bit(carry, b.time + 1)


def _full(m: Module, a: _Bit, b: _Bit, c: _Bit) -> tuple[_Bit, _Bit]:
    # A majority that shares nothing with the sum: mapping finds the cell for it.
    total = wire(m, a.value ^ b.value ^ c.value, "sum")
    carry = wire(m, a.value & b.value | (a.value | b.value) & c.value, "carry")
    time = max(b.time + 2, c.time + 1)
    return _Bit(total, time), _Bit(carry, max(b.time + 1, c.time + 1))

# SPDX-License-Identifier: Apache-2.0
"""Where elements live: rules that spread rows over banks, and the networks that undo them.

Row J of a vector lies at the address that has the bits of J in reverse, as many as the vector
needs: stage s then joins addresses that differ in bit s, whatever the size.
"""

from collections.abc import Sequence
from functools import reduce
from operator import xor
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.wires import wire
from hw.butterfly.params import ButterflyParams

__all__ = ["Rule", "from_banks", "pairs", "to_banks", "unpaired"]


def _folded(bits: Sequence[Value]) -> Value:
    return reduce(xor, bits) if bits else Const(0, 1)


class Rule:
    """What a bank rule says of a row.

    ``exchange`` is whether even lanes lie in odd banks, ``even`` and ``odd`` by how much lanes 2k
    and 2k+1 are moved among the even or odd banks.
    """

    def __init__(self, params: ButterflyParams):
        self._params = params
        self._half = params.lane_bits - 1

    def mark(self, m: Module, address: Value) -> Value:
        """Return what the rule makes of the address of a row, ``lane_bits`` wide."""
        count = self._params.lane_bits
        if self._params.banks == "popcount":
            total = sum((bit for bit in address[1:]), address[0])
            return wire(m, (total | Const(0, count))[:count], "mark")
        bits = list(address)
        if self._params.banks == "parity":
            return wire(m, Cat(_folded(bits), Const(0, count - 1)), "mark")
        higher = [_folded(bits[k::count]) for k in range(1, count)]
        return wire(m, Cat(_folded(bits), *higher), "mark")

    def moves(self, m: Module, mark: Value, odd: Value, partner: Value) -> tuple[Value, ...]:
        """Return ``exchange``, ``even`` and ``odd`` of lanes from ``odd`` on.

        ``partner`` is the mark of the row of the lanes 2k+1, with ``popcount`` unused.
        """
        if self._params.banks == "popcount":
            first = wire(m, (mark + odd)[: self._half + 1], "first")
            second = wire(m, (first + 1)[: self._half + 1], "second")
            return first[0], first[1:], second[1:]
        return mark[0] ^ odd, mark[1:], partner[1:]

    def moved(self, m: Module, words: list[Value], by: Value, back: bool) -> list[Value]:
        """Return words moved by an amount, or back."""
        count = len(words)
        for bit in range(self._half):
            step = 1 << bit
            if self._params.banks == "popcount":
                sources = [(k - step if back else k + step) % count for k in range(count)]
            else:
                sources = [k ^ step for k in range(count)]
            words = [
                wire(m, Mux(by[bit], words[sources[k]], words[k]), "moved") for k in range(count)
            ]
        return words


def _exchanged(m: Module, even: Any, odd: Any, exchange: Value) -> tuple[list[Value], list[Value]]:
    pairs = list(zip(even, odd, strict=True))
    return (
        [wire(m, Mux(exchange, b, a), "exchanged") for a, b in pairs],
        [wire(m, Mux(exchange, a, b), "exchanged") for a, b in pairs],
    )


def from_banks(m: Module, rule: Rule, words: list[Value], moves: Sequence[Value]) -> list[Value]:
    """Return by lane what the banks hold."""
    exchange, first, second = moves
    even, odd = _exchanged(m, words[::2], words[1::2], exchange)
    even, odd = rule.moved(m, even, first, False), rule.moved(m, odd, second, False)
    return [word for pair in zip(even, odd, strict=True) for word in pair]


def to_banks(m: Module, rule: Rule, words: list[Value], moves: Sequence[Value]) -> list[Value]:
    """Return by bank what the lanes hold."""
    exchange, first, second = moves
    even = rule.moved(m, words[::2], first, True)
    odd = rule.moved(m, words[1::2], second, True)
    even, odd = _exchanged(m, even, odd, exchange)
    return [word for pair in zip(even, odd, strict=True) for word in pair]


def _lane(pair: int, side: int, bit: int) -> int:
    """Return the lane of a side of a pair where partners differ in ``bit``."""
    low = pair & (1 << bit) - 1
    return pair - low << 1 | side << bit | low


def _selected(m: Module, words: Sequence[Value], near: Value) -> Value:
    """Return ``words[b]`` where bit b of ``near`` is 1, else ``words[0]``."""
    chosen = words[0]
    for bit, word in enumerate(words[1:], 1):
        if word is not words[0]:
            chosen = wire(m, Mux(near[bit], word, chosen), "selected")
    return chosen


def pairs(m: Module, words: list[Value], near: Value) -> list[Value]:
    """Return pair after pair what the lanes hold; bit b of ``near``: partners differ in bit b."""
    return [
        _selected(m, [words[_lane(k // 2, k % 2, bit)] for bit in range(len(near))], near)
        for k in range(len(words))
    ]


def unpaired(m: Module, words: list[Value], near: Value) -> list[Value]:
    """Return lane after lane what the pairs hold."""
    places = []
    for bit in range(len(near)):
        order = [_lane(k // 2, k % 2, bit) for k in range(len(words))]
        places.append([words[order.index(lane)] for lane in range(len(words))])
    return [_selected(m, [place[lane] for place in places], near) for lane in range(len(words))]

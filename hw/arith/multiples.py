# SPDX-License-Identifier: Apache-2.0
"""One word times many constants, with about one addition for each."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from amaranth.hdl import Module, Value

from hw.arith.bitheap import BitHeap
from hw.arith.constants import signed_digits
from hw.arith.wires import wire

__all__ = ["Sum", "multiples", "plan"]


@dataclass(frozen=True)
class Sum:
    """``total == first * 2**first_shift + sign * second * 2**second_shift``, ``sign`` 1 or -1."""

    total: int
    first: int
    first_shift: int
    second: int
    second_shift: int
    sign: int


def plan(targets: Iterable[int]) -> list[Sum]:
    """Return sums that make multiples by all ``targets`` from the multiple by 1.

    Multiples differ from targets by powers of two: they are odd. A sum uses 1 and what earlier sums
    made. What one sum reaches is made first; where none does, what is left of the smallest target
    without its lowest digit becomes a target too.

    Source: Bull and Horrocks, "Primitive operator digital filters" (1991), for the greedy graph.
    """
    left = {_odd(t) for t in targets if t} - {1}
    made, sums = [1], []
    while left:
        found = next(filter(None, (_reached(t, made) for t in sorted(left, key=_size))), None)
        if found is None:
            smallest = min(left, key=_size)
            weight, digit = signed_digits(smallest)[0]
            left.add(_odd(smallest - (digit << weight)))
            continue
        sums.append(found)
        made.append(found.total)
        left.remove(found.total)
    return sums


def multiples(
    m: Module, word: Value, constants: Iterable[int], carry_chains: bool = False
) -> dict[int, Value]:
    """Return ``word`` times each constant but 0, signed; ``word`` is signed."""
    wanted = [c for c in constants if c]
    words = {1: wire(m, word, "multiplicand")}
    for s in plan(wanted):
        width = len(word) + s.total.bit_length()
        heap = BitHeap(m, width, carry_chains)
        heap.add(words[s.first], s.first_shift)
        second = words[s.second]
        if s.sign < 0:
            second = (~second).as_signed()
            heap.add_constant(1 << s.second_shift)
        heap.add(second, s.second_shift)
        words[s.total] = wire(m, heap.total(), "multiple")
    return {c: words[_odd(c)] << _shift(c) for c in wanted}


def _size(target: int) -> tuple[int, int]:
    return abs(target), target


def _shift(target: int) -> int:
    return (target & -target).bit_length() - 1


def _odd(target: int) -> int:
    return target >> _shift(target)


def _reached(target: int, made: list[int]) -> Sum | None:
    """Return a sum of ``target``, which is odd, of two odd numbers: one of them is not shifted."""
    for first, second in itertools.product(made, repeat=2):
        for sign in (1, -1):
            rest = target - first  # sign * second * 2**shift
            if rest and rest % second == 0:
                factor = sign * rest // second
                if factor > 1 and factor & factor - 1 == 0:
                    return Sum(target, first, 0, second, factor.bit_length() - 1, sign)
        rest = target + first  # second * 2**shift, less first
        if rest and rest % second == 0:
            factor = rest // second
            if factor > 1 and factor & factor - 1 == 0:
                return Sum(target, second, factor.bit_length() - 1, first, 0, -1)
    return None

# SPDX-License-Identifier: Apache-2.0
"""Encoder of code books of any kind: one comparator for each pair of neighbours.

The codes of integers and of floating-point numbers, with the sign folded in, are in the order of
their values. Where a neighbour takes over is therefore one constant of that order, found exactly
when the hardware is made, whatever the rule, ties to either side included.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from amaranth.hdl import Const, Module, Mux, Value

from hw.arith.wires import wire
from hw.encode.source import Source
from hw.spec.formats import FloatFormat, Format, IntFormat, TableFormat

__all__ = ["first_keys", "select", "values_of"]

Entry = tuple[Fraction, int]  #: A value and its code.

#: Up to so many neighbours all comparators work at once; else they share one for each bit.
PARALLEL = 15


def values_of(fmt: Format) -> list[Entry]:
    """Return the distinct finite values in ascending order, each with its lowest code."""
    unit = Fraction(2) ** fmt.lam
    found: dict[Fraction, int] = {}
    for code in range(1 << fmt.bits):
        integer = None if code in fmt.illegal else _integer(fmt, code)
        if integer is not None:
            found.setdefault(integer * unit, code)
    return sorted(found.items())


def _integer(fmt: Format, code: int) -> int | None:
    """Return the value of a code in units of ``2**lam``, None where it is not finite."""
    n = fmt.bits
    if isinstance(fmt, TableFormat):
        return fmt.table[code]
    if isinstance(fmt, IntFormat):
        if fmt.encoding == "bipolar":
            return 2 * code - (1 << n) + 1
        if fmt.encoding == "offset":
            return code - 1
        if fmt.encoding == "unsigned":
            return code
        if fmt.encoding == "twos":
            return code - (code >> n - 1 << n)
        size = code & (1 << n - 1) - 1
        return -size if code >> n - 1 else size
    if isinstance(fmt, FloatFormat):
        return _float_integer(fmt, code)
    raise ValueError(f"format {fmt.name!r} has no code book")


def _float_integer(fmt: FloatFormat, code: int) -> int | None:
    width = fmt.exp_bits + fmt.man_bits
    size = code & (1 << width) - 1
    negative = fmt.has_sign and code >> width & 1
    if negative and not size and (fmt.special is not None or fmt.nonfinite_rule == "fnuz"):
        return fmt.special
    if size > fmt.max_code:
        return None
    exponent, mantissa = size >> fmt.man_bits, size & (1 << fmt.man_bits) - 1
    value = mantissa + (1 << fmt.man_bits) << exponent - 1 if exponent else mantissa
    return -value if negative else value


def _rises(
    fmt: Format, rounding: str, low: tuple[Fraction, int], high: tuple[Fraction, int]
) -> bool:
    """Return whether a value on the middle of two neighbours takes the upper one."""
    (a, code_a), (b, code_b) = low, high
    if isinstance(fmt, IntFormat) and fmt.encoding == "offset":
        code_a, code_b = int(a), int(b)
    upper_is_nearer = abs(b) < abs(a)
    even = upper_is_nearer if code_a % 2 == code_b % 2 else code_a % 2 == 1
    balanced = abs(a) == abs(b)
    if rounding == "ties-down":
        return False
    if rounding in ("rha", "ties-to-zero") and not balanced:
        return upper_is_nearer == (rounding == "ties-to-zero")
    return even


def _takes(fmt: Format, rounding: str, low: Entry, high: Entry, x: Fraction) -> bool:
    """Return whether ``x`` becomes ``high`` or something above, rather than ``low``."""
    a, b = low[0], high[0]
    if rounding == "rtz" and not a < 0 < b:
        return x >= b if b > 0 else x > a
    middle = (a + b) / 2
    return x > middle or (x == middle and _rises(fmt, rounding, low, high))


def first_keys(fmt: Format, source: Source, rounding: str) -> list[int]:
    """Return for every value but the least the first place in the order that becomes it.

    A place that no number takes is one past the last.
    """
    keys = []
    for low, high in pairwise(values_of(fmt)):
        least, most = 0, source.keys
        while least < most:
            middle = (least + most) // 2
            if _takes(fmt, rounding, low, high, source.value(middle)):
                most = middle
            else:
                least = middle + 1
        keys.append(least)
    return keys


def select(m: Module, key: Value, keys: Sequence[int], words: Sequence[int], width: int) -> Value:
    """Return ``words[k]``, where ``k`` is the number of ascending ``keys`` not above ``key``."""
    key = wire(m, key, "key")
    limit = 1 << len(key)
    if len(keys) > PARALLEL:
        return wire(m, _pick(words, _search(m, key, keys), width), "code")
    result: Value = Const(words[0], width)
    for first, before, after in zip(keys, words, words[1:], strict=False):
        if first < limit and before != after:
            reached = wire(m, key >= first, "reached")
            result = result ^ Const(before ^ after, width) & reached.replicate(width)
    return wire(m, result, "code")


def _search(m: Module, key: Value, keys: Sequence[int]) -> list[Value]:
    """Return the bits, from the top, of how many of ``keys`` are not above ``key``.

    The range of possible numbers is halved for each bit.
    """
    depth = len(keys).bit_length()
    limit = 1 << len(key)
    padded = [min(k, limit) for k in keys] + [limit] * ((1 << depth) - 1 - len(keys))
    rank: list[Value] = []
    for level in range(depth):
        step = 1 << depth - level
        pivot = wire(m, _pick(padded[step // 2 - 1 :: step], rank, len(key) + 1), "pivot")
        rank.append(wire(m, key >= pivot, "upper"))
    return rank


def _pick(words: Sequence[int], index: Sequence[Value], width: int) -> Value:
    """Return the word at the index whose bits, from the top, are ``index``."""
    if not index or len(set(words)) == 1:
        return Const(words[0], width)
    half = 1 << len(index) - 1
    low = _pick(words[:half], index[1:], width)
    return Mux(index[0], _pick(words[half:], index[1:], width), low) if words[half:] else low

# SPDX-License-Identifier: Apache-2.0
"""The products of two words at their places in the quires, before their signs."""

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.bitheap import BitHeap
from hw.arith.recode import booth_digits, multiple
from hw.arith.wires import wire
from hw.pe.simd_operand import Formats, Part, Word

__all__ = ["placed_products"]

_BLOCK = 7  # bits of a side of one block of the significand multiplier
_LANE = 32  # bits of the quire of one of four numbers
_QUIRE = 128


def placed_products(m: Module, a: Word, w: Word, formats: Formats) -> tuple[Value, list[Value]]:
    """Return (magnitudes, signs): of the products, 32 bits of the quire for each sign.

    Numbers that take 64 or 128 bits have equal signs in all of them.
    """
    product = _significands(m, _halves(m, a, formats), _halves(m, w, formats), formats)
    shifts = {
        name: _shift(m, getattr(a, name), getattr(w, name), formats)
        for name in ("high", "low", "third", "first")
    }
    signs = {name: getattr(a, name).sign ^ getattr(w, name).sign for name in shifts}
    placed = _lanes(m, shifts, formats)
    moved = _right(m, _start(product, formats), placed, formats)
    return wire(m, moved, "moved"), [wire(m, s, "sign") for s in _lanes(m, signs, formats)]


def _halves(m: Module, word: Word, formats: Formats) -> tuple[Value, Value]:
    """Return the low and the high seven bits of what the multiplier takes."""
    high, low = word.high.significand, word.low.significand
    pair_high = Cat(word.third.significand, Const(0, 3), high[12:])
    pair_low = Cat(word.first.significand, Const(0, 3), low[4:])
    lower = Mux(formats.posit16, high[1:8], Mux(formats.quarters, pair_low, low))
    upper = Mux(formats.quarters, pair_high, high[8:])
    return wire(m, lower[:_BLOCK], "lower"), wire(m, upper[:_BLOCK], "upper")


def _significands(
    m: Module, a: tuple[Value, Value], w: tuple[Value, Value], formats: Formats
) -> Value:
    """Return ``a * w`` of 14 bits; but for posit16 only the products of equal halves."""
    heap = BitHeap(m, 4 * _BLOCK)
    across = formats.posit16.replicate(_BLOCK)
    for half, operand in enumerate((Cat(a[0], a[1] & across), Cat(a[0] & across, a[1]))):
        operand = wire(m, operand, "multiplicand")
        for digit in booth_digits(m, w[half]):
            row, carry = multiple(digit, operand)
            heap.add(row, half * _BLOCK + digit.weight, carry)
    return wire(m, heap.total(), "significands")


def _shift(m: Module, a: Part, w: Part, formats: Formats) -> Value:
    """Return how far below the place of the largest exponent a product belongs."""
    bits = min(7, max(len(a.down) + 1, 5))
    largest = Mux(formats.posit16, 58, Mux(formats.posit8, 14, Mux(formats.posit4, 10, 0)))
    return wire(m, (a.down + w.down + largest)[:bits], "shift")


def _lanes(m: Module, values: dict[str, Value], formats: Formats) -> list[Value]:
    """Return which of the four numbers' values holds in each quarter of the quires."""
    high, low = values["high"], values["low"]
    halves = formats.posit8
    return [
        Mux(formats.posit16, high, Mux(halves, low, values["first"])),
        Mux(formats.posit16, high, low),
        Mux(formats.quarters, values["third"], high),
        high,
    ]


def _start(product: Value, formats: Formats) -> list[Value | None]:
    """Return the products where those of the largest exponents belong."""
    bits: list[Value | None] = [None] * _QUIRE

    def put(at: int, part: Value, chosen: Value) -> None:
        for k, bit in enumerate(part, at):
            before = bits[k]
            bits[k] = bit & chosen if before is None else before | bit & chosen

    put(88, product[:26], formats.posit16)
    for half in range(2):
        block = product.word_select(half, 2 * _BLOCK)
        put(64 * half + 14, block[:12], formats.posit8)
        for which, part in enumerate((block[:4], block[10:])):
            at = 64 * half + _LANE * which
            put(at + 4, part, formats.e2m1)
            put(at + 16, part[2], formats.posit4)
    return bits


def _right(m: Module, bits: list[Value | None], shifts: list[Value], formats: Formats) -> Value:
    """Return ``bits`` moved to the right, each quarter as its shift says, none into another's.

    What is moved out at the right of a number's quire is 0. Only a zero asks for more places than
    its quire has, and whatever its shift, nothing comes from another's.
    """
    shifts = [wire(m, (shift | Const(0, 7))[:7], "by") for shift in shifts]
    joined = (formats.posit16 | formats.posit8, formats.posit16, formats.posit16 | formats.posit8)
    for level in range(7):
        step = 1 << level
        after: list[Value | None] = []
        for k, own in enumerate(bits):
            lane, source = k // _LANE, k + step
            other = bits[source] if source < _QUIRE else None
            if other is not None and source // _LANE == lane + 1:
                other = other & joined[lane]
            move = shifts[lane][level]
            after.append(_either(move, other, own))
        bits = _wired(m, after)
    return Cat(*(Const(0, 1) if bit is None else bit for bit in bits))


def _either(move: Value, other: Value | None, own: Value | None) -> Value | None:
    if other is None:
        return None if own is None else own & ~move
    return other & move if own is None else Mux(move, other, own)


def _wired(m: Module, bits: list[Value | None]) -> list[Value | None]:
    known = [bit for bit in bits if bit is not None]
    word = iter(wire(m, Cat(*known), "level"))
    return [None if bit is None else next(word) for bit in bits]

# SPDX-License-Identifier: Apache-2.0
"""One exact product as addends of a sum."""

from amaranth.hdl import Cat, Const, Module, Value

from hw.arith.bitheap import BitHeap
from hw.arith.recode import Digit, booth_digits, multiple, plain_digits, signed_multiple
from hw.arith.select import lines, lines_of_sum, shifted
from hw.arith.wires import wire
from hw.pe.decode import Operand
from hw.pe.product_pair import is_pair, signed_product

__all__ = ["add_product", "product_word"]

#: Widest product of two significands for which an FPGA takes gates too: one table a bit of all.
TABLE = 4

#: Most places of a shift that gates select one-hot.
PLACES = 5


def _digits(m: Module, value: Value, negative: Value | None, arch: str) -> list[Digit]:
    """Return the cheapest digits of a multiplier, each negated where ``negative`` is 1."""
    few = arch != "booth" and len(value) <= (1 if value.shape().signed else 3)
    digits = plain_digits(m, value) if few else booth_digits(m, value)
    if negative is None:
        return digits
    return [
        Digit(d.weight, d.one, d.two, negative if d.negative is None else d.negative ^ negative)
        for d in digits
    ]


def _either(first: Value | None, second: Value | None) -> Value | None:
    if first is None or second is None:
        return second if first is None else first
    return first ^ second


def add_product(
    m: Module, heap: BitHeap, weight: Operand, act: Operand, arch: str, max_product: int
) -> None:
    """Add ``weight * act`` to ``heap``: with a multiplier (``multiply``), or without.

    ``shift-add`` takes the cheapest digits of the multiplier, ``booth`` radix-4 digits always.
    ``max_product`` is the largest magnitude that the product can have.
    """
    if arch == "shift-add" and not heap.carry_chains and is_pair(weight, act):
        word = wire(m, signed_product(m, weight, act), "product")
        heap.add(word[: max_product.bit_length() + 1].as_signed())
        return
    negative = _either(weight.negative, act.negative)
    if negative is not None:
        negative = wire(m, negative, "negative")
    has_shift = weight.shift is not None or act.shift is not None
    if arch != "multiply" and not has_shift:
        _add_rows(m, heap, weight.significand, act.significand, negative, arch)
        return
    if arch == "multiply":
        word = wire(m, weight.significand * act.significand, "product")
    else:
        word = _resolved_rows(m, weight.significand, act.significand, heap.carry_chains, arch)
    is_signed = word.shape().signed
    if has_shift:
        word = _shifted(m, word, weight, act, heap.carry_chains)
        word = word[weight.fraction + act.fraction :]
    width = max_product.bit_length() + is_signed
    if len(word) > width:
        word = word[:width]
    if is_signed:
        word = word.as_signed()
    word = wire(m, word, "aligned")
    if negative is not None:
        bits = Cat(word) if is_signed else Cat(word, Const(0, 1))
        word = (bits ^ negative.replicate(len(bits))).as_signed()
    heap.add(word, carry=negative)


def product_word(
    m: Module,
    weight: Operand,
    act: Operand,
    arch: str,
    max_product: int,
    carry_chains: bool,
) -> Value:
    """Return ``weight * act`` as one signed word."""
    heap = BitHeap(m, max_product.bit_length() + 1, carry_chains)
    add_product(m, heap, weight, act, arch, max_product)
    return heap.total()


def _shifted(m: Module, word: Value, weight: Operand, act: Operand, carry_chains: bool) -> Value:
    if (carry_chains and len(word) > TABLE) or weight.top + act.top >= PLACES:
        return word << wire(m, _sum(weight.shift, act.shift), "shift")
    either = [lines(m, o.shift, o.top) for o in (weight, act) if o.shift is not None]
    return shifted(word, either[0] if len(either) == 1 else lines_of_sum(m, *either))


def _sum(first: Value | None, second: Value | None) -> Value:
    if first is None or second is None:
        value = second if first is None else first
        assert value is not None
        return value
    return first + second


def _add_rows(
    m: Module, heap: BitHeap, weight: Value, act: Value, negative: Value | None, arch: str
) -> None:
    # The operand with fewer digits selects multiples of the other.
    multiplier, multiplicand = (weight, act) if len(weight) <= len(act) else (act, weight)
    for digit in _digits(m, multiplier, negative, arch):
        if digit.two is None and digit.negative is not None and not heap.carry_chains:
            row, carry = signed_multiple(m, digit, wire(m, multiplicand, "multiplicand"))
        else:
            row, carry = multiple(digit, multiplicand)
        heap.add(row, digit.weight, carry)


def _resolved_rows(m: Module, weight: Value, act: Value, carry_chains: bool, arch: str) -> Value:
    """Return the product of two significands as one word, made of rows."""
    is_signed = weight.shape().signed or act.shape().signed
    for single, other in ((weight, act), (act, weight)):
        if len(single) == 1 and not single.shape().signed:
            word = Cat(other) & single.replicate(len(other))
            return word.as_signed() if other.shape().signed else word
    width = len(weight) + len(act)
    heap = BitHeap(m, width, carry_chains and width > TABLE)
    if arch != "booth" and heap.carry_chains and len(weight) == 2 and not weight.shape().signed:
        _add_beside(m, heap, weight, act)
    else:
        _add_rows(m, heap, weight, act, None, arch)
    total = heap.total()
    return total if is_signed else total.as_unsigned()


def _add_beside(m: Module, heap: BitHeap, weight: Value, act: Value) -> None:
    """Add a product by 0, 1, 2 or 3 as once the other, which needs no logic, and -1 to 2 times."""
    heap.add(act)
    one, two = wire(m, ~weight[0], "one"), wire(m, weight.all(), "two")
    row, carry = multiple(Digit(0, one, two, wire(m, ~weight.any(), "none")), act)
    heap.add(row, carry=carry)

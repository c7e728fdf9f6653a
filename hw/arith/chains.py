# SPDX-License-Identifier: Apache-2.0
"""Sums built of carry chains, for FPGAs: there a 3:2 compressor costs more than an adder."""

from dataclasses import dataclass, replace

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed

__all__ = ["Addend", "chained_sum"]

#: Words that are added one after another before the sums meet in a tree. Each such adder takes
#: its word's logic into its own look-up tables; longer chains save a few more, and wait longer.
CHAIN = 4

#: Most addends whose signs are extended. The signs of more meet in one constant.
FEW = 4


@dataclass(frozen=True)
class Addend:
    """``(word + carry) * 2**weight``; the shape of ``word`` says whether it is signed."""

    word: Value
    weight: int = 0
    carry: Value | None = None


@dataclass(frozen=True)
class _Term:
    """An addend and the interval of its word's values, in units of ``2**weight``."""

    addend: Addend
    low: int
    high: int

    @classmethod
    def of(cls, addend: Addend) -> "_Term":
        width = len(addend.word)
        if addend.word.shape().signed:
            return cls(addend, -1 << width - 1, (1 << width - 1) - 1)
        return cls(addend, 0, (1 << width) - 1)


def chained_sum(m: Module, width: int, addends: list[Addend], constant: int = 0) -> Value:
    """Return the sum of ``addends`` and ``constant`` modulo ``2**width``, as a signed word."""
    terms = []
    for addend in addends:
        word = addend.word
        if word.shape().signed and len(addends) > FEW:
            # The sign s as 1 - s: where nothing is extended, carries pass without a look-up table.
            word = Cat(word[:-1], ~word[-1])
            constant -= 1 << addend.weight + len(word) - 1
        terms.append(_Term.of(replace(addend, word=word)))
    if constant or not terms:
        bits = constant.bit_length() + 1
        number = Signal(signed(bits), init=constant, name="constant")
        terms.insert(0, _Term(Addend(number), constant, constant))
    spare: list[tuple[int, Value]] = []
    chains = []
    for start in range(0, len(terms), CHAIN):
        chains.append(_chain(m, width, terms[start : start + CHAIN], spare))
    while len(chains) > 1:
        pairs = [chains[k : k + 2] for k in range(0, len(chains), 2)]
        chains = [_add(m, width, p[0], p[1], spare) if p[1:] else p[0] for p in pairs]
    total = chains[0]
    while spare:
        weight, bit = spare.pop()
        total = _add(m, width, total, _Term(Addend(Cat(bit), weight), 0, 1), spare)
    result = Signal(signed(width), name="total")
    m.d.comb += result.eq(total.addend.word << total.addend.weight)
    return result


def _chain(m: Module, width: int, terms: list[_Term], spare: list[tuple[int, Value]]) -> _Term:
    total = terms[0]
    first = total.addend
    if first.carry is not None:
        spare.append((first.weight, first.carry))
        total = replace(total, addend=replace(first, carry=None))
    for term in terms[1:]:
        total = _add(m, width, total, term, spare)
    return total


def _add(m: Module, width: int, total: _Term, term: _Term, spare: list[tuple[int, Value]]) -> _Term:
    """Add ``term`` to a finished sum. A carry at its weight goes in below the lowest bit."""
    if term.addend.weight < total.addend.weight:
        lifted = total.addend.word << total.addend.weight - term.addend.weight
        scale = 1 << total.addend.weight - term.addend.weight
        total = _Term(Addend(lifted, term.addend.weight), total.low * scale, total.high * scale)
    base, weight, word = total.addend.weight, term.addend.weight, term.addend.word
    if weight >= width:
        return total
    skipped = weight - base
    carry = term.addend.carry
    if carry is None:
        waiting = next((k for k, (at, _) in enumerate(spare) if at == weight), None)
        carry = None if waiting is None else spare.pop(waiting)[1]
    word_before = total.addend.word
    before = Signal(signed(max(len(word_before) + 1, skipped + 1)), name="running")
    m.d.comb += before.eq(word_before)
    low, high = total.low, total.high + (int(carry is not None) << skipped)
    low, high = low + (term.low << skipped), high + (term.high << skipped)
    bits = max((-low - 1).bit_length() if low < 0 else 0, high.bit_length()) + 1
    bits = min(bits, width - base)
    # A difference, for synthesis not to swap the operands: only the second one's logic goes into
    # the look-up table before the carry chain. The carry goes in below the lowest bit.
    given = word if word.shape().signed else Cat(word, Const(0, 1)).as_signed()
    left = Cat(Const(0, 1) if carry is None else carry, before[skipped:]).as_signed()
    added = (left - Cat(Const(1, 1), ~given).as_signed())[1:].as_signed()
    # Kept, so that synthesis does not rebuild the adders as a compressor tree.
    partial = Signal(signed(bits - skipped), name="partial", attrs={"keep": 1})
    m.d.comb += partial.eq(added)
    whole = Cat(before[:skipped], partial).as_signed() if skipped else partial
    return _Term(Addend(whole, base), low, high)

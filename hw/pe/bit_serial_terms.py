# SPDX-License-Identifier: Apache-2.0
"""Weights as a few signed powers of two, of which one a cycle meets the activations.

Source: BitMoD (2024).
"""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.wires import wire
from hw.spec.formats import FloatFormat, Format

__all__ = ["FORMATS", "MOST", "STEPS", "Special", "Term", "special", "term_of"]

#: Steps, so cycles of a beat, of every weight format that has terms.
STEPS = {"int8": 4, "int6": 3, "int5": 3, "e2m1": 2, "e2m0": 2}
FORMATS = tuple(STEPS)

#: Largest magnitude of two terms, in half units: 8 + 4. What a special value may come to.
MOST = 24


@dataclass(frozen=True)
class Term:
    """``(-1)**negative * present * 2**exp`` in units of the step."""

    present: Value
    exp: Value
    negative: Value


@dataclass(frozen=True)
class Special:
    """The special value of a beat: its term of this step, and whether two terms are too few."""

    term: Term
    bad: Value


def term_of(m: Module, fmt: Format, code: Value, step: Value, special: Special | None) -> Term:
    """Return the term of a weight's ``code`` in ``step``.

    Step k of an integer is its Booth digit k, of weight ``4**k``. A float's larger term, in units,
    comes in step 0, its smaller one, in half units, in step 1; the code of -0 has those of
    ``special``.
    """
    if isinstance(fmt, FloatFormat):
        assert special is not None
        return _float_term(m, fmt, code, step, special)
    return _booth_term(m, fmt, code, step)


def _booth_term(m: Module, fmt: Format, code: Value, step: Value) -> Term:
    count = STEPS[fmt.name]
    bits = [Const(0, 1), *code, *[code[-1]] * (2 * count - fmt.bits)]
    # A step beyond the last does not come; repeating the last digit then costs nothing.
    starts = [2 * min(k, count - 1) for k in range(4)]
    low, mid, high = (
        wire(m, Cat(bits[start + k] for start in starts).bit_select(step, 1), name)
        for k, name in enumerate(("low", "mid", "high"))
    )
    same = wire(m, low == mid, "same")
    return Term(~same | (high != mid), same, high)


def _float_term(m: Module, fmt: FloatFormat, code: Value, step: Value, special: Special) -> Term:
    exp = code[fmt.man_bits : fmt.man_bits + 2]
    man = code[0] if fmt.man_bits else Const(0, 1)
    chosen = wire(m, code[-1] & ~code[:-1].any(), "special")
    return Term(
        Mux(chosen, special.term.present, Mux(step, man, exp.any())),
        Mux(chosen, special.term.exp, Cat(exp[1] & ~exp[0], exp.all())),
        Mux(chosen, special.term.negative, code[-1]),
    )


def special(m: Module, registers: Value, sel: Value, step: Value) -> Special:
    """Return the terms of the special value that ``sel`` picks from four of 6 bits.

    One is a sign above a magnitude I3 I2 I1 I0 F0 in half units. Its terms are the two leading
    ones; in step 0 comes the one among I3 to I0, in step 1 the one below it.
    """
    value = wire(m, registers.word_select(sel, 6), "sv")
    magnitude = value[:5]
    first = magnitude[1:]
    # A bit is left to the second term if the first one took a higher bit; F0 always is.
    left = [magnitude[0], *(magnitude[k] & magnitude[k + 1 :].any() for k in (1, 2, 3))]
    second = wire(m, Cat(left), "second")
    exp_first = Cat(first[3] | first[1] & ~first[2], first[3] | first[2])
    exp_second = Cat(second[3] | second[1] & ~second[2], second[3] | second[2])
    term = Term(
        wire(m, Mux(step, second.any(), first.any()), "sv_present"),
        wire(m, Mux(step, exp_second, exp_first), "sv_exp"),
        value[5],
    )
    more = [second[k] & second[:k].any() for k in (1, 2, 3)]
    return Special(term, wire(m, Cat(more).any(), "sv_bad"))

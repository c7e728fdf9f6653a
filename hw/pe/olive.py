# SPDX-License-Identifier: Apache-2.0
"""Outlier-victim pairs: a decoder at the edge, then products of integers with exponents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.recode import lookup
from hw.arith.wires import wire
from hw.cell import Cell
from hw.pe.datapath import Datapath, codes
from hw.pe.params import PEParams
from hw.pe.values import value_of
from hw.spec.formats import parse

__all__ = ["FORMATS", "Form", "PairDatapath", "PairDecoder", "ScaledProduct"]


@dataclass(frozen=True)
class Form:
    """How elements of a format are written as parts ``v * 2**e``, ``v`` signed, and their sum.

    A part of an exponent that never changes has ``exponents`` 0.
    """

    bits: int
    largest: int  #: Largest magnitude of an outlier.
    integers: tuple[int, ...]  #: Bits of each part's ``v``.
    exponents: tuple[int, ...]  #: Bits of each part's ``e``.
    base: tuple[int, ...]  #: What is added to each part's ``e``.
    bias: int  #: Of the exponent of an outlier.
    man_bits: int


#: int8 is split into nibbles; an outlier takes the place of the lower one.
FORMATS = {
    "int4": Form(4, 96, (4,), (3,), (0,), 2, 1),
    "flint4": Form(4, 192, (3,), (3,), (0,), 3, 1),
    "int8": Form(8, 1 << 15, (5, 4), (4, 0), (0, 4), 4, 3),
}


class PairDecoder(Cell):
    """Decode one pair of elements.

    The code 10...0 marks a victim, which is 0; the other element of its pair is an outlier, a
    float ``s.e.m`` without hidden zero, worth ``(2**y + m) * 2**(e + bias)``, or 0 if e = m = 0.

    Parameters
    ----------
    name : str
        One of :data:`FORMATS`.

    Members
    -------
    code : ``In(2 * bits)``
        Element 0 in the low half.
    v00, v01, v10, v11 : ``Out(signed)``
        Integer of element ``i``, part ``k``, as ``v{i}{k}``. Formats of 4 bits have one part.
    e00, e10 : ``Out``
        Exponent of element ``i``, part 0. That of part 1 is constant.

    Timing
    ------
    Combinational.

    Source: OliVe (2023).
    """

    latency = 0

    def __init__(self, name: str):
        self.name, self.form = name, FORMATS[name]
        self.label = f"olive_decode_{name}"
        members: dict[str, Any] = {"code": In(2 * self.form.bits)}
        for element in (0, 1):
            for part, bits in enumerate(self.form.integers):
                members[f"v{element}{part}"] = Out(signed(bits))
            members[f"e{element}0"] = Out(self.form.exponents[0])
        super().__init__(members)

    def body(self, platform: Any) -> Module:
        m, bits = Module(), self.form.bits
        pair = [self.code.word_select(k, bits) for k in (0, 1)]
        marks = [wire(m, code == 1 << bits - 1, "mark") for code in pair]
        for element in (0, 1):
            if bits == 4:
                self._nibble(m, element, pair[element], marks[1 - element])
            else:
                self._bytes(m, element, pair[element], marks[element], marks[1 - element])
        return m

    def _nibble(self, m: Module, element: int, code: Value, outlier: Value) -> None:
        """Both meanings of every code as one table, of five inputs a bit."""
        fmt, form = parse(self.name), self.form
        limit = (1 << form.integers[0] - 1) - 1
        entries = []
        for row in range(32):
            word = row & 15
            if word == 8:
                entries.append((0, 0))
            elif row < 16:
                value = value_of(fmt, word)
                assert value is not None
                entries.append(_scaled(value, limit))
            else:
                exp, man = divmod(word & 7, 2)
                magnitude = 2 + man if word & 7 else 0
                shift = exp + form.bias if magnitude else 0
                entries.append((-magnitude if word & 8 else magnitude, shift))
        index = wire(m, Cat(code, outlier), "index")
        width = form.integers[0]
        table = [v % (1 << width) for v, _ in entries]
        m.d.comb += [
            getattr(self, f"v{element}0").eq(lookup(table, index, width)),
            getattr(self, f"e{element}0").eq(
                lookup([e for _, e in entries], index, form.exponents[0])
            ),
        ]

    def _bytes(self, m: Module, element: int, code: Value, mark: Value, outlier: Value) -> None:
        exp, man, negative = code[3:7], code[:3], code[-1]
        # From e = 8 on the magnitude is 2**15, which is 8 * 2**12.
        top = exp[3]
        magnitude = Cat(man & ~top.replicate(3), code[:7].any())
        low = wire(m, Mux(outlier, magnitude, code[:4]), "low")
        flip = wire(m, outlier & negative, "flip")
        shift = Mux(top, 12, exp[:3] + Const(4, 3))
        m.d.comb += [
            # 4 bits and a sign; -0 does not occur, but for a mark, which is not an outlier.
            getattr(self, f"v{element}0").eq(
                (Cat(low, 0) ^ flip.replicate(5)) + flip,
            ),
            getattr(self, f"v{element}1").eq(
                code[4:] & ~(outlier | mark).replicate(4),
            ),
            getattr(self, f"e{element}0").eq(shift & outlier.replicate(4)),
        ]


def _scaled(value: int, limit: int) -> tuple[int, int]:
    """Return (v, e) with the least e for which ``|v| <= limit``; the value must allow it."""
    exponent = 0
    while abs(value) > limit:
        value, exponent = value // 2, exponent + 1
    return value, exponent


class ScaledProduct(Cell):
    """``(a * w) << (ea + ew)``, as one word.

    Parameters
    ----------
    a_bits, w_bits : int
        Widths of the integers.
    ea_bits, ew_bits : int
        Widths of the exponents, 0 for none.
    width : int
        Bits of the product.

    Members
    -------
    a, w : ``In(signed)``
    ea, ew : ``In``
        Present where they have bits.
    p : ``Out(signed(width))``

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, a_bits: int, w_bits: int, ea_bits: int, ew_bits: int, width: int):
        self.label = f"olive_product_{a_bits}_{w_bits}_{ea_bits}_{ew_bits}_{width}"
        members: dict[str, Any] = {
            "a": In(signed(a_bits)),
            "w": In(signed(w_bits)),
            "p": Out(signed(width)),
        }
        if ea_bits:
            members["ea"] = In(ea_bits)
        if ew_bits:
            members["ew"] = In(ew_bits)
        super().__init__(members)

    def body(self, platform: Any) -> Module:
        m = Module()
        product: Value = wire(m, self.a * self.w, "product")
        exponents = [getattr(self, n) for n in ("ea", "ew") if n in self.signature.members]
        if exponents:
            by = wire(m, sum(exponents[1:], exponents[0]), "shift")
            product = product << by
        m.d.comb += self.p.eq(product)
        return m


class PairDatapath(Datapath):
    """Decoders of both operands' pairs, and a product for every two parts."""

    def __init__(self, params: PEParams):
        self.name = params.weight_format.name
        self.form = form = FORMATS[self.name]
        fields = dict.fromkeys(("a", "w"), codes(form.bits, params.lanes))
        super().__init__(params, f"olive_{self.name}", fields)

    def add(
        self, m: Module, inputs: Mapping[str, Value], heaps: Sequence[BitHeap]
    ) -> dict[str, Value]:
        for pair in range(self.params.lanes // 2):
            decoders = {}
            for name in ("a", "w"):
                m.submodules[f"decode_{name}{pair}"] = decoder = PairDecoder(self.name)
                code = inputs[name].word_select(pair, 2 * self.form.bits)
                m.d.comb += decoder.code.eq(code)
                decoders[name] = decoder
            for element in (0, 1):
                self._products(m, heaps[0], decoders, 2 * pair + element)
        return {}

    def _products(
        self, m: Module, heap: BitHeap, decoders: Mapping[str, PairDecoder], lane: int
    ) -> None:
        form, element = self.form, lane % 2
        parts = range(len(form.integers))
        for i in parts:
            for j in parts:
                bits = form.integers[i], form.integers[j], form.exponents[i], form.exponents[j]
                width = 1 + self._largest(i, j).bit_length()
                cell = ScaledProduct(*bits, width)
                m.submodules[f"product{lane}_{i}{j}"] = cell
                for name, part in (("a", i), ("w", j)):
                    source = decoders[name]
                    m.d.comb += getattr(cell, name).eq(getattr(source, f"v{element}{part}"))
                    if form.exponents[part]:
                        exponent = getattr(source, f"e{element}{part}")
                        m.d.comb += getattr(cell, f"e{name}").eq(exponent)
                heap.add(cell.p, form.base[i] + form.base[j])

    def _largest(self, i: int, j: int) -> int:
        """Return the largest magnitude of the product of parts i and j, before their bases."""
        largest = self.form.largest, 8
        return largest[i] * largest[j]

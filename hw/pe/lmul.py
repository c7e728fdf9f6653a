# SPDX-License-Identifier: Apache-2.0
"""Products of minifloats by one integer addition."""

from collections.abc import Mapping, Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Value
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.wires import wire
from hw.cell import Cell
from hw.pe.datapath import Datapath, codes
from hw.pe.decode import label_of
from hw.pe.params import PEParams
from hw.spec.formats import FloatFormat

__all__ = ["AddedProduct", "AddingDatapath", "correction"]


def correction(fmt: FloatFormat) -> int:
    """Return what stands in for the product of the two mantissas, in their last place."""
    places = fmt.man_bits
    return 1 << places - (places if places <= 3 else 3 if places == 4 else 4)


class AddedProduct(Cell):
    """The approximate product of two codes of one format: their fields are added.

    The sum of both codes without their signs, less the bias, plus :func:`correction`, is the code
    of the product. A subnormal operand and a sum below the least normal code give 0, a sum above
    the largest finite code gives that code.

    Parameters
    ----------
    fmt : :class:`~hw.spec.formats.FloatFormat`

    Members
    -------
    a, w : ``In(fmt.bits)``
        Codes.
    man : ``Out(man_bits)``
        Mantissa field of the product.
    shift : ``Out(exp_bits)``
        Exponent field of the product less 1.
    some : ``Out(1)``
        The product is not 0. Neither ``man`` nor ``shift`` counts where it is.
    negative : ``Out(1)``
        Exclusive or of the signs.
    nan : ``Out(1)``
        A code is not finite; the product then is 0. Present where the format has such codes.

    Timing
    ------
    Combinational.

    Source: L-Mul, "Addition is all you need for energy-efficient language models" (2024).
    """

    latency = 0

    def __init__(self, fmt: FloatFormat):
        self.fmt = fmt
        self.label = f"lmul_{label_of(fmt)}"
        members = {
            "a": In(fmt.bits),
            "w": In(fmt.bits),
            "man": Out(fmt.man_bits),
            "shift": Out(fmt.exp_bits),
            "some": Out(1),
            "negative": Out(1),
        }
        super().__init__({**members, **({"nan": Out(1)} if fmt.nonfinite else {})})

    def body(self, platform: Any) -> Module:
        m, fmt = Module(), self.fmt
        field, one = fmt.man_bits + fmt.exp_bits, 1 << fmt.man_bits
        # In units of the last place, from the least normal code on: never more than one constant
        # beside the two codes, and the exponent comes out as a shift.
        constant = correction(fmt) - (fmt.bias + 1) * one
        heap = BitHeap(m, field + 2)
        for code in (self.w, self.a):
            heap.add(code[:field])
        heap.add_constant(constant)
        total = wire(m, heap.total(), "total")
        over = wire(m, total > fmt.max_code - one, "over")
        limit = Const(fmt.max_code - one, field)
        kept = (Cat(total)[:field] & ~(over.replicate(field) & ~limit)) | over.replicate(
            field
        ) & limit
        exponents = [code[fmt.man_bits : field] for code in (self.w, self.a)]
        some = exponents[0].any() & exponents[1].any() & ~total[-1]
        if fmt.nonfinite:
            nan = wire(m, self._nan(self.w) | self._nan(self.a), "any_nan")
            m.d.comb += self.nan.eq(nan)
            some = some & ~nan
        m.d.comb += [
            Cat(self.man, self.shift).eq(kept),
            self.some.eq(some),
            self.negative.eq(self.w[-1] ^ self.a[-1]),
        ]
        return m

    def _nan(self, code: Value) -> Value:
        fmt = self.fmt
        if fmt.nonfinite_rule == "fnuz":
            return code[-1] & ~code[:-1].any()
        return (code[fmt.man_bits : -1] if fmt.nonfinite_rule == "ieee" else code[:-1]).all()


class AddingDatapath(Datapath):
    """One :class:`AddedProduct` for each product, and their exact sum."""

    def __init__(self, params: PEParams):
        fmt = params.weight_format
        assert isinstance(fmt, FloatFormat)
        self.fmt = fmt
        fields = dict.fromkeys(("a", "w"), codes(fmt.bits, params.lanes))
        super().__init__(params, f"lmul_{label_of(fmt)}", fields, ("nan",) * fmt.nonfinite)

    def add(
        self, m: Module, inputs: Mapping[str, Value], heaps: Sequence[BitHeap]
    ) -> dict[str, Value]:
        flags = []
        width = self.fmt.max_int.bit_length()
        for lane in range(self.params.lanes):
            m.submodules[f"product{lane}"] = product = AddedProduct(self.fmt)
            for name in ("a", "w"):
                code = inputs[name].word_select(lane, self.fmt.bits)
                m.d.comb += getattr(product, name).eq(code)
            significand = Cat(product.man, 1) & product.some.replicate(self.fmt.man_bits + 1)
            word = wire(m, (significand << product.shift)[:width], "aligned")
            negative = product.negative
            word = Cat(word, 0) ^ negative.replicate(width + 1)
            heaps[0].add(word.as_signed(), carry=negative)
            flags += [product.nan] if self.flags else []
        return {"nan": Cat(flags).any()} if self.flags else {}

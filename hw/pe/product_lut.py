# SPDX-License-Identifier: Apache-2.0
"""Products by look-up: a table of all products of two short codes."""

from collections.abc import Mapping, Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed, unsigned
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.recode import lookup
from hw.arith.wires import wire
from hw.cell import Cell
from hw.pe.datapath import Datapath, codes
from hw.pe.decode import label_of
from hw.pe.params import PEParams
from hw.pe.values import is_symmetric, values_of
from hw.spec.formats import Format

__all__ = ["MOST_BITS", "ProductTable", "TableDatapath"]

#: Bits of both codes together; a table of more entries is no match for a multiplier.
MOST_BITS = 10


class ProductTable(Cell):
    """The product of two codes, from a table.

    A code whose top bit only negates leaves that bit out of the index; the sign goes its own way.

    Parameters
    ----------
    weight, act : :class:`~hw.spec.formats.Format`

    Members
    -------
    w, a : ``In``
        Codes.
    p : ``Out``
        The product in units of ``2**lam`` but for the sign of ``negative``; unsigned where both
        codes leave out their signs. A non-finite code gives 0.
    negative : ``Out(1)``
        Whether ``p`` is to be negated. Present where a code leaves out its sign.
    nan : ``Out(1)``
        A code is not finite. Present where a format has such codes.

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, weight: Format, act: Format):
        self.weight, self.act = weight, act
        self.label = f"product_lut_{label_of(weight)}_{label_of(act)}"
        self._folded = [fmt for fmt in (weight, act) if is_symmetric(fmt)]
        weights, acts = (self._entries(fmt) for fmt in (weight, act))
        self._table = [w * a for w in weights for a in acts]
        low, high = min(self._table), max(self._table)
        width = max(high, ~low).bit_length()
        shape = signed(width + 1) if low < 0 else unsigned(max(width, 1))
        members = {"w": In(weight.bits), "a": In(act.bits), "p": Out(shape)}
        if self._folded:
            members["negative"] = Out(1)
        if weight.nonfinite or act.nonfinite:
            members["nan"] = Out(1)
        super().__init__(members)

    def _entries(self, fmt: Format) -> list[int]:
        values = [v or 0 for v in values_of(fmt)]
        return values[: len(values) // 2] if is_symmetric(fmt) else values

    def body(self, platform: Any) -> Module:
        m = Module()
        w = self.w[:-1] if is_symmetric(self.weight) else self.w
        a = self.a[:-1] if is_symmetric(self.act) else self.a
        index = wire(m, Cat(a, w), "index")
        known: dict[tuple[int, ...], Value] = {}
        for place in range(len(self.p)):
            truth = tuple(v >> place & 1 for v in self._table)
            m.d.comb += self.p[place].eq(_choose(m, truth, index, known))
        if self._folded:
            signs = [self.w[-1]] * is_symmetric(self.weight) + [self.a[-1]] * is_symmetric(self.act)
            m.d.comb += self.negative.eq(Cat(signs).xor())
        if "nan" in self.signature.members:
            flags = [
                lookup([v is None for v in values_of(fmt)], code)
                for fmt, code in ((self.weight, self.w), (self.act, self.a))
                if fmt.nonfinite
            ]
            m.d.comb += self.nan.eq(Cat(flags).any())
        return m


def _choose(
    m: Module, truth: tuple[int, ...], index: Value, known: dict[tuple[int, ...], Value]
) -> Value:
    """Return ``truth[index]`` as a decision diagram, whose equal parts are built once."""
    if len(set(truth)) == 1:
        return Const(truth[0], 1)
    if truth not in known:
        half = len(truth) // 2
        low, high = (_choose(m, part, index, known) for part in (truth[:half], truth[half:]))
        same = truth[:half] == truth[half:]
        bit = index[half.bit_length() - 1]
        known[truth] = low if same else wire(m, Mux(bit, high, low), "node")
    return known[truth]


class TableDatapath(Datapath):
    """One :class:`ProductTable` for each product.

    Source: DeepGEMM, "Accelerating ultra low-precision inference on CPUs" (2023), in software.
    """

    def __init__(self, params: PEParams):
        weight, act = params.weight_format, params.act_format
        fields = {
            "a": codes(act.bits, params.lanes),
            "w": codes(weight.bits, params.lanes * params.columns),
        }
        name = f"product_lut_{label_of(weight)}_{label_of(act)}"
        super().__init__(params, name, fields, ("nan",) if params.has_nan else ())

    def add(
        self, m: Module, inputs: Mapping[str, Value], heaps: Sequence[BitHeap]
    ) -> dict[str, Value]:
        weight, act = self.params.weight_format, self.params.act_format
        flags = []
        for column, heap in enumerate(heaps):
            for lane in range(self.params.lanes):
                number = column * self.params.lanes + lane
                m.submodules[f"product{number}"] = table = ProductTable(weight, act)
                m.d.comb += [
                    table.w.eq(inputs["w"].word_select(number, weight.bits)),
                    table.a.eq(inputs["a"].word_select(lane, act.bits)),
                ]
                _add(heap, table)
                flags += [table.nan] if self.flags else []
        return {"nan": Cat(flags).any()} if self.flags else {}


def _add(heap: BitHeap, table: ProductTable) -> None:
    if "negative" not in table.signature.members:
        heap.add(table.p)
        return
    word = Cat(table.p) if table.p.shape().signed else Cat(table.p, 0)
    heap.add((word ^ table.negative.replicate(len(word))).as_signed(), carry=table.negative)

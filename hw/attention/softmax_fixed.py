# SPDX-License-Identifier: Apache-2.0
"""Softmax of I-BERT and of I-ViT: three passes, one division a row."""

from typing import Any

from amaranth.hdl import Module, Mux, Shape, Value, unsigned

from hw.arith.bitheap import BitHeap
from hw.arith.sticky import shifted_right
from hw.arith.wires import wire
from hw.attention.divide import Divide
from hw.attention.first_pass import MaximumPass
from hw.attention.fixed_scale import FixedWord, IBert, IVit, stages
from hw.attention.products import add_product
from hw.attention.row_store import RowStore
from hw.attention.rows import RowSum, queue_records, signed_of
from hw.attention.softmax_core import ThreePass
from hw.attention.softmax_params import SoftmaxParams
from hw.attention.stages import Stages

__all__ = ["IBertSoftmax", "IVitSoftmax"]


class _Fixed(ThreePass):
    _constants: IBert | IVit
    _quotient_bits: int

    def __init__(self, params: SoftmaxParams):
        self.word_bits = self._constants.word_bits
        self.steps = stages(self._constants, params.in_bits) + 1
        self.wait = self._quotient_bits + 1
        self.row_cycles = self._quotient_bits + 2
        super().__init__(params)

    def word(self, m: Module, rows: MaximumPass, lane: int) -> Value:
        m.submodules[f"word{lane}"] = cell = FixedWord(self._constants, self.params.in_bits)
        m.d.comb += [
            cell.top.eq(rows.o_top),
            cell.x.eq(signed_of(rows.o_x, lane, self.params.in_bits)),
            cell.en.eq(-1),
        ]
        return cell.word


class IBertSoftmax(_Fixed):
    """The kind ``ibert``; see :class:`Softmax`."""

    _quotient_bits = 18  # a sum is at least the maximum's weight, so that quotients are small

    def __init__(self, params: SoftmaxParams):
        self._constants = IBert(params.unit)
        super().__init__(params)

    def known(self) -> dict[str, Shape]:
        return {"f": unsigned(self._quotient_bits)}

    def close(self, m: Module, store: RowStore, sums: RowSum, depth: int) -> None:
        divide = Divide(1 << 32, self.params.sum_bits, self._quotient_bits)
        groups = [(sums.ready, {"err": sums.err}), (sums.ready, {"f": sums.total["l"]})]
        queue_records(m, store, depth, groups, ("f", divide))

    def result(self, m: Module, word: Value, record: Any, moving: Value, lane: int) -> Value:
        heap = BitHeap(m, 33, self.params.target == "fpga")
        add_product(m, heap, record.f, word)
        product = Stages(m, moving, 1, 1)(wire(m, heap.total()[24:], "product"), 0)
        return wire(m, product[:8] | product[8].replicate(8), "result")


class IVitSoftmax(_Fixed):
    """The kind ``ivit``; see :class:`Softmax`."""

    _quotient_bits = 31

    def __init__(self, params: SoftmaxParams):
        self._constants = IVit(params.unit)
        super().__init__(params)

    def known(self) -> dict[str, Shape]:
        return {"negative": unsigned(1), "f": unsigned(self._quotient_bits)}

    def added(self, m: Module, word: Value) -> Value:
        mantissa, shift = word[:-5], word[-5:]
        at_bottom = wire(m, shift[4], "at_bottom")  # the shift is 16, as far as any
        lifted = mantissa << (~shift[:4])
        return Mux(at_bottom, mantissa, wire(m, lifted << 1, "lifted"))[:32]

    def close(self, m: Module, store: RowStore, sums: RowSum, depth: int) -> None:
        total = sums.total["l"]
        divide = Divide((1 << 31) - 1, 32)
        known = {"err": sums.err, "negative": total[-1]}
        size = wire(m, Mux(total[-1], -total, total)[:32], "size")
        groups = [(sums.ready, known), (sums.ready, {"f": size})]
        queue_records(m, store, depth, groups, ("f", divide))

    def result(self, m: Module, word: Value, record: Any, moving: Value, lane: int) -> Value:
        later = Stages(m, moving, 1, 1)
        factor = wire(m, Mux(record.negative, -record.f, record.f)[:32], "factor")
        heap = BitHeap(m, 32, self.params.target == "fpga")
        add_product(m, heap, factor, word[:-5])
        product = later(wire(m, heap.total()[8:], "product"), 0)
        lowered, _ = shifted_right(m, product, later(wire(m, word[-5:], "shift"), 0))
        return wire(m, lowered[:8], "result")

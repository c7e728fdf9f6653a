# SPDX-License-Identifier: Apache-2.0
"""Products of equal bit weight meet first: one tree without shifts for each digit weight."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from amaranth.hdl import Module, Value

from hw.arith.bitheap import BitHeap
from hw.arith.ent import ent_digits
from hw.arith.recode import Digit, multiple
from hw.arith.wires import wire
from hw.pe.datapath import Datapath, codes
from hw.pe.decode import decode, label_of
from hw.pe.params import PEParams

__all__ = ["VectorDatapath"]


class VectorDatapath(Datapath):
    """A tile of lanes: EN-T digits of the activations, shared by all columns, select weights.

    For each digit weight one tree sums the multiples of all lanes; those few sums are shifted and
    added at the end.

    Source: the bit-weight tensor engines, HPCA 2025 (OPT2).
    """

    def __init__(self, params: PEParams):
        weight, act = params.weight_format, params.act_format
        fields = {
            "a": codes(act.bits, params.lanes),
            "w": codes(weight.bits, params.lanes * params.columns),
        }
        super().__init__(params, f"vector_{label_of(weight)}_{label_of(act)}", fields)

    def add(
        self, m: Module, inputs: Mapping[str, Value], heaps: Sequence[BitHeap]
    ) -> dict[str, Value]:
        params, weight = self.params, self.params.weight_format
        lanes = [self._digits(m, inputs["a"], lane) for lane in range(params.lanes)]
        width = 1 + (2 * params.lanes * weight.max_int).bit_length()
        for column, heap in enumerate(heaps):
            sums = [BitHeap(m, width, params.carry_chains) for _ in lanes[0]]
            for lane, digits in enumerate(lanes):
                number = column * params.lanes + lane
                code = inputs["w"].word_select(number, weight.bits)
                operand = decode(m, f"decode_w{number}", weight, code, None)
                for digit, partial in zip(digits, sums, strict=True):
                    if operand.negative is not None:
                        assert digit.negative is not None
                        flipped = digit.negative ^ operand.negative
                        digit = replace(digit, negative=wire(m, flipped, "negative"))
                    row, carry = multiple(digit, operand.significand)
                    partial.add(row, carry=carry)
            for digit, partial in zip(lanes[0], sums, strict=True):
                heap.add(partial.total(), digit.weight)
        return {}

    def _digits(self, m: Module, a: Value, lane: int) -> list[Digit]:
        act = self.params.act_format
        operand = decode(m, f"decode_a{lane}", act, a.word_select(lane, act.bits), None)
        digits = ent_digits(m, operand.significand)
        if operand.negative is None:
            return digits
        return [
            replace(d, negative=wire(m, operand.negative ^ d.negative, "negative")) for d in digits
        ]

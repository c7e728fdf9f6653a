# SPDX-License-Identifier: Apache-2.0
"""Several products in one DSP slice: weights side by side times the activation they share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Value

from hw.arith.bitheap import BitHeap
from hw.arith.dsp48 import A_BITS, Dsp48
from hw.arith.wires import wire
from hw.pe.datapath import Datapath, codes
from hw.pe.decode import label_of
from hw.pe.params import PEParams
from hw.spec.formats import Format, IntFormat

__all__ = ["PackedDatapath", "Packing", "packing", "value_range"]


@dataclass(frozen=True)
class Packing:
    """How the weights of ``columns`` dot products share the wide operand of a multiplier.

    Weight ``c`` stands ``c * stride`` bits up, so product ``c`` begins there in the result. The
    products of up to ``lanes`` multipliers are added before they are taken apart. A field then has
    values from ``lanes * low`` to ``lanes * high``, told apart by its own ``stride`` bits and, with
    ``overlap``, by one bit of the next field: the lowest bit of a product is an AND of two bits,
    and what differs from it came from below.
    """

    columns: int
    stride: int
    lanes: int
    overlap: bool
    low: int  #: Least product.
    high: int  #: Largest product.


def value_range(fmt: Format) -> tuple[int, int]:
    """Return the least and the largest value of a plain integer format."""
    assert isinstance(fmt, IntFormat)
    if fmt.encoding == "unsigned":
        return 0, (1 << fmt.bits) - 1
    return -1 << fmt.bits - 1, (1 << fmt.bits - 1) - 1


def packing(weight: Format, act: Format, columns: int) -> Packing | None:
    """Return how ``columns`` products share a multiplier; None if they do not fit.

    The stride is the largest that the multiplier has room for.
    """
    low, high = value_range(weight)
    corners = [w * a for w in (low, high) for a in value_range(act)]
    spread = max(corners) - min(corners)
    half = 1 << A_BITS - 1
    for stride in range(A_BITS - 1, 0, -1):
        places = sum(1 << stride * c for c in range(columns))
        # The signs by themselves are one operand of the pre-adder, the other bits the other.
        signs = (1 << weight.bits - 1) * places if low < 0 else 0
        if max(signs, high * places) >= half:
            continue
        for overlap in (False, True):
            lanes = ((1 << stride + overlap) - 1) // spread
            if lanes or columns == 1:
                return Packing(columns, stride, max(lanes, 1), overlap, min(corners), max(corners))
        return None
    return None


def _most(weight: Format, act: Format) -> int:
    columns = 1
    while packing(weight, act, columns + 1):
        columns += 1
    return columns


class PackedDatapath(Datapath):
    """Multipliers that each form the products of one lane for several columns.

    Source: "Deep learning with INT8 optimization on Xilinx devices" (AMD WP486) for two products of
    8 bits, "Convolutional neural network with INT4 optimization" (WP521) for four of 4 bits.
    """

    def __init__(self, params: PEParams):
        weight, act = params.weight_format, params.act_format
        most = _most(weight, act)
        count = -(-params.columns // most)
        #: Columns that share multipliers, as evenly as they go.
        self.shares = [(params.columns + k) // count for k in range(count)]
        fields = {
            "a": codes(act.bits, params.lanes),
            "w": codes(weight.bits, params.lanes * params.columns),
        }
        super().__init__(params, f"dsp_packed_{label_of(weight)}_{label_of(act)}", fields)

    @property
    def multipliers(self) -> int:
        """DSP slices."""
        return self.params.lanes * len(self.shares)

    def add(
        self, m: Module, inputs: Mapping[str, Value], heaps: Sequence[BitHeap]
    ) -> dict[str, Value]:
        first = 0
        for columns in self.shares:
            how = packing(self.params.weight_format, self.params.act_format, columns)
            assert how is not None
            groups = -(-self.params.lanes // how.lanes)
            bounds = [self.params.lanes * k // groups for k in range(groups + 1)]
            for begin, end in pairwise(bounds):
                self._group(m, inputs, heaps[first : first + columns], how, first, (begin, end))
            first += columns
        return {}

    def _group(
        self,
        m: Module,
        inputs: Mapping[str, Value],
        heaps: Sequence[BitHeap],
        how: Packing,
        first: int,
        lanes: tuple[int, int],
    ) -> None:
        """Add the products of some lanes for the columns from ``first`` on."""
        weight, act = self.params.weight_format, self.params.act_format
        largest = max(-how.low, how.high) * sum(1 << how.stride * c for c in range(how.columns))
        count = lanes[1] - lanes[0]
        packed = BitHeap(m, 1 + (count * largest).bit_length(), self.params.carry_chains)
        parities: list[list[Value]] = [[] for _ in heaps]
        for lane in range(*lanes):
            a = inputs["a"].word_select(lane, act.bits)
            weights = [
                inputs["w"].word_select((first + c) * self.params.lanes + lane, weight.bits)
                for c in range(how.columns)
            ]
            m.submodules[f"dsp{first}_{lane}"] = dsp = Dsp48()
            signed_act = value_range(act)[0] < 0
            m.d.comb += dsp.b.eq(a.as_signed() if signed_act else a)
            rest, signs = self._operands(weights, how.stride)
            m.d.comb += [dsp.d.eq(rest), dsp.a.eq(signs)]
            packed.add(dsp.p)
            for parity, w in zip(parities, weights, strict=True):
                parity.append(a[0] & w[0])
        self._apart(m, packed.total(), heaps, how, count, [Cat(p).xor() for p in parities])

    def _operands(self, weights: Sequence[Value], stride: int) -> tuple[Value, Value]:
        """Return two words whose difference is the sum of the weights in their places."""
        bits = self.params.weight_format.bits
        signed_weights = value_range(self.params.weight_format)[0] < 0
        own = bits - signed_weights
        rest = Cat(Cat(w[:own], Const(0, stride - own)) for w in weights)
        if not signed_weights:
            return rest, Const(0, 1)
        gap = Const(0, own)
        return rest, Cat(Cat(gap, w[-1], Const(0, stride - bits)) for w in weights)

    def _apart(
        self,
        m: Module,
        total: Value,
        heaps: Sequence[BitHeap],
        how: Packing,
        lanes: int,
        parities: Sequence[Value],
    ) -> None:
        """Add each field of ``total`` to its column: from the lowest, what it borrowed put back."""
        low, high, stride = lanes * how.low, lanes * how.high, how.stride
        for heap, parity in zip(heaps[:-1], parities[1:], strict=True):
            field = total[:stride]
            if how.overlap:
                field = Cat(field, total[stride] ^ parity)
            field = wire(m, field, "field")
            half = 1 << len(field) - 1
            plain = high < half and low >= -half
            sign = field[-1] if plain else field > high if low < 0 else Const(0, 1)
            negative = wire(m, sign, "negative")
            value = Cat(field, negative).as_signed()
            heap.add(value)
            carried = value[stride:].as_signed()
            upper = total[stride:].as_signed()
            total = wire(m, (upper - carried)[: len(upper)].as_signed(), "upper")
        heaps[-1].add(total)

# SPDX-License-Identifier: Apache-2.0
"""The datapath of dequantization, which the unit ``dequant`` and the PE in groups share."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.recode import booth_digits, multiple
from hw.arith.wires import wire
from hw.cell import Cell
from hw.quant.dequant_params import DequantParams
from hw.quant.fp32 import NAN, Fp32Add, rounded

__all__ = ["Dequantize", "sum_stages"]


class Dequantize(Cell):
    """Scale the groups of a beat and add them to a sum.

    Parameters
    ----------
    params : :class:`DequantParams`
    flagged : bool
        Whether there is an input ``bad``.
    sa_bits : int, optional
        Width of ``sa`` where it is less than that of ``p``.
    rows : int
        Sums that take turns: beat after beat belongs to the next of them.

    Members
    -------
    en : ``In(stages)``
        Bit k lets a beat into stage k; the last stage is the sum.
    clr : ``In(1)``
        With the top bit of ``en``: this beat starts a new sum.
    p, s, t, z, sa : ``In``
        As the fields of :class:`Dequant`.
    bad : ``In(1)``
        Something in the beat was not finite.
    y : ``Out(32)`` or ``Out(signed)``
    nan : ``Out(1)``
        Of exact sums where something may be not finite.

    Timing
    ------
    One beat a cycle. The sum of floats is one adder that feeds itself, from a register to the same
    register in a cycle: compare, align, add, normalise, round. It bounds the clock.
    """

    def __init__(
        self,
        params: DequantParams,
        flagged: bool = False,
        sa_bits: int | None = None,
        rows: int = 1,
    ):
        self.params, self.flagged, self.rows = params, flagged, rows
        self.shapes = params.group_shapes
        if params.zero_point and sa_bits is not None:
            self.shapes["sa"] = sa_bits
        self.exact = params.mode == "exact"
        levels = (params.blocks - 1).bit_length() if params.mode == "fp32-tree" else 0
        self.stages = 2 if self.exact else 3 + levels
        self.marks = flagged or any(s.nonfinite for s in params.scales)
        members = {"en": In(self.stages), "clr": In(1)}
        members |= {name: In(bits * params.blocks) for name, bits in self.shapes.items()}
        if flagged:
            members["bad"] = In(1)
        members["y"] = Out(params.y_shape)
        if self.exact and self.marks:
            members["nan"] = Out(1)
        words = [f"dequant_a{params.acc_bits}_l{params.lam}_{params.scale}_{params.act_scale}"]
        words += [params.mode, f"b{params.blocks}", f"w{params.y_shape.width}", params.target]
        words += [f"z{self.shapes['sa']}"] if params.zero_point else []
        words += ["bad"] if flagged else []
        words += [f"r{rows}"] if rows > 1 else []
        self.label = "_".join(words).replace("-", "m").lower()
        super().__init__(members)

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        bad = self.bad if self.flagged else Const(0, 1)
        groups = []
        for block in range(params.blocks):
            fields = {
                name: getattr(self, name).word_select(block, bits)
                for name, bits in self.shapes.items()
            }
            groups.append(self._group(m, fields, bad))
        if self.exact:
            self._exact_sum(m, groups)
        else:
            self._float_sum(m, groups)
        return m

    def _held(self, m: Module, value: Value, stage: int) -> Value:
        """Return ``value`` as it was when the beat entered ``stage``; constants as they are."""
        if isinstance(value, Const):
            return value
        held = Signal(value.shape(), reset_less=True, name=f"stage{stage}")
        with m.If(self.en[stage]):
            m.d.sync += held.eq(value)
        return held

    def _group(self, m: Module, fields: dict[str, Value], bad: Value) -> "_Product":
        """Return a group's integer times the significands of its scales, registered."""
        params = self.params
        p: Value = wire(m, fields["p"].as_signed(), "p")
        if params.zero_point:
            # z * sa, negated by negating the digits of z.
            heap = BitHeap(m, params.max_group.bit_length() + 1, params.target == "fpga")
            heap.add(p)
            minus_z = wire(m, (-fields["z"].as_signed())[:9].as_signed(), "minus_z")
            self._multiply(m, heap, fields["sa"].as_signed(), minus_z)
            p = heap.total()
        codes = [fields[name] for name in ("s", "t") if name in fields]
        scales = [
            s.decode(m, code, signed_integers=self.exact)
            for s, code in zip(params.scales, codes, strict=True)
        ]
        negative = wire(m, Cat(s.negative for s in scales).xor(), "negative")
        significand = scales[0].significand
        bound = params.scales[0].max_significand
        if len(scales) > 1:
            significand = wire(m, significand * scales[1].significand, "significand")
            bound *= params.scales[1].max_significand
        field = wire(m, sum((s.field for s in scales[1:]), scales[0].field), "field")
        nan = wire(m, Cat(bad, *(s.nan for s in scales)).any(), "nan")
        inf = wire(m, Cat(s.inf for s in scales).any(), "inf")
        if self.exact:
            lost = wire(m, Cat(inf, *(s.nan for s in scales)).any(), "lost")
            nan, inf = wire(m, nan | lost, "nan"), Const(0, 1)
            bits = (params.max_group * bound).bit_length() + 1
            word: Value = wire(m, (Cat(p) & (~lost).replicate(len(p))).as_signed(), "finite")
        else:
            # With inf: a zero anywhere makes a NaN of it.
            sign = wire(m, p[-1], "sign")
            word = wire(m, (Cat(p) ^ sign.replicate(len(p))) + sign, "absolute")
            negative = negative ^ sign
            zeros = [~p.any(), *(~s.significand.any() & ~s.inf for s in scales)]
            nan = nan | (inf & Cat(zeros).any())
            word = word[: params.max_group.bit_length()]
            bits = (params.max_group * bound).bit_length()
        if bound > 1:
            heap = BitHeap(m, bits, params.target == "fpga")
            self._multiply(m, heap, word, significand)
            word = heap.total() if self.exact else Cat(heap.total())
        held = [self._held(m, v, 0) for v in (wire(m, word, "product"), field, negative, nan, inf)]
        return _Product(*held)

    def _multiply(self, m: Module, heap: BitHeap, word: Value, by: Value) -> None:
        if self.params.target == "fpga":
            heap.add(word * by)
            return
        word = wire(m, word, "multiplicand")
        for digit in booth_digits(m, by):
            row, carry = multiple(digit, word)
            heap.add(row, digit.weight, carry)

    # -- exact ------------------------------------------------------------------------------------

    def _exact_sum(self, m: Module, groups: list["_Product"]) -> None:
        params = self.params
        least = sum(s.fields[0] for s in params.scales)
        width = params.exact_bits
        heap = BitHeap(m, width, params.target == "fpga")
        for group in groups:
            word = group.word
            if not isinstance(group.field, Const):
                places = wire(m, group.field - least, "places")
                word = wire(m, (word << places[: len(group.field)])[:width].as_signed(), "placed")
            flip = group.negative
            if any(s.name == "fp16" for s in params.scales):
                heap.add((Cat(word) ^ flip.replicate(len(word))).as_signed(), carry=flip)
            else:
                heap.add(word)
        before = self._before(m, self.y)
        heap.add((Cat(before) & (~self.clr).replicate(width)).as_signed())
        total = heap.total()
        with m.If(self.en[-1]):
            m.d.sync += self.y.eq(total)
            if self.marks:
                nan = Cat(group.nan for group in groups).any()
                m.d.sync += self.nan.eq((self._before(m, self.nan) & ~self.clr) | nan)

    def _before(self, m: Module, newest: Value) -> Value:
        """Return the sum that a beat belongs to, which is the oldest of all."""
        for turn in range(1, self.rows):
            older = Signal.like(newest, name=f"turn{turn}", reset_less=True)
            with m.If(self.en[-1]):
                m.d.sync += older.eq(newest)
            newest = older
        return newest

    # -- binary32 ---------------------------------------------------------------------------------

    def _float_sum(self, m: Module, groups: list["_Product"]) -> None:
        params = self.params
        low, high = params.exponents
        codes = []
        for group in groups:
            code = rounded(m, group.word, group.field, params.offset, low, high)
            special = Mux(group.nan, NAN, Cat(Const(0xFF << 23, 31), group.negative))
            code = Mux(group.nan | group.inf, special, Cat(code, group.negative))
            codes.append(self._held(m, wire(m, code[:32], "code"), 1))
        subnormals = low < -126
        stage = 2
        while params.mode == "fp32-tree" and len(codes) > 1:
            pairs = zip(codes[::2], codes[1::2], strict=True)
            codes = [self._held(m, self._add(m, a, b, subnormals), stage) for a, b in pairs]
            stage += 1
        before = self._before(m, self.y)
        total: Value = wire(m, before & (~self.clr).replicate(32), "before")
        for code in codes:
            total = self._add(m, total, code, subnormals)
        with m.If(self.en[-1]):
            m.d.sync += self.y.eq(total)

    def _add(self, m: Module, a: Value, b: Value, subnormals: bool) -> Value:
        adder = Fp32Add(subnormals)
        m.submodules += adder
        m.d.comb += [adder.a.eq(a), adder.b.eq(b)]
        return adder.y


@dataclass(frozen=True)
class _Product:
    """``(-1)**negative * word * 2**(field + offset)``, or NaN, or infinite."""

    word: Value
    field: Value
    negative: Value
    nan: Value
    inf: Value


def sum_stages(
    m: Module, cell: Dequantize, moving: Value, valid: Value, last: Value, o: Any
) -> None:
    """Let beats through the stages of ``cell`` while ``moving``; offer its sums on ``o``."""
    first = Signal(init=1)
    for stage in range(cell.stages - 1):
        m.d.comb += cell.en[stage].eq(moving & valid)
        later_valid = Signal(name=f"group_valid{stage}")
        later_last = Signal(name=f"group_last{stage}", reset_less=True)
        with m.If(moving):
            m.d.sync += [later_valid.eq(valid), later_last.eq(last)]
        valid, last = later_valid, later_last
    m.d.comb += [cell.en[-1].eq(moving & valid), cell.clr.eq(first), o.payload.y.eq(cell.y)]
    if cell.exact and cell.marks:
        m.d.comb += o.payload.nan.eq(cell.nan)
    with m.If(moving):
        m.d.sync += o.valid.eq(valid & last)
        with m.If(valid):
            m.d.sync += first.eq(last)

# SPDX-License-Identifier: Apache-2.0
"""Datapath of the bit-serial processing element with an exact accumulator."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.wires import wire
from hw.cell import Cell
from hw.pe.bit_serial_terms import MOST, STEPS, Special, special, term_of
from hw.pe.decode import Operand, decode, label_of
from hw.pe.params import PEParams
from hw.pe.product import add_product
from hw.spec.formats import FloatFormat

__all__ = ["BitSerialExact", "exact_width", "operand_members", "operands", "sticky_flags"]


def exact_width(params: PEParams) -> int:
    """Bits of the accumulator: those of ``max_k`` products with any special values."""
    largest = params.weight_format.max_int
    if isinstance(params.weight_format, FloatFormat):
        largest = MOST
    products = largest * _act_max(params) * params.max_k
    return max(params.acc_bits or 0, 1 + products.bit_length())


def _act_max(params: PEParams) -> int:
    return params.max_product // params.weight_format.max_int


def operand_members(params: PEParams) -> dict[str, Any]:
    """Return the members that every datapath has: controls, codes and flags."""
    weight, act = params.weight_format, params.act_format
    members: dict[str, Any] = {
        "en": In(1),
        "clr": In(1),
        "step": In((STEPS[weight.name] - 1).bit_length()),
        "a": In(params.lanes * act.bits),
        "w": In(params.lanes * weight.bits),
    }
    if isinstance(weight, FloatFormat):
        members |= {"sel": In(2), "sv": In(24), "bad": Out(1)}
    if params.has_nan:
        members["nan"] = Out(1)
    return members


def operands(m: Module, params: PEParams, cell: Any) -> list[tuple[Any, Operand]]:
    """Return (term, activation) of every lane in the cell's step, and keep its flags."""
    weight, act = params.weight_format, params.act_format
    chosen: Special | None = None
    bad: Value = Const(0, 1)
    if isinstance(weight, FloatFormat):
        chosen = special(m, cell.sv, cell.sel, cell.step)
        minus_zero = [w == 1 << weight.bits - 1 for w in _codes(cell.w, weight.bits)]
        bad = Cat(minus_zero).any() & chosen.bad
    lanes = []
    for lane, (a, w) in enumerate(
        zip(_codes(cell.a, act.bits), _codes(cell.w, weight.bits), strict=True)
    ):
        operand = decode(m, f"decode_a{lane}", act, a, params.act_window)
        lanes.append((term_of(m, weight, w, cell.step, chosen), operand))
    flags = [o.nan for _, o in lanes if o.nan is not None]
    sticky_flags(m, cell, {"nan": Cat(flags).any(), "bad": bad})
    return lanes


def _codes(word: Value, bits: int) -> list[Value]:
    return [word[k : k + bits] for k in range(0, len(word), bits)]


def sticky_flags(m: Module, cell: Any, flags: dict[str, Value]) -> None:
    """Let each flag that the cell has stay set until ``clr``."""
    for name, flag in flags.items():
        if name in cell.signature.members:
            kept = getattr(cell, name)
            with m.If(cell.en):
                m.d.sync += kept.eq(kept & ~cell.clr | flag)


class BitSerialExact(Cell):
    """Add one term of every weight, times its activation, to an exact sum.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`

    Members
    -------
    en : ``In(1)``
        Take this step.
    clr : ``In(1)``
        With ``en``: this step starts a new sum.
    step : ``In``
        Number of the term, see :func:`~hw.pe.bit_serial_terms.term_of`.
    a, w : ``In``
        Codes, lane 0 in the low bits, the same in every step of a beat.
    sel, sv : ``In(2)``, ``In(24)``
        Choice and values of the special values; float weights only.
    total : ``Out(signed)``
        The sum with this step.
    acc : ``Out(signed)``
        The sum so far, exact, in units of the formats, half units for float weights.
    nan, bad : ``Out(1)``
        Since ``clr`` an activation was non-finite, or a special value had more than two terms.

    Timing
    ------
    ``acc`` and the flags hold a step one cycle after it.
    """

    def __init__(self, params: PEParams):
        self.params = params
        self.width = width = exact_width(params)
        window = params.act_window
        span = f"_w{window.low}_{window.high}".replace("-", "m") if window else ""
        formats = f"{label_of(params.weight_format)}_{label_of(params.act_format)}"
        chains = "_chains" if params.carry_chains else ""
        self.label = f"bit_serial_{formats}{span}_l{params.lanes}_c{width}{chains}"
        results = {"total": Out(signed(width)), "acc": Out(signed(width))}
        super().__init__({**operand_members(params), **results})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        lanes = operands(m, params, self)
        reach = (1 << (1 << len(lanes[0][0].exp)) - 1) * _act_max(params)
        heap = BitHeap(m, (reach * params.lanes).bit_length() + 1, params.carry_chains)
        for term, act in lanes:
            bits = Cat(act.significand) & term.present.replicate(len(act.significand))
            word = bits.as_signed() if act.significand.shape().signed else bits
            shifted = wire(m, word << term.exp, "term")
            negative = term.negative if act.negative is None else term.negative ^ act.negative
            row = Operand(shifted, act.shift, negative, fraction=act.fraction, top=act.top)
            add_product(m, heap, Operand(Const(1, 1)), row, "shift-add", reach)
        beat = heap.total()
        if isinstance(params.weight_format, FloatFormat):
            placed = Mux(self.step, beat, beat << 1)
        else:
            placed = beat << Cat(Const(0, 1), self.step)
        kept = self.acc & (~self.clr).replicate(self.width)
        m.d.comb += self.total.eq(kept.as_signed() + wire(m, placed, "placed"))
        with m.If(self.en):
            m.d.sync += self.acc.eq(self.total)
        return m

# SPDX-License-Identifier: Apache-2.0
"""A column of accumulators for which only the digits that are not 0 take a cycle."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from hw.arith.recode import Digit, multiple
from hw.arith.segments import CutAccumulator
from hw.arith.wires import wire
from hw.cell import Cell
from hw.pe.decode import decode, label_of
from hw.pe.params import PEParams

__all__ = ["LANES", "SparseColumn", "as_signed", "extended", "lowest"]

LANES = 4  #: Activations whose digits of one weight share a sparse encoder.


def lowest(m: Module, left: Value) -> Value:
    """Return ``left`` with its lowest 1 alone."""
    below = [Const(0, 1), *(wire(m, left[: k + 1].any(), "below") for k in range(len(left) - 1))]
    return wire(m, Cat(bit & ~taken for bit, taken in zip(left, below, strict=True)), "pick")


def as_signed(value: Value) -> Value:
    """Return ``value`` in a signed shape that holds it."""
    return value if value.shape().signed else Cat(value, Const(0, 1)).as_signed()


def extended(value: Value, width: int) -> Value:
    """Return the signed ``value`` modulo ``2**width``."""
    value = Cat(value, value[-1].replicate(max(0, width - len(value))))
    return value[:width]


class SparseColumn(Cell):
    """The column of OPT4C: one sparse encoder, and an accumulator for each of several weights.

    One pass is over the digits of one weight of four activations at a time; where they stand is for
    the user to weigh: the sum is that of ``digit * weight``.

    Parameters
    ----------
    params : :class:`~hw.pe.params.PEParams`
        ``columns`` accumulators of ``acc_width`` bits.

    Members
    -------
    start : ``In(1)``
        Takes the four digits of ``code`` and ``sign``. Allowed while ``ready``.
    clr : ``In(1)``
        With ``start``: these digits start a new sum.
    code : ``In(8)``
        Digits of magnitudes, two bits each, lane 0 in the low bits: 0, 1, 2 and, as 3, -1.
    sign : ``In(4)``
        The activation of the lane is negative, and its digit is to be negated.
    ready : ``Out(1)``
        No digit is left after this cycle. Four zeros take one cycle like a single digit.
    position : ``Out(2)``
        The lane whose digit is next: its weights belong on ``w`` in the cycle that follows.
    w : ``In(columns * weight bits)``
        One weight for each column, column 0 in the low bits.
    acc_sum, acc_carry : ``Out(columns * acc_width)``
        For each column two words whose sum modulo ``2**acc_width`` is the accumulated sum.

    Timing
    ------
    A digit is named by ``position`` in the cycle after ``start`` at the earliest, and in the words
    three cycles later.
    """

    latency = 4
    beats_per_cycle = 1 / LANES

    def __init__(self, params: PEParams):
        self.params = params
        bits, width, columns = params.weight_format.bits, params.acc_width, params.columns
        self.label = (
            f"sparse_column_{label_of(params.weight_format)}_n{columns}_c{width}"
            f"{'_chains' if params.carry_chains else ''}"
        )
        lanes = {"lanes": columns}
        self.number_formats = {
            "w": {"format": params.weight_format.name} | lanes,
            **{name: {"format": f"uint{width}"} | lanes for name in ("acc_sum", "acc_carry")},
        }
        self.contract = {
            "lam": 0,
            "acc_bits": width,
            "max_k": params.max_k,
            "redundant": {"acc": ["acc_sum", "acc_carry"]},
        }
        members = {"start": In(1), "clr": In(1), "code": In(2 * LANES), "sign": In(LANES)}
        members |= {"ready": Out(1), "position": Out(2), "w": In(columns * bits)}
        members |= {name: Out(columns * width) for name in ("acc_sum", "acc_carry")}
        super().__init__(members)

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        digit, clear = self._encoder(m)
        width, bits = params.acc_width, params.weight_format.bits
        places = list(range(0, width, 8 if params.carry_chains else 4))
        keep = wire(m, ~clear, "keep")
        carry = Signal(reset_less=True)
        m.d.sync += carry.eq(digit.negative)
        for column in range(params.columns):
            code = self.w.word_select(column, bits)
            weight = as_signed(decode(m, "", params.weight_format, code, None).significand)
            product, _ = multiple(digit, weight)
            row = Signal(product.shape(), reset_less=True)
            accumulator = CutAccumulator(m, width, places, params.carry_chains)
            second = extended(row, width)
            m.d.sync += row.eq(product)
            m.d.sync += accumulator.step(second, accumulator.kept(keep), keep, carry)
            m.d.comb += [
                self.acc_sum.word_select(column, width).eq(accumulator.word),
                self.acc_carry.word_select(column, width).eq(accumulator.carries),
            ]
        return m

    def _encoder(self, m: Module) -> tuple[Digit, Value]:
        """Return the digit for the weights on ``w``, and whether the row before it clears."""
        low, high = self.code[::2], self.code[1::2]
        left = Signal(LANES)
        two, negative = Signal(LANES, reset_less=True), Signal(LANES, reset_less=True)
        pick = lowest(m, left)
        rest = wire(m, left & ~pick, "rest")
        m.d.comb += [
            self.ready.eq(~rest.any()),
            self.position.eq(Cat(pick[1] | pick[3], pick[2] | pick[3])),
        ]
        m.d.sync += left.eq(Mux(self.start, low | high, rest))
        with m.If(self.start):
            m.d.sync += [two.eq(high & ~low), negative.eq(self.sign ^ (low & high))]
        chosen = [Signal(name=n, reset_less=True) for n in ("one", "two", "negative")]
        m.d.sync += [
            chosen[0].eq((pick & ~two).any()),
            chosen[1].eq((pick & two).any()),
            chosen[2].eq((pick & negative).any()),
        ]
        clear = self.start & self.clr
        for stage in range(3):
            later = Signal(name=f"clear{stage}", reset_less=True)
            m.d.sync += later.eq(clear)
            clear = later
        return Digit(0, *chosen), clear

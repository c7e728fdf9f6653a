# SPDX-License-Identifier: Apache-2.0
"""Dyadic requantization: an accumulator times an integer, shifted right, rounded, saturated."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.constants import add_multiple
from hw.arith.recode import booth_digits, multiple
from hw.arith.saturating import shift_left_saturating, shift_right
from hw.arith.wires import wire
from hw.cell import Cell
from hw.quant.requant_params import SCHEMES, RequantParams
from hw.quant.staged import Staged

__all__ = ["Requantize", "build"]

#: How each scheme rounds its last shift.
_ROUNDS = {"gemmlowp": "rha", "tflite": "rhu", "ibert": "rne", "rbe": "floor"}


class Requantize(Cell):
    """Accumulators to small integers.

    Parameters
    ----------
    params : :class:`RequantParams`
        ``pipeline`` 1 registers the products, 2 also what was shifted, 3 also the inside of the
        multipliers (on FPGAs the operands instead).

    Members
    -------
    x : ``In(lanes * in_bits)``
        Accumulators, lane 0 in the low bits.
    m : ``In(mult_bits)``
        Multiplier, signed; for ``rbe`` unsigned. Absent where constant.
    s : ``In``
        Shift: 6 bits; for ``gemmlowp`` and ``tflite`` 7 bits, signed. Absent where constant.
    z : ``In(signed(out bits + 1))``
        Zero point. Present where asked for.
    add : ``In(signed(32))``
        What ``rbe`` adds to the product.
    en : ``In(pipeline)``
        Bit k lets the beat into stage k.
    y : ``Out(lanes * out bits)``

    Timing
    ------
    Combinational but for the stages.
    """

    def __init__(self, params: RequantParams):
        self.params = params
        self.latency = params.pipeline
        constants = (("k", params.multiplier), ("s", params.shift))
        words = [
            *(f"{key}{value}".replace("-", "m") for key, value in constants if value is not None),
            *(["z"] if params.zero_point else []),
            *([f"p{params.pipeline}"] if params.pipeline else []),
        ]
        self.label = "_".join(
            [f"requant_{params.scheme}_i{params.in_bits}_m{params.multiplier_shape.width}",
             f"{params.out}_l{params.lanes}_{params.target}", *words]
        )  # fmt: skip
        members = {"x": In(params.lanes * params.in_bits)}
        members |= {name: In(shape) for name, shape in params.inputs.items()}
        members |= {"y": Out(_lanes_shape(params))}
        if params.pipeline:
            members["en"] = In(params.pipeline)
        super().__init__(members)

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        lanes = [self.x.word_select(k, params.in_bits).as_signed() for k in range(params.lanes)]
        shared = self._shift_amounts(m)
        results = [self._lane(m, x, *shared) for x in lanes]
        m.d.comb += self.y.eq(Cat(results))
        return m

    # -- what the lanes share ---------------------------------------------------------------------

    def _shift_amounts(self, m: Module) -> tuple[Value | int, Value | int]:
        """Return how far to shift left before the product and right after it."""
        scheme, (least, most) = self.params.scheme, self.params.shift_range
        if self.params.shift is not None:
            s = self.params.shift
            if scheme == "gemmlowp":
                return max(0, -s), max(0, s)
            return 0, min(31 - s if scheme == "tflite" else s, self._farthest)
        port = self.s
        if scheme == "gemmlowp":
            left = wire(m, Mux(port < 0, Mux(port < least, -least, -port), 0)[:5], "left")
            right = wire(m, Mux(port < 0, 0, Mux(port > most, most, port))[:5], "right")
            return left, right
        amount = port
        if scheme == "tflite":
            amount = wire(m, 31 - Mux(port > most, most, Mux(port < least, least, port)), "t")
        bits = self._farthest.bit_length()
        return 0, wire(m, Mux(amount > self._farthest, self._farthest, amount)[:bits], "right")

    @property
    def _farthest(self) -> int:
        """Shift beyond which results no longer change."""
        return min(63, self._product_bits + 1)

    @property
    def _product_bits(self) -> int:
        params = self.params
        if params.multiplier is None:
            bits = params.in_bits + params.multiplier_shape.width
        else:
            bits = params.in_bits + abs(params.multiplier).bit_length() + 1
        return max(bits, 33) + 1 if params.scheme == "rbe" else bits

    # -- one lane ---------------------------------------------------------------------------------

    def _lane(self, m: Module, x: Value, left: Value | int, right: Value | int) -> Value:
        params = self.params
        cuts = {3: (0, 1, 2), 2: (None, 0, 1), 1: (None, 0, None)}.get(params.pipeline, ())
        inner, after, late = cuts or (None, None, None)
        later = _Later(m, self)
        if params.scheme == "gemmlowp":
            return self._gemmlowp(m, later, x, left, right, (inner, after, late))
        operand = self.m if params.multiplier is None else Const(params.multiplier)
        negative = _negative(x, operand)
        rounding = _ROUNDS.get(params.scheme, params.scheme)
        extra = _half(m, right, self._farthest, rounding, negative)
        width = max(self._product_bits, self._farthest + 1) + 1
        if params.scheme == "rbe":
            extra.append(self.add)
        total = self._product(m, later, x, width, extra, inner)
        total, right = later(total, after), later(later(right, inner), after)
        result = shift_right(m, total, right, params.out_format.bits + 2)
        word = result.word
        if rounding == "rne":
            tie = ~result.lost & (Const(right > 0) if isinstance(right, int) else right.any())
            word = Cat(word[0] & ~tie, word[1:]).as_signed()
        parts = [later(v, late) for v in (word, result.overflow, result.negative)]
        return self._saturated(m, parts, self._zero(later, (inner, after, late)))

    def _gemmlowp(
        self, m: Module, later: "_Later", x: Value, left: Value | int, right: Value | int,
        cuts: tuple[int | None, int | None, int | None],
    ) -> Value:  # fmt: skip
        inner, after, late = cuts
        params = self.params
        x = wire(m, x, "x32")
        if isinstance(left, int):
            left = Const(left, 5)
        wide = Signal(signed(32), name="widened")
        m.d.comb += wide.eq(x)
        raised = shift_left_saturating(m, wide, left)
        operand = self.m if params.multiplier is None else Const(params.multiplier)
        negative = _negative(raised, operand)
        half = Const(1 << 30, signed(32))
        total = self._product(m, later, raised, 65, [half], inner)
        total = later(total, after)
        right, negative = (later(later(value, inner), after) for value in (right, negative))
        high = wire(m, total[31:64].as_signed(), "high")
        # Only the product of the two most negative numbers exceeds 32 bits.
        exceeds = ~high[-1] & high[-2]
        high = wire(m, Mux(exceeds, (1 << 31) - 1, high[:32].as_signed()).as_signed(), "doubled")
        heap = BitHeap(m, 33, params.target == "fpga")
        for row in (high, *_half(m, right, 31, "rha", wire(m, negative, "negative"))):
            heap.add(row)
        result = shift_right(m, heap.total(), right, params.out_format.bits + 2)
        parts = [later(v, late) for v in (result.word, result.overflow, result.negative)]
        return self._saturated(m, parts, self._zero(later, cuts))

    def _product(
        self, m: Module, later: "_Later", x: Value, width: int, extra: list[Value],
        cut: int | None,
    ) -> Value:  # fmt: skip
        """Return the product plus ``extra``, cut inside if asked for."""
        params = self.params
        x = wire(m, x, "multiplicand")
        fpga = params.target == "fpga"
        if fpga:
            x, extra = later(x, cut), [later(value, cut) for value in extra]
        heap = BitHeap(m, width, fpga)
        for value in extra:
            heap.add(value)
        if params.multiplier is not None:
            add_multiple(m, heap, x, params.multiplier)
        elif fpga:
            heap.add(x * later(self.m, cut))
        else:
            for digit in booth_digits(m, self.m):
                row, carry = multiple(digit, x)
                heap.add(row, digit.weight, carry)
        if cut is None or fpga:
            return heap.total()
        words = [later(word, cut) for word in heap.compress()]
        return wire(m, (words[0] + words[1])[:width].as_signed(), "total")

    def _zero(self, later: "_Later", cuts: tuple[int | None, ...]) -> Value | None:
        if not self.params.zero_point:
            return None
        zero: Value = self.z
        for cut in cuts:
            zero = later(zero, cut)
        return zero

    def _saturated(self, m: Module, parts: list[Value], zero: Value | None) -> Value:
        """Return the sum of a word and the zero point, held to the range of the output."""
        word, overflow, negative = parts
        fmt = self.params.out_format
        bits = fmt.bits
        word = wire(m, word, "small")
        extreme = Cat((~negative).replicate(bits + 1), negative).as_signed()
        word = wire(m, Mux(overflow, extreme, word).as_signed(), "clipped")
        if zero is not None:
            word = wire(m, word + zero, "shifted_zero")
        low = Const(-1 << bits - 1 if fmt.signed else 0, signed(bits + 1))
        high = Const((1 << bits - 1) - 1 if fmt.signed else (1 << bits) - 1, signed(bits + 1))
        top = word[bits - 1 if fmt.signed else bits :]
        fits = top.all() | ~top.any() if fmt.signed else ~top.any()
        held = Mux(fits, word[:bits], Mux(word[-1], low[:bits], high[:bits]))
        return wire(m, held[:bits], "held")


class _Later:
    """Registers of the stages of a cell; those of values that are equal are shared."""

    def __init__(self, m: Module, cell: Requantize):
        self._m, self._cell = m, cell

    def __call__(self, value: Any, stage: int | None) -> Any:
        """Return ``value`` as it was when the beat entered ``stage``; constants as they are."""
        if stage is None or isinstance(value, int | Const):
            return value
        held = Signal(value.shape(), reset_less=True, name=f"stage{stage}")
        with self._m.If(self._cell.en[stage]):
            self._m.d.sync += held.eq(value)
        return held


def _negative(x: Value, operand: Value) -> Value:
    """Return whether a product may be negative; it may not be told from 0."""
    return x[-1] ^ operand[-1] if operand.shape().signed else x[-1]


def _half(m: Module, amount: Value | int, most: int, rounding: str, negative: Value) -> list[Value]:
    """Return what rounds a number when it is added before a shift: half of ``2**amount``.

    For ``rha`` negative numbers take a unit less, so that a half of them is not carried up.
    """
    if rounding == "floor" or (isinstance(amount, int) and amount == 0):
        return []
    if isinstance(amount, int):
        rows: list[Value] = [Const(1 << amount - 1, signed(amount + 1))]
        less = negative
    else:
        rows = [wire(m, Cat(*(amount == k + 1 for k in range(most))), "half")]
        less = negative & amount.any()
    return [*rows, wire(m, less, "less").as_signed()] if rounding == "rha" else rows


def _lanes_shape(params: RequantParams) -> Shape:
    width = params.lanes * params.out_format.bits
    return signed(width) if params.out_format.signed else unsigned(width)


def build(params: RequantParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    cell = Requantize(params)
    component: Any = cell
    if params.core == "stream":
        beat = {"x": unsigned(params.lanes * params.in_bits), **params.inputs}
        component = Staged(cell, beat, {"y": _lanes_shape(params)}, params.pipeline)
    stem = {"stream": ("i_", "o_"), "cell": ("", "")}[params.core]
    least, most = params.shift_range
    component.number_formats = {
        f"{stem[0]}x": {"format": f"int{params.in_bits}", "lanes": params.lanes},
        f"{stem[1]}y": {"format": params.out, "lanes": params.lanes},
    }
    component.contract = {
        "formula": SCHEMES[params.scheme],
        "shift_range": [least, most],
        "multiplier_bits": params.multiplier_shape.width,
    }
    component.notes = (f"{params.scheme}: {SCHEMES[params.scheme]}",)
    return component

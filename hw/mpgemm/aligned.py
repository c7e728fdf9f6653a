# SPDX-License-Identifier: Apache-2.0
"""Activations of any format as exact integers with a common binary point, for tables of sums."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from amaranth.hdl import Cat, Const, Module, Value, signed, unsigned
from amaranth.lib.wiring import In, Out

from hw.arith.recode import lookup
from hw.arith.select import lines, shifted
from hw.arith.wires import wire
from hw.cell import Cell
from hw.pe.decode import Window, decode, label_of
from hw.pe.values import values_of
from hw.spec.formats import FloatFormat, Format, IntFormat

__all__ = ["Activation", "Aligner", "aligned"]

#: Most bits of a code that is looked up, and most places of a shift that is selected one-hot.
_LOOKED_UP, _PLACES = 5, 5


@dataclass(frozen=True)
class Activation:
    """The integers that the codes of a format stand for, in units of ``2**lam``.

    A code that is not finite, or that a window does not hold, counts as zero and sets a flag.
    """

    fmt: Format
    window: Window | None = None  #: Fixed-point view of a float format.

    @property
    def code_bits(self) -> int:
        """Bits of a code."""
        return self.fmt.bits

    @property
    def plain(self) -> bool:
        """Whether codes are the integers."""
        return isinstance(self.fmt, IntFormat) and self.fmt.encoding in ("twos", "unsigned")

    @property
    def lam(self) -> int:
        """Exponent of the unit."""
        return self.window.low if self.window else self.fmt.lam

    @cached_property
    def _bounds(self) -> tuple[int, int]:
        fmt = self.fmt
        if isinstance(fmt, IntFormat) and self.plain:
            top = 1 << fmt.bits - fmt.signed
            return -top * fmt.signed, top - 1
        if self.window:
            return -self.most * fmt.signed, self.most
        values = [value for value in values_of(fmt) if value is not None]
        return min(values), max(values)

    @property
    def low(self) -> int:
        """Least integer."""
        return self._bounds[0]

    @property
    def high(self) -> int:
        """Greatest integer."""
        return self._bounds[1]

    @property
    def most(self) -> int:
        """Largest magnitude of a legal code."""
        if self.window and isinstance(self.fmt, FloatFormat):
            return self.window.max_int(self.fmt)
        return self.fmt.max_int

    @property
    def signed(self) -> bool:
        """Whether there are negative ones."""
        return self.low < 0

    @property
    def bits(self) -> int:
        """Bits of an integer."""
        low = (-self.low - 1).bit_length() if self.signed else 0
        return max(low, self.high.bit_length(), 1 - self.signed) + self.signed

    @property
    def nan(self) -> bool:
        """Whether there are codes that set the flag."""
        return self.fmt.nonfinite or self.window is not None

    @cached_property
    def zero(self) -> int | None:
        """Least code of zero, None if there is none."""
        values = values_of(self.fmt)
        return values.index(0) if 0 in values else None

    @property
    def window_text(self) -> str | None:
        """The window as an option, None without."""
        return f"{self.window.low}:{self.window.high}" if self.window else None

    @property
    def name(self) -> str:
        """What it is, as part of a Verilog identifier."""
        view = f"_w{self.window.low}_{self.window.high}".replace("-", "m") if self.window else ""
        return f"{label_of(self.fmt)}{view}"


class Aligner(Cell):
    """A code to its integer.

    Parameters
    ----------
    act : Activation

    Members
    -------
    code : ``In(act.code_bits)``
    word : ``Out(act.bits)``
        Signed where there are negative integers.
    nan : ``Out(1)``
        The code is not finite, or not in the window; then ``word`` is 0. Present where that occurs.

    Timing
    ------
    Combinational.
    """

    def __init__(self, act: Activation):
        self.act = act
        self.label = f"aligned_{act.name}"
        shape = signed(act.bits) if act.signed else unsigned(act.bits)
        members: dict[str, Any] = {"code": In(act.code_bits), "word": Out(shape)}
        if act.nan:
            members["nan"] = Out(1)
        super().__init__(members)

    def body(self, platform: Any) -> Module:
        m, act = Module(), self.act
        if act.code_bits <= _LOOKED_UP and act.window is None:
            values = values_of(act.fmt)
            words = [(value or 0) % (1 << act.bits) for value in values]
            m.d.comb += self.word.eq(lookup(words, self.code, act.bits))
            if act.nan:
                m.d.comb += self.nan.eq(lookup([value is None for value in values], self.code))
            return m
        found = decode(m, "decoder", act.fmt, self.code, act.window)
        word: Value = found.significand
        if found.shift is not None:
            word = wire(m, word, "significand")
            if found.top < _PLACES:
                word = shifted(word, lines(m, found.shift, found.top))
            else:
                word = word << found.shift
            word = word[found.fraction :]
        if found.negative is not None:
            word = wire(m, Cat(word, Const(0, act.bits))[: act.bits], "magnitude")
            word = (word ^ found.negative.replicate(act.bits)) + found.negative
        m.d.comb += self.word.eq(word)
        if act.nan:
            m.d.comb += self.nan.eq(found.nan)
        return m


def aligned(m: Module, act: Activation, codes: Value) -> tuple[Value, Value]:
    """Return the integers of codes that lie side by side, and whether a code is none."""
    if act.plain:
        return codes, Const(0, 1)
    words, nans = [], []
    for number in range(len(codes) // act.code_bits):
        m.submodules[f"aligned{number}"] = aligner = Aligner(act)
        m.d.comb += aligner.code.eq(codes.word_select(number, act.code_bits))
        words.append(aligner.word)
        if act.nan:
            nans.append(aligner.nan)
    nan = wire(m, Cat(*nans).any(), "not_finite") if nans else Const(0, 1)
    return wire(m, Cat(*words), "aligned"), nan

# SPDX-License-Identifier: Apache-2.0
"""From the code of a number to the integers that its arithmetic needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed, unsigned
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hw.arith.recode import lookup
from hw.arith.wires import wire
from hw.cell import Cell
from hw.spec.formats import (
    FloatFormat,
    Format,
    IntFormat,
    PositFormat,
    PowerFormat,
    TableFormat,
)

__all__ = ["Decoder", "Operand", "Window", "decode", "label_of"]


@dataclass(frozen=True)
class Window:
    """Fixed-point view of a float with an exponent: LSB ``2**low``, magnitudes below ``2**high``.

    A magnitude is truncated toward zero to a multiple of the LSB; one that reaches ``2**high``
    counts as non-finite. ``high`` must be above ``1 - bias``, so that no subnormal reaches it.
    """

    low: int
    high: int

    def max_int(self, fmt: FloatFormat) -> int:
        """Largest magnitude in units of ``2**low``."""
        spare = self.high - self.low - 1 - fmt.man_bits
        top = (2 << fmt.man_bits) - 1
        return top << spare if spare >= 0 else top >> -spare


@dataclass(frozen=True)
class Operand:
    """``value = (-1)**negative * significand * 2**(shift - fraction)`` in units of ``2**lam``.

    What a format has no need of is None; ``fraction`` low bits vanish exactly after the shift.
    """

    significand: Value
    shift: Value | None = None
    negative: Value | None = None
    nan: Value | None = None
    fraction: int = 0
    top: int = 0  #: Largest shift.


@dataclass(frozen=True)
class _Shape:
    """Widths of the fields that a format decodes to; 0 where there is no such field."""

    significand: int
    top: int  #: Largest shift.
    negative: bool
    nan: bool
    fraction: int = 0
    signed: bool = False

    @property
    def shift(self) -> int:
        return self.top.bit_length()


def label_of(fmt: Format) -> str:
    """Return the name of ``fmt`` as part of a Verilog identifier."""
    if fmt.name.startswith("codebook:") and isinstance(fmt, TableFormat):
        digits = "_".join(str(v).replace("-", "m") for v in fmt.table)
        unit = str(fmt.unit).replace("-", "m")
        if len(digits) <= 60:
            return f"codebook_{digits}_u{unit}"
        return f"codebook{len(fmt.table)}_{_fnv(digits):016x}_u{unit}"
    return fmt.name.replace("+", "p").replace("-", "m").replace(".", "d")


def _fnv(text: str) -> int:
    """FNV-1a, 64 bits: a short name for a long table that is the same everywhere."""
    state = 0xCBF29CE484222325
    for byte in text.encode():
        state = (state ^ byte) * 0x100000001B3 % 2**64
    return state


def posit_fields(fmt: PositFormat, code: int) -> tuple[bool, int, int]:
    """Return (negative, significand with its hidden bit, shift) of a posit code; NaR gives zero."""
    n, es = fmt.bits, fmt.es
    negative = bool(code >> n - 1)
    mag = (-code if negative else code) & (1 << n) - 1
    if mag == 0 or mag >> n - 1:
        return False, 0, 0
    text = f"{mag:0{n}b}"[1:]
    run = len(text) - len(text.lstrip(text[0]))
    rest = text[run + 1 :]
    exponent = int((rest[:es] + "0" * es)[:es] or "0", 2)
    spare = max(n - 3 - es, 0)
    fraction = int((rest[es:] + "0" * spare)[:spare] or "0", 2)
    regime = run - 1 if text[0] == "1" else -run
    return negative, (1 << spare) + fraction, (regime + n - 2 << es) + exponent


def table_of(fmt: Format) -> list[int] | None:
    """Return the integer of every code of a small format (None: it has no table worth having)."""
    if isinstance(fmt, TableFormat):
        return list(fmt.table)
    if isinstance(fmt, IntFormat) and fmt.encoding == "offset":
        return [code - 1 for code in range(1 << fmt.bits)]
    if isinstance(fmt, FloatFormat) and fmt.special is not None:
        half = 1 << fmt.bits - 1
        magnitudes = [
            code
            if code < 1 << fmt.man_bits
            else (code % (1 << fmt.man_bits) + (1 << fmt.man_bits)) << (code >> fmt.man_bits) - 1
            for code in range(half)
        ]
        return [*magnitudes, fmt.special, *(-v for v in magnitudes[1:])]
    if isinstance(fmt, PositFormat) and fmt.bits <= 5:
        spare = max(fmt.bits - 3 - fmt.es, 0)
        fields = [posit_fields(fmt, code) for code in range(1 << fmt.bits)]
        return [(-1) ** neg * ((sig << shift) >> spare) for neg, sig, shift in fields]
    return None


def _factored(table: Sequence[int]) -> tuple[list[int], list[int]] | None:
    """Return (odd parts, shifts) of the magnitudes, if that is the cheaper operand."""
    parts = [(abs(v), 0) if v == 0 else (abs(v) >> _twos(v), _twos(v)) for v in table]
    odd, full = max(p for p, _ in parts), max(map(abs, table))
    if len(table) > 32 or odd > 7 or odd.bit_length() + 1 >= full.bit_length():
        return None
    return [p for p, _ in parts], [s for _, s in parts]


def _twos(value: int) -> int:
    return (value & -value).bit_length() - 1


class Decoder(Cell):
    """Decode one code. Combinational.

    Parameters
    ----------
    fmt : :class:`~hw.spec.formats.Format`
    window : :class:`Window` or None
        Fixed-point view of a float format.

    Members
    -------
    code : ``In(fmt.bits)``
    significand : ``Out``
        Signed where the format decodes to a two's complement integer, else the magnitude.
    shift, negative, nan : ``Out``
        Present where the format needs them; see :class:`Operand`.

    Timing
    ------
    Combinational.
    """

    def __init__(self, fmt: Format, window: Window | None = None):
        self.fmt, self.window = fmt, window
        self.shape = shape = _shape(fmt, window)
        suffix = f"_w{window.low}_{window.high}".replace("-", "m") if window else ""
        self.label = f"decode_{label_of(fmt)}{suffix}"
        kind = signed if shape.signed else unsigned
        members: dict[str, Any] = {
            "code": In(fmt.bits),
            "significand": Out(kind(shape.significand)),
        }
        for name in ("shift", "negative", "nan"):
            if getattr(shape, name):
                members[name] = Out(int(getattr(shape, name)))
        super().__init__(members)

    @property
    def operand(self) -> Operand:
        """The outputs as an operand."""
        found = {n: getattr(self, n, None) for n in ("shift", "negative", "nan")}
        return Operand(self.significand, **found, fraction=self.shape.fraction, top=self.shape.top)

    def body(self, platform: Any) -> Module:
        m = Module()
        fields = _fields(m, self.fmt, self.code, self.window)
        for name, value in fields.items():
            if name in self.signature.members:
                m.d.comb += getattr(self, name).eq(value)
        return m


def _shape(fmt: Format, window: Window | None) -> _Shape:
    table = table_of(fmt)
    if table is not None:
        factored = _factored(table)
        if factored:
            odd, shifts = factored
            return _Shape(
                max(odd).bit_length(),
                max(shifts),
                min(table) < 0,
                fmt.nonfinite,
            )
        width = max(bits_for(v, v < 0) for v in table)
        if min(table) >= 0:
            return _Shape(width, 0, False, fmt.nonfinite)
        width = max(bits_for(v, True) for v in table)
        return _Shape(width, 0, False, fmt.nonfinite, signed=True)
    if isinstance(fmt, FloatFormat):
        hidden = 1 if fmt.exp_bits else 0
        if window:
            top = window.high - window.low - 1
            return _Shape(fmt.man_bits + 1, top, fmt.has_sign, True, fmt.man_bits)
        top = (fmt.max_code >> fmt.man_bits) - 1 if hidden else 0
        return _Shape(
            fmt.man_bits + hidden,
            max(top, 0),
            fmt.has_sign,
            fmt.nonfinite,
        )
    if isinstance(fmt, PositFormat):
        spare = max(fmt.bits - 3 - fmt.es, 0)
        top = 2 * (fmt.bits - 2) << fmt.es
        return _Shape(spare + 1, top, True, True, spare)
    if isinstance(fmt, PowerFormat):
        top = fmt.max_int.bit_length() - 1
        return _Shape(1, top, fmt.has_sign, fmt.has_nan)
    assert isinstance(fmt, IntFormat)
    return _Shape(fmt.bits - 1, 0, True, False)


def _fields(m: Module, fmt: Format, code: Value, window: Window | None) -> dict[str, Value]:
    table = table_of(fmt)
    if table is not None:
        return _table_fields(fmt, table, code)
    if isinstance(fmt, FloatFormat):
        return _float_fields(m, fmt, code, window)
    if isinstance(fmt, PositFormat):
        return _posit_fields(m, fmt, code)
    if isinstance(fmt, PowerFormat):
        return _power_fields(m, fmt, code)
    return {"significand": code[:-1], "negative": code[-1]}


def _table_fields(fmt: Format, table: list[int], code: Value) -> dict[str, Value]:
    fields: dict[str, Value] = {"nan": code == 1 << fmt.bits - 1}
    factored = _factored(table)
    if factored:
        odd, shifts = factored
        fields["significand"] = lookup(odd, code, max(odd).bit_length())
        fields["shift"] = lookup(shifts, code, max(max(shifts).bit_length(), 1))
        fields["negative"] = lookup([v < 0 for v in table], code)
        return fields
    width = _shape(fmt, None).significand
    fields["significand"] = lookup([v % (1 << width) for v in table], code, width)
    return fields


def _float_fields(
    m: Module, fmt: FloatFormat, code: Value, window: Window | None
) -> dict[str, Value]:
    man = code[: fmt.man_bits]
    exp = code[fmt.man_bits : fmt.man_bits + fmt.exp_bits]
    sign = code[fmt.man_bits + fmt.exp_bits] if fmt.has_sign else Const(0, 1)
    nan: Value = Const(0, 1)
    if fmt.nonfinite_rule == "fn":
        nan = Cat(man, exp).all()
    elif fmt.nonfinite_rule == "ieee":
        nan = exp.all()
    elif fmt.nonfinite_rule == "fnuz":
        nan = code == 1 << fmt.bits - 1
    normal = wire(m, exp.any(), "normal") if fmt.exp_bits else Const(0, 0)
    significand = Cat(man, normal)
    shift = (exp - normal)[: fmt.exp_bits] if fmt.exp_bits else Const(0, 0)
    if window:
        # Step s of the shift is the exponent above the window's LSB; below it the bits that
        # would fall under the LSB are masked, so that what follows is exact.
        step = wire(m, (exp + ~normal) - (fmt.bias + window.low), "step")
        nan = nan | (step >= window.high - window.low)
        keep = Cat(step >= fmt.man_bits - k for k in range(fmt.man_bits + 1))
        significand = significand & keep
        shift = step.as_unsigned()
    if fmt.nonfinite or window:
        nan = wire(m, nan, "nan")
        significand = significand & (~nan).replicate(len(significand))
    return {"significand": significand, "shift": shift, "negative": sign, "nan": nan}


def _posit_fields(m: Module, fmt: PositFormat, code: Value) -> dict[str, Value]:
    n, es = fmt.bits, fmt.es
    sign = code[-1]
    flipped_code = code[:-1] ^ sign.replicate(n - 1)
    magnitude = wire(m, (flipped_code + sign)[: n - 1], "magnitude")
    finite = wire(m, magnitude.any(), "finite")
    first = magnitude[-1]
    flipped = wire(m, magnitude ^ first.replicate(n - 1), "flipped")
    run: Value = Const(n - 1, bits_for(n - 1))
    for position in range(n - 2):  # the leading one decides, so the lowest is tried first
        run = Mux(flipped[position], n - 2 - position, run)
    run = wire(m, run, "run")
    rest = wire(
        m, (magnitude << run)[: n - 1], "rest"
    )  # the regime's end and one bit of it still on top
    spare = max(n - 3 - es, 0)
    fields = Cat(Const(0, es + spare), rest[: n - 2])[n - 2 :]
    regime = Mux(first, run + (n - 3), (n - 2) - run)[: bits_for(2 * (n - 2))]
    return {
        "significand": Cat(fields[:spare], finite),
        "shift": Cat(fields[spare:], regime),
        "negative": sign,
        "nan": sign & ~finite,
    }


def _power_fields(m: Module, fmt: PowerFormat, code: Value) -> dict[str, Value]:
    field = code[:-1] if fmt.has_sign else code
    nan = code.all() if fmt.has_nan else Const(0, 1)
    some = wire(m, field.any() if fmt.has_zero else ~nan, "some")
    shift = field - some if fmt.has_zero else field
    return {"significand": some, "shift": shift, "negative": code[-1], "nan": nan}


def decode(m: Module, name: str, fmt: Format, code: Value, window: Window | None) -> Operand:
    """Return the operand of ``code``, adding a decoder to ``m`` where the format needs one."""
    if isinstance(fmt, IntFormat):
        if fmt.encoding == "twos":
            return Operand(code.as_signed())
        if fmt.encoding == "unsigned":
            return Operand(code)
        if fmt.encoding == "bipolar":
            return Operand(Cat(Const(1, 1), code[:-1], ~code[-1]).as_signed())
    decoder = Decoder(fmt, window)
    m.submodules[name] = decoder
    m.d.comb += decoder.code.eq(code)
    return decoder.operand

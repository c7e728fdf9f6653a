# SPDX-License-Identifier: Apache-2.0
"""Blocks that share a power of two: MX and block floating point.

With the rule ``floor`` the shared exponent needs no comparison of numbers: it is the largest
exponent field, or in a block of subnormal numbers the leading 1 of the OR of all mantissas.
"""

from dataclasses import dataclass
from math import isqrt
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.cell import Cell
from hw.encode import integer, minifloat
from hw.encode.shift import leading_zeros, normalize
from hw.encode.source import FloatSource
from hw.pe.decode import label_of
from hw.spec.formats import FloatFormat, Format, IntFormat, parse

__all__ = ["RULES", "Element", "PowerBlock", "blocks", "largest", "power_block"]

RULES = ("floor", "ceil", "rne")

_SCALE_BIAS, _SCALE_NAN = 127, 255


@dataclass(frozen=True)
class PowerBlock:
    """Elements worth ``code * 2**-fraction``, and one e8m0 scale."""

    name: str
    element: Format
    size: int
    fraction: int = 0

    @property
    def top(self) -> int:
        """Exponent of the largest element; integers and their fraction have 0."""
        fmt = self.element
        return minifloat.largest_exponent(fmt) if isinstance(fmt, FloatFormat) else 0

    @property
    def reach(self) -> int:
        """How far above the shared exponent the encoder of an element reaches."""
        return self.top if isinstance(self.element, FloatFormat) else 1


_MX = {
    "mxfp8_e4m3": ("e4m3", 0),
    "mxfp8_e5m2": ("e5m2", 0),
    "mxfp6_e2m3": ("e2m3", 0),
    "mxfp6_e3m2": ("e3m2", 0),
    "mxfp4": ("e2m1", 0),
    "mxint8": ("int8", 6),
    "mxint4": ("int4", 2),
    "mxint2": ("int2", 0),
}


def blocks() -> dict[str, PowerBlock]:
    """Return every block format of this kind by its name."""
    found = {n: PowerBlock(n, parse(e), 32, fraction) for n, (e, fraction) in _MX.items()}
    for bits in range(2, 9):
        name = f"bfp{bits}"
        found[name] = PowerBlock(name, parse(f"sm{bits + 1}"), 16, bits - 1)
    return found


def largest(m: Module, words: list[Value]) -> Value:
    """Return the largest of unsigned words."""
    while len(words) > 1:
        pairs = [words[k : k + 2] for k in range(0, len(words), 2)]
        words = [wire(m, Mux(p[0] > p[1], *p), "larger") if p[1:] else p[0] for p in pairs]
    return words[0]


@dataclass(frozen=True)
class _Leading:
    """The largest magnitude of a block."""

    field: Value  #: Signed exponent field; goes on below 1 for subnormal numbers.
    least: int  #: Of ``field``.
    bump: Value  #: The shared exponent is one more.
    zero: Value
    bad: Value  #: Some number is not finite.


def _leading_by_fields(m: Module, source: FloatSource, codes: list[Value]) -> _Leading:
    exponent = largest(m, [wire(m, c[source.man_bits : -1], "exponent") for c in codes])
    some = Const(0, source.man_bits)
    for code in codes:
        some = some | code[: source.man_bits]
    some = wire(m, some, "mantissas")
    zeros = leading_zeros(m, some, source.man_bits - 1)
    tiny = wire(m, ~exponent.any(), "tiny")
    field = wire(m, Mux(tiny, -zeros, Cat(exponent, Const(0, 1)).as_signed()), "field")
    no = Const(0, 1)
    return _Leading(field, 1 - source.man_bits, no, tiny & ~some.any(), exponent.all())


def _leading_by_value(m: Module, source: FloatSource, codes: list[Value], above: int) -> _Leading:
    """``above``: 1.mantissa beyond it, in units of the last place, bumps the exponent."""
    amax = largest(m, [code[:-1] for code in codes])
    exponent = wire(m, amax[source.man_bits :], "exponent")
    tiny = wire(m, ~exponent.any(), "tiny")
    word, zeros = normalize(m, Cat(amax[: source.man_bits], ~tiny), source.man_bits)
    field = Mux(tiny, (Const(1) - zeros), Cat(exponent, Const(0, 1)).as_signed())
    return _Leading(
        wire(m, field, "field"),
        1 - source.man_bits,
        wire(m, word > above, "bump"),
        ~word[-1],
        exponent.all(),
    )


def _threshold(block: PowerBlock, source: FloatSource, rule: str) -> int:
    """Return the largest 1.mantissa, as an integer, that leaves the exponent as ``floor``."""
    places = source.man_bits
    if rule == "rne":
        return isqrt(2 << 2 * places)
    fmt = block.element
    most = fmt.max_int if isinstance(fmt, FloatFormat) else (1 << fmt.bits - 1) - 1
    return (most << places) >> most.bit_length() - 1


class Element(Cell):
    """Divide one number by the power of two of its block and round it.

    Parameters
    ----------
    block : :class:`PowerBlock`
    source : :class:`~hw.encode.source.FloatSource`
    name : str
        Name of the source.
    rounding : str

    Members
    -------
    x : ``In(source bits)``
    lead : ``In(signed)``
        Exponent field of the source above which no number of the block lies: the shared exponent
        and :attr:`PowerBlock.reach`.
    dead : ``In(1)``
        The code is to be 0.
    q : ``Out(element bits)``

    Timing
    ------
    Combinational.
    """

    def __init__(self, block: PowerBlock, source: FloatSource, name: str, rounding: str):
        self.block, self.source, self.rounding = block, source, rounding
        element = f"{label_of(block.element)}_f{block.fraction}"
        self.label = f"element_{name}_{element}_{rounding.replace('-', '_')}"
        self.least, most = (field + block.reach for field in shared_range(block, source))
        bits = max((-self.least).bit_length(), most.bit_length()) + 1
        super().__init__(
            {
                "x": In(source.bits),
                "lead": In(signed(bits)),
                "dead": In(1),
                "q": Out(block.element.bits),
            }
        )

    def body(self, platform: Any) -> Module:
        m = Module()
        source, fmt = self.source, self.block.element
        pieces = source.pieces(m, self.x)
        # The number of bits that subnormal numbers may have to rise to meet the shared exponent.
        least = self.least - self.block.reach
        above = 1 - least - (1 - fmt.bias if isinstance(fmt, FloatFormat) else 0)
        limit = min(source.man_bits, max(0, above))
        significand, zeros = source.normalized(m, pieces, limit)
        own = Cat(pieces.exponent, Const(0, 1)).as_signed()
        field = wire(m, Mux(pieces.normal, own, Const(1) - zeros), "field")
        below = wire(m, (self.lead - field).as_unsigned(), "below")
        no = Const(0, 1)
        if isinstance(fmt, FloatFormat):
            room = self.block.top - (1 - fmt.bias)
            code, guard, sticky = minifloat.align(m, fmt, below, room, significand)
            cut = minifloat.Cut(code, guard, sticky, pieces.negative, no, no, no)
            result = minifloat.finish(m, fmt, cut, self.rounding, "sat")
        else:
            assert isinstance(fmt, IntFormat)
            parts = integer.fixed(m, fmt.bits, below, significand)
            number = integer.Fixed(*parts, pieces.negative, no, no)
            result = integer.finish(m, fmt, number, self.rounding, narrow=True)
        m.d.comb += self.q.eq(result & (~self.dead).replicate(fmt.bits))
        return m


def shared_range(block: PowerBlock, source: FloatSource) -> tuple[int, int]:
    """Return the least and the greatest shared exponent, as exponent fields of the source."""
    bias = source.least - 1 + _SCALE_BIAS  # from field to code of the scale
    least = max(1 - source.man_bits - block.top, -bias)
    return least, (1 << source.exp_bits) - 1 - block.top + 1


def power_block(
    m: Module,
    block: PowerBlock,
    source: FloatSource,
    name: str,
    rule: str,
    rounding: str,
    codes: list[Value],
) -> tuple[list[Value], Value]:
    """Return the element codes and the scale of one block of source codes."""
    if rule == "floor":
        lead = _leading_by_fields(m, source, codes)
    else:
        lead = _leading_by_value(m, source, codes, _threshold(block, source, rule))
    least, _ = shared_range(block, source)
    wanted = wire(m, lead.field - block.top + lead.bump, "wanted")
    shared: Value = wanted
    if least > lead.least - block.top:
        shared = wire(m, Mux(wanted < least, least, wanted), "shared")
    code = wire(m, shared + (source.least - 1 + _SCALE_BIAS), "scale")
    bad = wire(m, lead.bad | (code >= _SCALE_NAN), "bad")
    dead = wire(m, bad | lead.zero, "dead")
    reached = wire(m, shared + block.reach, "lead")
    result: list[Value] = []
    for number, x in enumerate(codes):
        m.submodules[f"element{number}"] = cell = Element(block, source, name, rounding)
        m.d.comb += [cell.x.eq(x), cell.lead.eq(reached), cell.dead.eq(dead)]
        result.append(cell.q)
    scale = Signal(8, name="scale_code")
    m.d.comb += scale.eq(Mux(bad, _SCALE_NAN, Mux(lead.zero, 0, code)))
    return result, scale

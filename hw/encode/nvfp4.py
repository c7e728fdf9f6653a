# SPDX-License-Identifier: Apache-2.0
"""Blocks of E2M1 with a minifloat scale: NVFP4.

Nothing divides the numbers. The seven decision points of E2M1, times the scale, are rounded down to
codes of the source once for the whole block; the numbers are then compared with them as codes.
Source: the scale recipe is that of the NVFP4 quantizers (largest magnitude over 6).
"""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.cell import Cell
from hw.encode import minifloat
from hw.encode.four_over_six import Lesser
from hw.encode.mx import largest
from hw.encode.shift import normalize
from hw.encode.source import FloatSource
from hw.spec.formats import FloatFormat, parse

__all__ = ["RULES", "Element", "nvfp4_block"]

#: How the scale is chosen: the largest magnitude over 6, or over 6 or 4 by the squared error.
RULES = ("amax", "4over6")

SCALE = parse("ue4m3")
assert isinstance(SCALE, FloatFormat)

#: Decision points of E2M1 in quarters: middles of neighbours, and the values themselves.
_MIDDLES = (1, 3, 5, 7, 10, 14, 20)
_VALUES = (2, 4, 6, 8, 12, 16, 24)

#: Bits of the quotient: the leading 1 is among the first three, four and a guard bit follow it.
_QUOTIENT = 7

_TENSOR = FloatSource(8, 23)


@dataclass(frozen=True)
class _Float:
    """``significand * 2**(exponent - (len(significand) - 1))``, the leading 1 on top."""

    significand: Value
    exponent: Value
    most: int  #: Of ``exponent``.


def _unpacked(m: Module, source: FloatSource, size: Value) -> _Float:
    """Return a magnitude code as a number; 0 has significand 0."""
    exponent = wire(m, size[source.man_bits :], "exponent")
    normal = wire(m, exponent.any(), "is_normal")
    word, zeros = normalize(m, Cat(size[: source.man_bits], normal), source.man_bits)
    field = Mux(normal, Cat(exponent, Const(0, 1)).as_signed(), Const(1) - zeros)
    most = (1 << source.exp_bits) - 2 + source.least  # that of infinity
    return _Float(word, wire(m, field + (source.least - 1), "unbiased"), most)


def _quotient(m: Module, numerator: Value, divisor: Value) -> tuple[Value, Value]:
    """Return :data:`_QUOTIENT` bits of a quotient below 2, and whether a remainder is left."""
    rest = wire(m, numerator, "rest")
    bits: list[Value] = []
    width = len(divisor)
    divisor = wire(m, divisor, "divided_by")
    for _ in range(_QUOTIENT):
        trial = wire(m, rest - divisor, "trial")
        bits.insert(0, ~trial[-1])
        left = Mux(trial[-1], rest, trial[:width])
        rest = wire(m, Cat(Const(0, 1), left)[:width], "rest")
    return Cat(*bits), rest.any()


def _scale(m: Module, amax: _Float, tensor: _Float | None, largest: int = 6) -> Value:
    """Return the code of ``amax / largest``, 6 or 4, over the tensor's scale, not 0."""
    assert isinstance(SCALE, FloatFormat)
    factor: Value = Const(1, 1) if tensor is None else tensor.significand
    divisor = wire(m, (factor * (largest // 2))[: len(factor) + 2], "divisor")  # from 1 to 3
    places = max(len(amax.significand) - 1, len(divisor) - 2)
    above = amax.significand << (places + 1 - len(amax.significand))
    below = divisor << (places + 2 - len(divisor))
    width = places + 3
    pad = Const(0, width)
    quotient, rest = _quotient(m, Cat(above, pad)[:width], Cat(below, pad)[:width])
    word, zeros = normalize(m, Cat(rest, quotient), 2)
    exponent, most = amax.exponent - 2 - zeros, amax.most - 2
    if tensor is not None:
        exponent = exponent - tensor.exponent
        most -= _TENSOR.least - _TENSOR.man_bits
    below = wire(m, (most - exponent).as_unsigned(), "below")
    code, guard, sticky = minifloat.align(m, SCALE, below, most - (1 - SCALE.bias), word)
    no = Const(0, 1)
    cut = minifloat.Cut(code, guard, sticky, no, no, no, no)
    rounded = wire(m, minifloat.finish(m, SCALE, cut, "rne", "sat"), "rounded")
    return wire(m, Cat(rounded[0] | ~rounded.any(), rounded[1:]), "scale")


def _points(
    m: Module, source: FloatSource, scale: Value, tensor: _Float | None, rounding: str
) -> list[Value]:
    """Return the decision points as magnitude codes rounded down, each above an inexact flag."""
    field, normal = scale[3:7], wire(m, scale[3:7].any(), "scale_normal")
    product: Value = Cat(scale[:3], normal)
    # The unit of the product: of the scale's last place, and of the tensor's.
    exponent: Value = wire(m, Mux(normal, field, 1)[:4] - 10, "scale_exponent")
    most = 5
    if tensor is not None:
        product = product * tensor.significand
        exponent = wire(m, exponent + tensor.exponent - _TENSOR.man_bits, "product_exponent")
        most += tensor.most - _TENSOR.man_bits
    product = wire(m, product, "product")
    target = FloatFormat(
        "source", source.bits, source.exp_bits, source.man_bits, 1 - source.least, "ieee"
    )
    multiples: dict[int, tuple[Value, Value]] = {}
    points = []
    for quarters in _VALUES if rounding == "rtz" else _MIDDLES:
        twos = (quarters & -quarters).bit_length() - 1
        odd = quarters >> twos
        if odd not in multiples:
            width = len(product) + (odd - 1).bit_length()
            multiple = wire(m, (product * odd)[:width], f"times{odd}")
            multiples[odd] = normalize(m, multiple, width - 1)
        word, zeros = multiples[odd]
        top = len(word) - 1 + twos - 2
        below = wire(m, ((most - exponent) + zeros).as_unsigned(), "below")
        code, guard, sticky = minifloat.align(m, target, below, most + top - source.least, word)
        code = wire(m, code, "point")
        over = code[source.bits - 1 :].any()
        size = Cat(code, Const(0, source.bits))[: source.bits - 1] | over.replicate(source.bits - 1)
        points.append(wire(m, Cat(guard | sticky, size), "threshold"))
    return points


class Element(Cell):
    """Compare one number with the decision points of its block.

    Parameters
    ----------
    source : :class:`~hw.encode.source.FloatSource`
    name : str
        Name of the source.
    rounding : str

    Members
    -------
    x : ``In(source bits)``
    points : ``In(7 * source bits)``
        Magnitude codes, rounded down, each above a bit that says whether it was.
    dead : ``In(1)``
        The code is to be 0.
    q : ``Out(4)``

    Timing
    ------
    Combinational.
    """

    def __init__(self, source: FloatSource, name: str, rounding: str):
        self.source, self.rounding = source, rounding
        self.label = f"element_{name}_nvfp4_{rounding.replace('-', '_')}"
        bits = source.bits
        super().__init__({"x": In(bits), "points": In(7 * bits), "dead": In(1), "q": Out(4)})

    def body(self, platform: Any) -> Module:
        m, bits = Module(), self.source.bits
        negative = self.x[-1]
        points = [self.points.word_select(k, bits) for k in range(7)]
        size = wire(m, Cat(Const(1, 1), self.x[:-1]), "size")
        found: list[Value] = []
        for level in (4, 2, 1):
            # The points that are left after the bits found, in the order of those bits.
            left = points[level - 1 :: 2 * level]
            point = left[0]
            if found:
                point = _chosen(left, found)
            strict = {
                "rne": Const(level == 1, 1),
                "ties-to-zero": Const(1, 1),
                "ties-down": ~negative,
            }.get(self.rounding, Const(0, 1))
            point = wire(m, Cat(point[0] | strict, point[1:]), "point")
            found.append(wire(m, size > point, "reached"))
        alive = ~self.dead
        m.d.comb += self.q.eq(Cat(*found[::-1], negative) & alive.replicate(4))
        return m


def _chosen(words: list[Value], bits: list[Value]) -> Value:
    if len(words) == 1:
        return words[0]
    half = len(words) // 2
    return Mux(bits[0], _chosen(words[half:], bits[1:]), _chosen(words[:half], bits[1:]))


def nvfp4_block(
    m: Module,
    source: FloatSource,
    name: str,
    rounding: str,
    codes: list[Value],
    tensor: Value | None = None,
    rule: str | None = None,
) -> tuple[list[Value], Value]:
    """Return the element codes and the scale of one block of source codes.

    ``rule`` is one of :data:`RULES`, by default the first. ``tensor`` is the fp32 code of the
    tensor's scale, which must be positive and finite.
    """
    size = wire(m, largest(m, [code[:-1] for code in codes]), "amax")
    bad = wire(m, size[source.man_bits :].all(), "bad")
    dead = wire(m, bad | ~size.any(), "dead")
    factor = None if tensor is None else _unpacked(m, _TENSOR, tensor[:-1])
    amax = _unpacked(m, source, size)
    tried: list[tuple[list[Value], Value]] = []
    for top in (6, 4) if rule == "4over6" else (6,):
        scale = _scale(m, amax, factor, top)
        points = wire(m, Cat(*_points(m, source, scale, factor, rounding)), "points")
        result: list[Value] = []
        for number, x in enumerate(codes):
            cell = Element(source, name, rounding)
            m.submodules[f"element{number}" + ("" if top == 6 else "_of_4")] = cell
            m.d.comb += [cell.x.eq(x), cell.points.eq(points), cell.dead.eq(dead)]
            result.append(cell.q)
        tried.append((result, scale))
    (result, scale), *others = tried
    for other, lower in others:
        bits = (len(factor.significand), len(factor.exponent)) if factor else None
        m.submodules.lesser = lesser = Lesser(source, name, len(codes), bits)
        m.d.comb += [
            lesser.x.eq(Cat(*codes)),
            lesser.scale6.eq(scale),
            lesser.scale4.eq(lower),
            lesser.q6.eq(Cat(*result)),
            lesser.q4.eq(Cat(*other)),
        ]
        if factor:
            m.d.comb += lesser.significand.eq(factor.significand)
            m.d.comb += lesser.exponent.eq(factor.exponent)
        result = [Mux(lesser.second, b, a)[:4] for a, b in zip(result, other, strict=True)]
        scale = Mux(lesser.second, lower, scale)
    return result, Mux(bad, 0x7F, scale)[:8]

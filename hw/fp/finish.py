# SPDX-License-Identifier: Apache-2.0
"""From an exact magnitude to a minifloat: normalised, rounded once, encoded."""

from dataclasses import dataclass, replace

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.leading import normalized_top
from hw.arith.rounding import increment
from hw.arith.sticky import shifted_right
from hw.arith.wires import wire
from hw.fp.fields import encoded
from hw.fp.stages import Stages
from hw.spec.formats import FloatFormat

__all__ = ["Magnitude", "Special", "finished"]


@dataclass(frozen=True)
class Special:
    """What the operands alone decide."""

    nan: Value
    inf: Value
    negative: Value  #: Sign of the infinity.


@dataclass(frozen=True)
class Magnitude:
    """A magnitude, and what is known beside it."""

    word: Value
    flip: Value  #: The bits of ``word`` are inverted.
    idle: Value  #: What the bits below ``word`` are to be taken for; 1 with ``flip``.
    limit: Value  #: Left shift that brings the top bit to the exponent field 1.
    negative: Value
    carry: Value  #: One unit of the lowest bit is still to be added.
    sticky: Value  #: Something lies below the lowest bit; never with ``carry``.


def finished(
    m: Module,
    later: Stages,
    fmt: FloatFormat,
    total: Magnitude,
    special: Special,
    least: int,
    most: int,
    rounding: str,
    overflow: str,
) -> Value:
    """Return the code of ``total``, or of what ``special`` says.

    ``limit`` lies between ``least`` and ``most``. ``later`` may have registers at ``normal``.
    """
    kept = fmt.man_bits + 2  # the guard bit too
    if least < 0:
        total = _lowered(m, total, kept, least)
    normal = normalized_top(m, total.word, total.flip, total.idle, total.limit, kept)
    normal = later.each("normal", normal)
    total, special = later.each("normal", total), later.each("normal", special)
    word, rest = normal.top, normal.rest
    bits = max(most + 1, 1).bit_length()
    field = wire(m, (total.limit - normal.amount + 1)[:bits], "field") & word[-1].replicate(bits)
    cut = wire(m, Cat(word[1:-1], field), "cut")
    grows = increment(rounding, cut[0], word[0], rest, total.sticky, total.negative, total.carry)
    grows = wire(m, grows, "grows")
    sign = wire(m, Mux(special.inf, special.negative, total.negative), "sign")
    return encoded(m, fmt, cut, grows, sign, special.nan, special.inf, rounding, overflow)


def _lowered(m: Module, total: Magnitude, kept: int, least: int) -> Magnitude:
    """Move a magnitude down whose top bit lies below the result's smallest normal number."""
    word = total.word ^ total.flip.replicate(len(total.word))
    word = Cat(total.carry.replicate(max(0, kept + 1 - len(word))), word)
    width = len(word)
    limit = total.limit.as_signed()
    under = wire(m, limit[-1], "under")
    most = min(width, -least)
    distance = wire(m, (-limit)[: (-least).bit_length()], "depth")
    distance = Mux(distance > most, most, distance)[: most.bit_length()]
    by = wire(m, distance & under.replicate(most.bit_length()), "down")
    # With a carry to come, ones that fall off all together carry on; else they are sticky.
    word, lost = shifted_right(m, word, by, total.carry)
    return replace(
        total,
        word=wire(m, word, "word"),
        flip=Const(0, 1),
        idle=total.carry,
        limit=wire(m, limit & (~under).replicate(len(limit)), "limit"),
        carry=wire(m, total.carry & ~lost, "carry"),
        sticky=wire(m, total.sticky | lost, "sticky"),
    )

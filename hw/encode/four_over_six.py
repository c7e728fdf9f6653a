# SPDX-License-Identifier: Apache-2.0
"""Which of two scales of an NVFP4 block leaves the lesser squared error.

With magnitudes ``x`` and their values ``v`` by one scale and ``w`` by the other, the difference of
the errors is the sum of ``(w - v) * (w + v - 2 x)``. So numbers that both scales round to 0, the
only ones that can lie far below the scale, do not count, and the others take few bits.
Source: 4/6, adaptive block scaling of NVFP4 (2025).
"""

from amaranth.hdl import Cat, Const, Module, Mux, Value
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.recode import booth_digits, lookup, multiple
from hw.arith.wires import wire
from hw.cell import Cell
from hw.encode.source import FloatSource

__all__ = ["Lesser"]

#: Magnitudes of E2M1 in halves, by code.
_HALVES = (0, 1, 2, 3, 4, 6, 8, 12)

#: Places of a value in units of half the last place of the lower scale: 12 * 15 * 2 is below 2**9.
_PLACES = 9


class Lesser(Cell):
    """Compare the squared errors of two roundings of a block.

    Parameters
    ----------
    source : :class:`~hw.encode.source.FloatSource`
    name : str
        Name of the source.
    size : int
        Elements.
    tensor : (int, int), optional
        Bits of significand and exponent of the tensor's scale.

    Members
    -------
    x : ``In(size * source bits)``
    scale6, scale4 : ``In(7)``
        Magnitude codes of ue4m3, the second not below the first and less than four times it.
    q6, q4 : ``In(size * 4)``
        Codes of the elements by either.
    significand, exponent : ``In``
        Of the tensor's scale, with ``tensor``.
    second : ``Out(1)``
        The error by ``scale4`` is the lesser; 0 if both are equal.

    Timing
    ------
    Combinational.
    """

    def __init__(
        self, source: FloatSource, name: str, size: int, tensor: tuple[int, int] | None = None
    ):
        self.source, self.size, self.tensor = source, size, tensor
        self.label = f"lesser_{name}_{size}{'_tensor' if tensor else ''}"
        members = {"x": In(size * source.bits), "scale6": In(7), "scale4": In(7)}
        members |= {"q6": In(4 * size), "q4": In(4 * size), "second": Out(1)}
        if tensor:
            members |= {"significand": In(tensor[0]), "exponent": In(tensor[1])}
        super().__init__(members)

    def body(self, platform: object) -> Module:
        m, source = Module(), self.source
        field6, low = _field(m, self.scale6)
        field4, high = _field(m, self.scale4)
        apart = wire(m, (field4 - field6)[0], "apart")
        # Exponent of the unit: half of the last place of the lower scale.
        unit: Value = wire(m, field6 - 11, "unit")
        fraction, factor = source.man_bits + 1, None
        places = _PLACES - 1  # an x of which the codes differ is below 256 units
        if self.tensor:
            exponent = self.exponent.as_signed()
            unit = wire(m, unit + exponent, "tensor_unit")
            fraction = max(fraction, self.tensor[0] - 1)
            factor, places = self.significand, places + 1
        width = places + fraction
        heap = BitHeap(m, 2 * _PLACES + 4 + fraction + self.size.bit_length())
        for k in range(self.size):
            code = self.x.word_select(k, source.bits)
            number = _aligned(m, source, code, unit, fraction, width, bool(self.tensor))
            six = _value(m, self.q6.word_select(k, 4), low, Const(0, 1))
            four = _value(m, self.q4.word_select(k, 4), high, apart)
            total: Value = wire(m, four + six, "total")
            point = fraction
            if factor is not None:
                point = fraction - (len(factor) - 1)
                total = wire(m, total * factor, "tensor_total")
            error = wire(m, (total << point) - (number << 1), "error")
            difference = wire(m, four - six, "difference")
            for digit in booth_digits(m, difference):
                row, carry = multiple(digit, error)
                heap.add(row, digit.weight, carry)
        m.d.comb += self.second.eq(heap.total()[-1])
        return m


def _field(m: Module, scale: Value) -> tuple[Value, Value]:
    """Return exponent field and significand of a code of ue4m3."""
    normal = wire(m, scale[3:].any(), "scale_normal")
    return wire(m, Mux(normal, scale[3:], 1)[:4], "field"), Cat(scale[:3], normal)


def _value(m: Module, code: Value, scale: Value, apart: Value) -> Value:
    """Return the magnitude of an element times its scale, twice that if ``apart``."""
    halves = wire(m, lookup(_HALVES, code[:3], 4), "halves")
    value = wire(m, halves * scale, "value")
    return wire(m, Mux(apart, value << 1, value)[:_PLACES], "placed")


def _aligned(
    m: Module,
    source: FloatSource,
    code: Value,
    unit: Value,
    fraction: int,
    width: int,
    subnormal: bool,
) -> Value:
    """Return a magnitude in units of ``2**(unit - fraction)``; what does not fit is lost.

    Where the codes of the two scales differ a number is at least half a unit, so that its last
    place is never below that of the result, and less than the result can hold. Subnormal numbers
    can be so large with a tensor's scale only; ``subnormal`` lets them move as far as they may.
    """
    pieces = source.pieces(m, code)
    last = source.least - 1 - source.man_bits  # exponent of the last place, by exponent field
    places = wire(m, pieces.clamped_exponent(m) + (last + fraction) - unit, "places")
    most = width - 1 if subnormal else width - 1 - source.man_bits
    return wire(m, (pieces.significand << places[: most.bit_length()])[:width], "number")

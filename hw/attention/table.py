# SPDX-License-Identifier: Apache-2.0
"""Functions by table and linear interpolation between the ends of segments."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from amaranth.hdl import Const, Module, Value
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.recode import lookup
from hw.arith.wires import wire
from hw.attention.stages import Stages, check_pipeline
from hw.cell import Cell

__all__ = ["FUNCTIONS", "Table", "TableParams", "interpolated"]

#: Name -> function, lower and upper end of its interval.
FUNCTIONS: dict[str, tuple[Callable[[float], float], float, float]] = {
    "exp2n": (lambda x: 2.0**-x, 0.0, 1.0),
    "exp2": (lambda x: 2.0**x, 0.0, 1.0),
    "recip": (lambda x: 1.0 / x, 1.0, 2.0),
    "rsqrt": (lambda x: 1.0 / math.sqrt(x), 1.0, 2.0),
    "rsqrt2": (lambda x: 1.0 / math.sqrt(x), 2.0, 4.0),
    "log2": (math.log2, 1.0, 2.0),
    "sigmoid": (lambda x: 1.0 / (1.0 + math.exp(-x)), 0.0, 8.0),
    "sin": (lambda x: math.sin(math.pi * x / 2), 0.0, 1.0),
}

TARGETS = ("gates", "fpga")


@dataclass(frozen=True)
class TableParams:
    """What a user chooses. Raises ``ValueError`` with the wrong value and what would be right."""

    function: str = "exp2n"  #: A key of :data:`FUNCTIONS`.
    index_bits: int = 6  #: The table has ``2**index_bits`` segments.
    rest_bits: int = 10  #: Bits that tell where in a segment.
    fraction: int = 16  #: Fraction bits of the values.
    closed: bool = False  #: Whether the upper end is an argument too.
    pipeline: int = 0  #: Register stages, 0 or 1.
    target: str = "gates"  #: Decides structure, never function.

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("function", self.function, tuple(FUNCTIONS)),
            ("target", self.target, TARGETS),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
        for name, least, most in (("index_bits", 2, 10), ("rest_bits", 1, 16), ("fraction", 4, 24)):
            bits = getattr(self, name)
            if not isinstance(bits, int) or isinstance(bits, bool) or not least <= bits <= most:
                raise ValueError(f"{name} must be an integer from {least} to {most}, not {bits!r}")
        check_pipeline(self.pipeline, 1)

    @property
    def values(self) -> tuple[int, ...]:
        """``2**index_bits + 1`` values at the ends of the segments, rounded, ties upward."""
        return _values(self.function, self.index_bits, self.fraction)

    @property
    def width(self) -> int:
        """Bits of a result."""
        return max(self.values).bit_length()

    def at(self, u: int) -> int:
        """Return the interpolated value at the argument ``u``."""
        index, rest = divmod(u, 1 << self.rest_bits)
        low, high = self.values[index], self.values[min(index + 1, 1 << self.index_bits)]
        return low + ((high - low) * rest + (1 << self.rest_bits - 1) >> self.rest_bits)

    @property
    def error(self) -> float:
        """Largest error over all arguments, in units of ``2**-fraction``: every one is tried."""
        return _error(self.function, self.index_bits, self.rest_bits, self.fraction)


@cache
def _values(function: str, index_bits: int, fraction: int) -> tuple[int, ...]:
    f, low, high = FUNCTIONS[function]
    steps = 1 << index_bits
    points = [low + (high - low) * k / steps for k in range(steps + 1)]
    return tuple(math.floor(f(x) * 2**fraction + 0.5) for x in points)


@cache
def _error(function: str, index_bits: int, rest_bits: int, fraction: int) -> float:
    f, low, high = FUNCTIONS[function]
    params = TableParams(function, index_bits, rest_bits, fraction)
    count = 1 << index_bits + rest_bits
    exact = (f(low + (high - low) * u / count) * 2**fraction for u in range(count + 1))
    return round(max(abs(params.at(u) - y) for u, y in enumerate(exact)), 4)


def interpolated(
    m: Module, later: Stages, place: int, values: Sequence[Sequence[int]], index: Value,
    rest: Value, carry_chains: bool = False,
) -> Value:  # fmt: skip
    """Return the line through the ends of segment ``index`` at ``rest``, rounded half up.

    ``values`` has one sequence of ends for each table, of which the high bits of ``index`` choose
    one. Behind the tables lies ``place`` of ``later``. A falling line is followed from its other
    end, so that nothing is subtracted.
    """
    starts = [v for ends in values for v in ends[:-1]]
    ends = [v for table in values for v in table[1:]]
    rises = [b - a for a, b in zip(starts, ends, strict=True)]
    bits = len(rest)
    assert all(r >= 0 for r in rises) or all(r <= 0 for r in rises), "monotone functions only"
    falls = min(rises) < 0
    base = ends if falls else starts
    width = max(max(starts), max(ends)).bit_length()
    size = max(map(abs, rises)).bit_length()
    index = wire(m, index, "index")
    start = later(wire(m, lookup(base, index, width), "start"), place)
    slope = later(wire(m, lookup([abs(r) for r in rises], index, size), "slope"), place)
    rest = later(wire(m, rest, "rest"), place)
    heap = BitHeap(m, width + bits, carry_chains)
    heap.add(start, bits)
    heap.add_constant(1 << bits - 1)
    if carry_chains:
        far = wire(m, (1 << bits) - rest, "from_end")[: bits + 1] if falls else rest
        heap.add(slope * far)
    else:
        for k, bit in enumerate(rest):
            heap.add(slope & (~bit if falls else bit).replicate(size), k)
        if falls:
            heap.add(slope)
    return wire(m, heap.total()[bits:], "value")


class Table(Cell):
    """A function of ``index_bits + rest_bits`` bits, monotone where the function is.

    ``y = A[u >> T] + ((D[u >> T] * (u & 2**T - 1) + 2**(T-1)) >> T)`` with ``A`` the rounded values
    at the ends of segments and ``D`` their differences: continuous, and exact at the ends.

    Parameters
    ----------
    params : :class:`TableParams`

    Members
    -------
    u : ``In(index_bits + rest_bits)``
        Where in the interval: ``low + (high - low) * u / 2**(index_bits + rest_bits)``. With
        ``closed`` one bit more; of the arguments that this bit adds only the lowest is one.
    en : ``In(pipeline)``
        Bit k lets a beat into stage k. Absent without stages.
    y : ``Out(width)``
        The value with ``fraction`` fraction bits, unsigned.

    Timing
    ------
    ``pipeline`` cycles (0 or 1), one result per cycle.
    """

    def __init__(self, params: TableParams):
        self.params = params
        self.latency = params.pipeline
        end = "c" if params.closed else ""
        self.label = (
            f"table_{params.function}_b{params.index_bits}_t{params.rest_bits}{end}"
            f"_f{params.fraction}_p{params.pipeline}_{params.target}"
        )
        members = {"u": In(params.index_bits + params.rest_bits + params.closed)}
        if params.pipeline:
            members["en"] = In(params.pipeline)
        super().__init__({**members, "y": Out(params.width)})

    def body(self, platform: Any) -> Module:
        m, params = Module(), self.params
        later = Stages(m, self.en if params.pipeline else None, params.pipeline, 1)
        total = params.index_bits + params.rest_bits
        index, rest = self.u[params.rest_bits : total], self.u[: params.rest_bits]
        chains = params.target == "fpga"
        y = interpolated(m, later, 0, [params.values], index, rest, chains)
        if params.closed:
            at_end = later(self.u[total], 0)
            y = wire(m, (y & (~at_end).replicate(params.width)), "inside") | (
                Const(params.values[-1], params.width) & at_end.replicate(params.width)
            )
        m.d.comb += self.y.eq(y)
        return m

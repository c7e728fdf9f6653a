# SPDX-License-Identifier: Apache-2.0
"""Blocks whose code of -0 stands for one of several special values: BitMoD and RaZeR.

Everything is compared as integers: no scale is ever computed. A block stays at the input while the
unit passes over it: once for its largest magnitude, once for each special value to add up squared
errors, and once for the codes. Source: BitMoD (2025), RaZeR (2025).
"""

from dataclasses import dataclass
from math import lcm
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.encode.source import magnitude

__all__ = ["SPECIAL", "SpecialBlock", "SpecialFormat"]


@dataclass(frozen=True)
class SpecialFormat:
    """A grid of magnitudes, in units of its smallest step, that special values are added to."""

    grid: tuple[int, ...]
    specials: tuple[int, ...]  #: Magnitudes; each is tried positive, then negative.
    size: int  #: Elements of a block by default.
    falls: bool = True  #: Ties go to the lower value, else to the even code, or the special value.

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return len(self.grid).bit_length()

    @property
    def candidates(self) -> int:
        return 2 * len(self.specials)

    @property
    def tops(self) -> list[int]:
        """The value that the largest magnitude of the block is brought to, for each special."""
        return [max(s, *self.grid) if self.falls else max(self.grid) for s in self.specials]

    @property
    def weights(self) -> list[int]:
        """What brings the squared errors of the grids to one unit."""
        common = lcm(*self.tops)
        return [(common // top) ** 2 for top in self.tops]

    def zone(self, special: int) -> tuple[int, int | None]:
        """Return twice the middles around a special value; none above the largest."""
        below = max(v for v in self.grid if v < special)
        above = [v for v in self.grid if v > special]
        return below + special, special + above[0] if above else None


_E2M1 = (0, 1, 2, 3, 4, 6, 8, 12)

SPECIAL = {
    "bitmod4": SpecialFormat(_E2M1, (10, 16), 128),
    "bitmod3": SpecialFormat((0, 1, 2, 4), (3, 6), 128),
    "razer_w": SpecialFormat(_E2M1, (10, 16), 16),
    "razer_a": SpecialFormat(_E2M1, (10,), 16, falls=False),
}


class SpecialBlock(wiring.Component):
    """Round a stream of blocks of integers.

    Parameters
    ----------
    name : str
        A key of :data:`SPECIAL`.
    source_bits : int
        Bits of the integers.
    size : int
        Elements of a block.

    Members
    -------
    i : ``In(stream.Signature({x: size integers}))``
    o : ``Out(stream.Signature({q: size codes, s: source_bits, sel}))``
        Codes, element 0 in the low bits; the largest magnitude, which is the scale times that of
        the grid; the number of the special value.

    Timing
    ------
    A block is accepted after one cycle for each element and two more, for each pass over it; ``o``
    is valid the cycle after. Blocks follow one cycle after their results are taken.
    """

    latency = 1

    def __init__(self, name: str, source_bits: int, size: int):
        self.fmt, self.source_bits, self.size = SPECIAL[name], source_bits, size
        self.passes = self.fmt.candidates + 2
        self.beats_per_cycle = 1 / (self.passes * (size + 2) + 1)
        result = {
            "q": unsigned(size * self.fmt.bits),
            "s": unsigned(source_bits),
            "sel": unsigned((self.fmt.candidates - 1).bit_length()),
        }
        beat = {"x": unsigned(size * source_bits)}
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(beat))),
                "o": Out(stream.Signature(data.StructLayout(result))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, fmt, out = Module(), self.fmt, self.o.payload
        step = Signal(range(self.size + 2))
        turn = Signal(range(self.passes))
        element = wire(m, step < self.size, "at_element")
        final = wire(m, step == self.size + 1, "at_end")
        working = wire(m, self.i.valid & ~self.o.valid, "working")
        with m.If(working):
            m.d.sync += step.eq(Mux(final, 0, step + 1))
            with m.If(final):
                m.d.sync += turn.eq(Mux(turn == self.passes - 1, 0, turn + 1))
        finished = wire(m, working & final & (turn == self.passes - 1), "finished")
        m.d.comb += self.i.ready.eq(finished)
        with m.If(finished):
            m.d.sync += self.o.valid.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        x = wire(m, self.i.payload.x.word_select(step, self.source_bits), "x")
        size = wire(m, magnitude(m, x, self.source_bits)[0], "magnitude")
        amax = Signal(self.source_bits, reset_less=True)
        with m.If(working & (turn == 0)):
            with m.If(step == 0):
                m.d.sync += amax.eq(size)
            with m.Elif(element & (size > amax)):
                m.d.sync += amax.eq(size)

        best = Signal(range(fmt.candidates), reset_less=True)
        tried = wire(m, (turn - 1)[: len(best)], "tried")
        last = wire(m, turn == self.passes - 1, "last_pass")
        code, error = self._element(m, x[-1], size, amax, Mux(last, best, tried))
        self._judge(m, turn, step, working, error, tried, best)
        with m.If(working & last & element):
            m.d.sync += out.q.eq(Cat(out.q, code)[fmt.bits :])
        m.d.comb += [out.s.eq(amax), out.sel.eq(best)]
        return m

    def _judge(
        self,
        m: Module,
        turn: Signal,
        step: Signal,
        working: Value,
        error: Value,
        tried: Value,
        best: Signal,
    ) -> None:
        """Add up the squared errors of each pass and keep the first least one."""
        fmt = self.fmt
        width = 2 * len(error) + (self.size - 1).bit_length() + 1
        held = Signal(len(error), reset_less=True)
        total = Signal(width, reset_less=True)
        least = Signal(width + max(fmt.weights).bit_length(), reset_less=True)
        weight = Const(fmt.weights[0])
        if len(fmt.specials) > 1:
            weight = Mux(tried[1], *fmt.weights[::-1])
        weighed = wire(m, total * weight, "weighed")
        with m.If(working):
            m.d.sync += held.eq(error)
            m.d.sync += total.eq(Mux(step == 0, 0, total + held * held))
            judged = (turn != 0) & (turn != self.passes - 1) & (step == self.size + 1)
            with m.If(judged & ((turn == 1) | (weighed < least))):
                m.d.sync += [least.eq(weighed), best.eq(tried)]

    def _element(
        self, m: Module, negative: Value, size: Value, amax: Value, chosen: Value
    ) -> tuple[Value, Value]:
        """Return the code of a number, and its distance from the code's value, times the grid's."""
        fmt = self.fmt
        chosen = wire(m, chosen, "candidate")
        wide = chosen[1] if len(fmt.specials) > 1 else Const(0, 1)
        scaled = wire(m, Mux(wide, size * fmt.tops[-1], size * fmt.tops[0]), "scaled")
        odds: dict[int, Value] = {}

        def multiple(factor: int) -> Value:
            twos = (factor & -factor).bit_length() - 1
            if factor >> twos not in odds:
                odds[factor >> twos] = wire(m, amax * (factor >> twos), f"times{factor >> twos}")
            return odds[factor >> twos] << twos

        def reached(twice: int, tie: Value) -> Value:
            """Whether the number is beyond a middle, of which ``tie`` counts the middle itself."""
            return wire(m, Cat(tie, Const(0, 1), scaled) > multiple(2 * twice), "reached")

        grid = fmt.grid
        # In a block of zeros every number is on every middle.
        some = wire(m, size.any(), "some")
        points = []
        for k in range(1, len(grid)):
            tie = negative if fmt.falls else some & Const(k % 2 == 0, 1)
            points.append(reached(grid[k - 1] + grid[k], tie))
        inside: list[Value] = []
        for special in fmt.specials:
            low, high = fmt.zone(special)
            zone = reached(low, negative if fmt.falls else some)
            if high is not None:
                zone = zone & ~reached(high, negative if fmt.falls else Const(0, 1))
            inside.append(zone)
        hit = Mux(wide, inside[-1], inside[0]) & (negative == chosen[0])
        hit = wire(m, hit, "is_special")
        rank: Value = Const(0, fmt.bits - 1)
        value: Value = Const(0, 1)
        for k, point in enumerate(points, 1):
            here = wire(m, point & ~points[k] if k < len(points) else point, "here")
            rank = rank | Const(k, fmt.bits - 1) & here.replicate(fmt.bits - 1)
            term = multiple(grid[k])
            value = value | term & here.replicate(len(term))
        special_value = Mux(wide, multiple(fmt.specials[-1]), multiple(fmt.specials[0]))
        value = wire(m, Mux(hit, special_value, value), "value")
        rank = wire(m, rank, "rank")
        code = Mux(hit, 1 << fmt.bits - 1, Cat(rank, negative & rank.any()))[: fmt.bits]
        # The value is on the number's side of zero.
        error = wire(m, scaled - value, "difference")
        return wire(m, code, "code"), wire(m, Mux(error[-1], -error, error)[:-1], "error")

# SPDX-License-Identifier: Apache-2.0
"""Rows that wait for their end, each element beside the other one of its pair."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.arith.recode import lookup
from hw.arith.wires import wire
from hw.attention.rope_params import RopeParams

__all__ = ["RopeRows"]


class RopeRows(wiring.Component):
    """Take rows, and give each when its last beat has come.

    Each lane keeps its elements in one memory and the partners of its elements in two: those that
    come before them, and those that come after. So what comes in a beat goes to different places.

    Parameters
    ----------
    params : :class:`RopeParams`

    Members
    -------
    valid, x, keep, last, pos, inverse : ``In``
        A beat; ``ready`` : ``Out(1)`` says that it is taken.
    moves : ``In(1)``
        What is given is taken, or nothing is.
    o_valid, o_own, o_other, o_beat, o_last, o_pos, o_inverse, o_err : ``Out``
        A beat of the row, the partners of its elements, and its number in the row. A row of other
        beats or elements than ``dim`` is one beat, with ``o_err``.

    Timing
    ------
    One beat per cycle each way; the first beat of a row is given two cycles after its last one
    is taken.
    """

    def __init__(self, params: RopeParams):
        self.params = params
        width = params.lanes * params.x_bits
        members: dict[str, Any] = {"valid": In(1), "x": In(width), "keep": In(params.lanes)}
        members |= {"last": In(1), "pos": In(32), "inverse": In(1), "ready": Out(1), "moves": In(1)}
        members |= {"o_valid": Out(1), "o_own": Out(width), "o_other": Out(width)}
        members |= {"o_beat": Out(unsigned(max(1, (params.beats - 1).bit_length())))}
        members |= {"o_last": Out(1), "o_pos": Out(32), "o_inverse": Out(1), "o_err": Out(1)}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        lanes, beats = params.lanes, params.beats
        used, put, get = Signal(2), Signal(), Signal()
        count, wrong, at = Signal(range(beats + 1)), Signal(), Signal(range(beats))
        first = wire(m, count == 0, "first")
        m.d.comb += self.ready.eq(Mux(first & ~wrong, used != 2, 1))
        takes = wire(m, self.valid & self.ready, "takes")
        keeps = [
            sum(1 << lane for lane in range(lanes) if beat * lanes + lane < params.dim)
            for beat in range(beats)
        ]
        full = wire(m, count == beats, "full")
        fits = wire(m, ~full & (self.keep == lookup([*keeps, 0], count, lanes)), "fits")
        bad = wire(m, wrong | ~fits, "bad")
        opens = wire(m, takes & first & ~wrong, "opens")
        closes = wire(m, takes & self.last, "closes")
        ready = Signal(2)
        records = []
        for name, source, enable in (
            ("pos", self.pos, opens),
            ("inverse", self.inverse, opens),
            ("err", bad | (count != beats - 1), closes),
        ):
            kept = Array(Signal(len(source), name=f"{name}{k}", reset_less=True) for k in (0, 1))
            with m.If(enable):
                m.d.sync += kept[put].eq(source)
            records.append((name, kept[get]))
        with m.If(takes):
            m.d.sync += [count.eq(Mux(full, count, count + 1)), wrong.eq(bad)]
            with m.If(self.last):
                m.d.sync += [count.eq(0), wrong.eq(0), put.eq(~put)]

        err = wire(m, records[2][1], "err")
        reads = wire(m, ready.any() & self.moves, "reads")
        ends = wire(m, (at == beats - 1) | err, "ends")
        frees = wire(m, reads & ends, "frees")
        m.d.sync += [used.eq(used + opens - frees), ready.eq(ready + closes - frees)]
        with m.If(reads):
            m.d.sync += at.eq(Mux(ends, 0, at + 1))
            with m.If(ends):
                m.d.sync += get.eq(~get)
        with m.If(self.moves):
            m.d.sync += [self.o_valid.eq(reads), self.o_beat.eq(at), self.o_last.eq(ends)]
            for name, value in records:
                m.d.sync += getattr(self, f"o_{name}").eq(value)
        self._memories(m, takes & ~full, count, put, at, get)
        return m

    def _memories(self, m: Module, enable: Any, count: Any, put: Any, at: Any, get: Any) -> None:
        params, bits = self.params, self.params.x_bits
        lanes, beats = params.lanes, params.beats
        elements = range(params.dim)
        own, other = [], []
        for lane in range(lanes):
            # For the element of each beat and lane: where it goes in this lane's memories.
            mine = {beat: (lane, beat) for beat in range(beats)}
            own.append(self._memory(m, f"own{lane}", enable, count, put, at, get, mine))
            sides = []
            for side in ("before", "after"):
                places: dict[int, tuple[int, int]] = {}
                for element in elements:
                    partner = params.partner(element)
                    if element % lanes != lane or partner is None:
                        continue
                    if (partner < element) == (side == "before"):
                        assert partner // lanes not in places, "two at once"
                        places[partner // lanes] = (partner % lanes, element // lanes)
                name = f"{side}{lane}"
                word = Const(0, bits)
                if places:
                    word = self._memory(m, name, enable, count, put, at, get, places)
                sides.append(word)
            firsts = [int((params.partner(k) or 0) < k) for k in range(lane, params.dim, lanes)]
            firsts += [0] * (beats - len(firsts))
            before = lookup(firsts, self.o_beat)
            other.append(wire(m, Mux(before, *sides), "other"))
        m.d.comb += [self.o_own.eq(Cat(*own)), self.o_other.eq(Cat(*other))]

    def _memory(
        self, m: Module, name: str, enable: Any, count: Any, put: Any, at: Any, get: Any,
        places: dict[int, tuple[int, int]],
    ) -> Any:  # fmt: skip
        """Return what a memory gives; ``places`` has input lane and place for some of the beats."""
        params = self.params
        size = max(1, (params.beats - 1).bit_length())
        m.submodules[name] = memory = Memory(shape=params.x_bits, depth=2 << size, init=[])
        write, read = memory.write_port(), memory.read_port()
        table = [places.get(beat) for beat in range(params.beats + 1)]
        lanes = [place[0] if place else 0 for place in table]
        lane = lookup(lanes, count, max(1, (params.lanes - 1).bit_length()))
        if len({place[0] for place in places.values()}) == 1:
            lane = Const(next(iter(places.values()))[0])
        m.d.comb += [
            write.en.eq(enable & lookup([int(place is not None) for place in table], count)),
            write.addr.eq(Cat(lookup([p[1] if p else 0 for p in table], count, size), put)),
            write.data.eq(self.x.word_select(wire(m, lane, "lane"), params.x_bits)),
            read.en.eq(self.moves),
            read.addr.eq(Cat(at | Const(0, size), get)),
        ]
        return read.data

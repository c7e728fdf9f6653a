# SPDX-License-Identifier: Apache-2.0
"""The unit ``rope``: rotary positions, from a phase of 32 bits for each pair."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.recode import lookup
from hw.arith.wires import wire
from hw.attention.half_up import clamped, half_up
from hw.attention.products import add_product
from hw.attention.rope_params import RopeParams
from hw.attention.rope_rows import RopeRows
from hw.attention.rows import along, give, signed_of
from hw.attention.table import Table, TableParams

__all__ = ["Rope", "build"]

_STEPS = 5  #: Step, phase, line, factors, products; before the register of the result.


class Rope(wiring.Component):
    """Rows whose pairs of elements are turned by their position.

    Parameters
    ----------
    params : :class:`RopeParams`

    Members
    -------
    i : ``In(stream)``
        ``x``, ``keep``, ``last``; ``pos`` and ``inverse`` with the first beat.
    o : ``Out(stream)``
        ``y``, ``keep``, ``last``, ``err``.

    Timing
    ------
    One beat per cycle each way, rows without a gap. Of a row of n beats that is alone the last
    result is taken in cycle ``2 * n + overhead``, counted from its first beat, which is cycle 1.
    """

    overhead = _STEPS + 2

    def __init__(self, params: RopeParams):
        self.params = params
        lanes = params.lanes
        beat = {"x": unsigned(lanes * params.x_bits), "keep": unsigned(lanes), "last": unsigned(1)}
        beat |= {"pos": unsigned(32), "inverse": unsigned(1)}
        answer = {"y": unsigned(lanes * params.y_bits), "keep": unsigned(lanes)}
        answer |= {"last": unsigned(1), "err": unsigned(1)}
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(beat))),
                "o": Out(stream.Signature(data.StructLayout(answer))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        lanes, beats = params.lanes, params.beats
        m.submodules.rows = rows = RopeRows(params)
        moving = wire(m, ~self.o.valid | self.o.ready, "moving")
        m.d.comb += [
            rows.valid.eq(self.i.valid),
            self.i.ready.eq(rows.ready),
            rows.moves.eq(moving),
        ]
        m.d.comb += [
            getattr(rows, name).eq(self.i.payload[name])
            for name in ("x", "keep", "last", "pos", "inverse")
        ]
        later, valid = along(m, moving, rows.o_valid, _STEPS)
        pos, err = later(rows.o_pos, 0), later(rows.o_err, 0, _STEPS - 1)
        inverse = later(rows.o_inverse, 0, 2)
        known: dict[tuple[int, ...], tuple[Value, ...]] = {}
        results, keeps = [], []
        for lane in range(lanes):
            elements = [beat * lanes + lane for beat in range(beats)]
            there = [element < params.dim for element in elements]
            steps = tuple(
                params.step(e) if is_there else 0
                for e, is_there in zip(elements, there, strict=True)
            )
            if steps not in known:
                step = later(wire(m, lookup(steps, rows.o_beat, 32), "step"), 0)
                known[steps] = self._sines(m, later, step, pos, moving, len(known))
            sine, cosine, sine_falls, cosine_falls = known[steps]
            firsts = [int((params.partner(e) or 0) > e) for e in elements]
            minus = later(wire(m, lookup(firsts, rows.o_beat), "minus"), 0, 2)
            own = later(signed_of(rows.o_own, lane, params.x_bits), 0, 3)
            other = later(signed_of(rows.o_other, lane, params.x_bits), 0, 3)
            falls = wire(m, sine_falls ^ inverse ^ minus, "falls")
            s = later(wire(m, Mux(falls, -sine, sine).as_signed(), "s"), 3)
            c = later(wire(m, Mux(cosine_falls, -cosine, cosine).as_signed(), "c"), 3)
            heap = BitHeap(m, params.x_bits + params.coef_bits + 1, params.target == "fpga")
            add_product(m, heap, c, own)
            add_product(m, heap, s, other)
            turned = later(wire(m, heap.total(), "turned"), 4)
            y = clamped(m, half_up(m, turned, params.coef_bits - 2), params.y_bits)
            some = lookup([int(k) for k in there], later(rows.o_beat, 0, _STEPS - 1))
            some = wire(m, some & ~err, "some")
            keeps.append(some)
            word = y[: params.y_bits] & some.replicate(params.y_bits)
            results.append(wire(m, word, "y"))
        last = later(rows.o_last, 0, _STEPS - 1)
        fields = {"y": Cat(*results), "keep": Cat(*keeps), "last": last, "err": err}
        give(m, self.o, moving, valid, fields)
        return m

    def _sines(
        self, m: Module, later: Any, step: Value, pos: Value, moving: Value, number: int
    ) -> tuple[Value, ...]:
        """Return sine and cosine, their magnitudes first, behind three stages."""
        params = self.params
        heap = BitHeap(m, 32, params.target == "fpga")
        add_product(m, heap, step, pos)
        phase = later(wire(m, heap.total().as_unsigned(), "phase"), 1)
        u = phase[14:30]
        table = TableParams("sin", 8, 8, closed=True, pipeline=1, target=params.target)
        found = []
        for name, at in (("up", u), ("down", (65536 - u)[:17])):
            m.submodules[f"{name}{number}"] = cell = Table(table)
            m.d.comb += [cell.u.eq(at), cell.en.eq(moving)]
            shift = 18 - params.coef_bits
            value = (cell.y + (1 << shift - 1) >> shift) if shift else cell.y
            found.append(wire(m, value[: params.coef_bits - 1], "size"))
        quadrant = later(phase[30:], 2)
        odd = wire(m, quadrant[0], "odd")
        sine = wire(m, Mux(odd, found[1], found[0]), "sine")
        cosine = wire(m, Mux(odd, found[0], found[1]), "cosine")
        return sine, cosine, quadrant[1], wire(m, quadrant[0] ^ quadrant[1], "cosine_falls")


def build(params: RopeParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    component: Any = Rope(params)
    lanes = {"lanes": params.lanes}
    component.latency = params.beats + component.overhead
    component.beats_per_cycle = 1
    component.number_formats = {
        "i_x": {"format": f"int{params.x_bits}", **lanes},
        "o_y": {"format": f"int{params.y_bits}", **lanes},
    }
    component.contract = {
        "answers": "each" if params.beats == 1 else "packets",
        "row_beats": params.beats,
        "row_cycles": params.beats,
        "passes": 2,
        "overhead": component.overhead,
        "row_interval": 1,
    }
    return component

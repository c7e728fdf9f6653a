# SPDX-License-Identifier: Apache-2.0
"""Partial rows of attention to one: split keys, shared prefixes."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.attention.finish import LEAST, Finish
from hw.attention.merge_params import MergeParams
from hw.attention.pipe import Beat, Pipe, entered, places, running
from hw.attention.rescale import UNITY_BITS, Rescale, Shift, shift_by
from hw.attention.weights import ScaledPower, exponent, power

__all__ = ["Merge", "build"]


class Merge(wiring.Component):
    """Add up the parts of rows, left to right, and divide by the sum of weights.

    Of what was summed and the next part, only one is rescaled: a multiplier each is enough. A
    normalised row is a part of the weight 1.

    Parameters
    ----------
    params : :class:`~hw.attention.merge_params.MergeParams`

    Members
    -------
    i : ``In(stream.Signature({m, l, o[, scale, sh], mo, so, last}))``
        A part; of form ``lse``: ``{lse, o, mo, so, last}``. Scales are those of a row's first beat.
        ``last`` closes the row.
    o : ``Out(stream.Signature({o, lse, err}))``
        Channels, s8; logarithm of the sum of weights; ``err``: more than ``max_parts`` parts.

    Timing
    ------
    A part a cycle; a row takes ``max(parts, row_cycles)`` cycles among others, and ``o`` is valid
    :attr:`latency` cycles after its last part is accepted where it comes alone. ``i.ready``
    follows ``o.ready`` combinationally.
    """

    beats_per_cycle = 1
    combinational_paths = (("o_ready", "i_ready"),)

    def __init__(self, params: MergeParams):
        self.params = params
        self.finish = Finish(params.finish)
        self.row_cycles = self.finish.row_cycles
        stages = 2 if params.shifts else 5 if params.normalised else 6
        self.latency = self.finish.latency + stages
        self.places = places(stages) + self.finish.places(stages)
        super().__init__(
            {
                "i": In(stream.Signature(params.beat)),
                "o": Out(stream.Signature(params.finish.result)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        m.submodules.finish = finish = self.finish
        wiring.connect(m, finish.o, wiring.flipped(self.o))
        moving = Signal()
        pipe = Pipe(m, moving)
        beat = self._part(m, pipe)
        scale = () if params.shifts or params.normalised else ("scale", "sh")
        beat = self._factor(m, pipe, beat)
        totals = self._sums(m, pipe, beat)
        beat = pipe.step(beat)
        names = {"top": "top", "mo": "mo", "so": "so", "err": "long"}
        names |= dict(zip(("m", "sh"), scale, strict=False))
        m.d.comb += [
            moving.eq(~pipe.ends | finish.i.ready),
            self.i.ready.eq(moving),
            finish.i.valid.eq(pipe.ends),
            finish.i.payload.l.eq(totals[0]),
            finish.i.payload.o.eq(Cat(*totals[1:])),
            *(finish.i.payload[port].eq(beat[name]) for port, name in names.items()),
        ]
        return m

    def _part(self, m: Module, pipe: Pipe) -> Beat:
        """Return a part a stage later: which is lower, it or what was before, and by how much."""
        params, given = self.params, self.i.payload
        lasting = ["mo", "so"]
        lasting += [] if params.shifts or params.normalised else ["scale", "sh"]
        beat = entered(m, pipe, self.i, lasting, params.max_parts)
        top = given.lse if params.normalised else given.m
        some = wire(m, (top != LEAST) if params.normalised else given.l.any(), "some")
        now, best, _, before = running(m, pipe, beat, top, some)
        both = wire(m, some & before, "both")
        rise = wire(m, ~both | (top > best), "rise")
        gap = wire(m, Mux(rise, top - best, best - top), "gap")
        beat |= {"rise": rise, "some": some, "top": now, "gap": Mux(both, gap, 0).as_unsigned()}
        if not params.normalised:
            beat["weight"] = given.l
        return pipe.step(beat | {"o": given.o})

    def _factor(self, m: Module, pipe: Pipe, beat: Beat) -> Beat:
        """Return a part with the factor of the lower one."""
        params, gap = self.params, beat.pop("gap")
        if params.shifts:
            return beat | {"factor": gap}
        if params.normalised:
            d = exponent(m, Cat(Const(0, 4), gap))
            factor = power(m, "power", d, UNITY_BITS, False, pipe.moving.replicate(2))
            beat = pipe.step(beat, 2)
        else:
            m.submodules.power = cell = ScaledPower(len(gap) + 1, UNITY_BITS, False)
            m.d.comb += [
                cell.x.eq(gap), cell.m.eq(beat["scale"]), cell.sh.eq(pipe.of(beat["sh"])),
                cell.en.eq(pipe.moving.replicate(3)),
            ]  # fmt: skip
            factor, beat = cell.e, pipe.step(beat, 3)
        return pipe.step(beat | {"factor": factor})

    def _sums(self, m: Module, pipe: Pipe, beat: Beat) -> list[Value]:
        """Return the sum of weights and the sums of channels."""
        params = self.params
        _, size = params.part_bits
        if params.normalised:
            parts = [beat["o"].word_select(c, 16) for c in range(params.value_dim)]
            parts = [Cat(Const(0, UNITY_BITS), part).as_signed() for part in parts]
            weight: Value = Const(1 << UNITY_BITS, UNITY_BITS + 2)
        else:
            parts = [beat["o"].word_select(c, size).as_signed() for c in range(params.value_dim)]
            weight = beat["weight"]
        found: list[Value] = []
        channels = [(params.finish.o_bits, part) for part in parts]
        for bits, value in [(params.finish.l_bits + 1, weight), *channels]:
            total = Signal(signed(bits), reset_less=True, name=f"total{len(found)}")
            part = Signal(signed(bits), name=f"part{len(found)}")
            kept = Signal(signed(bits), name=f"kept{len(found)}")
            m.submodules[f"sum{len(found)}"] = cell = (Shift if params.shifts else Rescale)(
                bits, bits
            )
            by = shift_by(m, beat["factor"], bits) if params.shifts else beat["factor"]
            m.d.comb += [
                part.eq(value),
                kept.eq(Mux(beat["some"], part, 0)),
                cell.x.eq(Mux(beat["rise"], total, part)),
                cell.p.eq(Mux(beat["rise"], kept, total)),
                cell.by.eq(by),
                cell.start.eq(beat["first"]),
            ]
            with m.If(pipe.moving & pipe.valid):
                m.d.sync += total.eq(cell.y)
            found.append(total)
        return [found[0][: params.finish.l_bits], *found[1:]]


def build(params: MergeParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    component: Any = Merge(params)
    component.contract = {
        "overhead": component.latency,
        "row_cycles": component.row_cycles,
        "max_beats": params.max_parts,
        "places": component.places,
        "l_bits": params.finish.l_bits,
        "o_bits": params.finish.o_bits,
    }
    size = 16 if params.normalised else params.part_bits[1]
    component.number_formats = {
        "i_o": {"format": f"int{size}", "lanes": params.value_dim},
        "o_o": {"format": "int8", "lanes": params.value_dim},
    }
    return component

# SPDX-License-Identifier: Apache-2.0
"""Attention of one query over tiles of keys and values, one tile a cycle."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.bitheap import BitHeap
from hw.arith.wires import wire
from hw.attention.attention_params import AttentionParams
from hw.attention.attention_scores import scores, weights
from hw.attention.finish import Finish
from hw.attention.finish_params import FinishParams
from hw.attention.pipe import Beat, Pipe, places
from hw.attention.rescale import Rescale, Shift, shift_by
from hw.pe.cells import Dot
from hw.pe.params import PEParams

__all__ = ["Attention", "build"]


class Attention(wiring.Component):
    """Softmax of scores times values, for rows of any length, with the state on chip.

    Scores, their running maximum, exponentials and sums each are a part of one pipeline, so that
    the sums are rescaled when their tile reaches them and a new maximum holds up nothing.

    Parameters
    ----------
    params : :class:`~hw.attention.attention_params.AttentionParams`

    Members
    -------
    i : ``In(stream.Signature({q, k, v, keep, last, m, sh[, mo, so]}))``
        A tile: query, keys, values, the keys that count. ``q``, ``mo``, ``so`` and, of ``fa-int``,
        ``m``, ``sh`` are those of a row's first beat. ``last`` closes the row.
    o : ``Out(stream.Signature({o, lse, err}))`` or ``Out(stream.Signature({m, l, o, err}))``
        ``row``: channels, s8, and the logarithm of the sum of weights, 8 fraction bits.
        ``partial``: the state, for the unit ``merge``. ``err``: more than ``max_beats`` beats.

    Timing
    ------
    A tile a cycle; a row takes ``max(beats, row_cycles)`` cycles among others, and ``o`` is valid
    :attr:`latency` cycles after its last beat is accepted where it comes alone. ``i.ready``
    follows ``o.ready`` combinationally.
    """

    beats_per_cycle = 1
    combinational_paths = (("o_ready", "i_ready"),)

    def __init__(self, params: AttentionParams):
        self.params = params
        self.finish = None
        self.row_cycles, self.latency = 1, 9 if params.shifts else 8
        self.places = places(self.latency)
        if params.result == "row":
            finish = FinishParams(
                channels=params.channels,
                l_bits=params.l_bits,
                o_bits=params.o_bits,
                m_bits=params.m_bits,
                exp_bits=params.exp_bits,
                maximum="octaves" if params.shifts else "scores",
            )
            self.finish = Finish(finish)
            self.row_cycles = self.finish.row_cycles
            self.places += self.finish.places(self.latency)
            self.latency += self.finish.latency
        super().__init__(
            {"i": In(stream.Signature(params.beat)), "o": Out(stream.Signature(params.answer))}
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        moving = Signal()
        pipe = Pipe(m, moving)
        m.d.comb += self.i.ready.eq(moving)
        beat = scores(m, pipe, params, self.i)
        beat = weights(m, pipe, params, beat)
        total, channels = self._sums(m, pipe, beat)
        ends = pipe.step(beat)
        if self.finish is None:
            out = self.o
            bad = wire(m, ends["long"] | ~ends["any"], "bad")
            m.d.comb += [
                out.payload.m.eq(Mux(bad, 0, ends["top"])),
                out.payload.l.eq(Mux(bad, 0, total)),
                out.payload.o.eq(Mux(bad, 0, channels)),
            ]
        else:
            m.submodules.finish = self.finish
            out = self.finish.i
            wiring.connect(m, self.finish.o, wiring.flipped(self.o))
            m.d.comb += [out.payload.top.eq(ends["top"]), out.payload.l.eq(total)]
            m.d.comb += out.payload.o.eq(channels)
            given = ("mo", "so") if params.shifts else ("m", "sh", "mo", "so")
            m.d.comb += [out.payload[name].eq(ends[name]) for name in given]
        m.d.comb += [
            out.payload.err.eq(ends["long"]), out.valid.eq(pipe.ends),
            moving.eq(~pipe.ends | out.ready),
        ]  # fmt: skip
        return m

    def _sums(self, m: Module, pipe: Pipe, beat: Beat) -> tuple[Value, Value]:
        """Return the sum of weights and the sums of weighted values, a stage apart in time."""
        params = self.params
        lanes = PEParams(
            format="int8", act=f"uint{params.exp_bits}", arch="shift-add", lanes=params.tile,
            core="dot",
        )  # fmt: skip
        e = Cat(*beat["e"])
        heap = BitHeap(m, (params.tile * params.largest).bit_length() + 1)
        for weight in beat["e"]:
            heap.add(weight)
        sums = [heap.total()]
        for channel in range(params.channels):
            m.submodules[f"values{channel}"] = dot = Dot(lanes)
            column = [
                beat["v"].word_select(key * params.channels + channel, 8)
                for key in range(params.tile)
            ]
            m.d.comb += [dot.a.eq(e), dot.w.eq(Cat(*column))]
            sums.append(dot.p)
        names = ("first", "factor", "long", "any", "top", "m", "sh", "mo", "so")
        later = {name: beat[name] for name in names if name in beat} | {"sums": sums}
        beat.clear()
        beat.update(pipe.step(later))
        sums = beat.pop("sums")
        found: list[Value] = []
        for bits, words in ((params.l_bits + 1, sums[:1]), (params.o_bits, sums[1:])):
            factor = beat["factor"]
            if params.shifts:
                factor = shift_by(m, factor, bits)
            for value in words:
                cell = (Shift if params.shifts else Rescale)(bits, len(value))
                m.submodules[f"sum{len(found)}"] = cell
                register = Signal(signed(bits), reset_less=True, name=f"total{len(found)}")
                m.d.comb += [
                    cell.x.eq(register), cell.by.eq(factor), cell.p.eq(value),
                    cell.start.eq(beat["first"]),
                ]  # fmt: skip
                with m.If(pipe.moving & pipe.valid):
                    m.d.sync += register.eq(cell.y)
                found.append(register)
        return found[0][: params.l_bits], Cat(*found[1:])


def build(params: AttentionParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    component: Any = Attention(params)
    component.contract = {
        "overhead": component.latency,
        "row_cycles": component.row_cycles,
        "max_beats": params.max_beats,
        "places": component.places,
        "x_bits": params.x_bits,
        "m_bits": params.m_bits,
        "l_bits": params.l_bits,
        "o_bits": params.o_bits,
    }
    whole = {"format": f"int{params.qk_bits}", "lanes": params.head_dim}
    component.number_formats = {
        "i_q": whole,
        "i_k": whole | {"lanes": params.head_dim * params.tile},
        "i_v": {"format": "int8", "lanes": params.channels * params.tile},
    }
    if params.result == "row":
        component.number_formats["o_o"] = {"format": "int8", "lanes": params.channels}
    return component

# SPDX-License-Identifier: Apache-2.0
"""The unit ``fnet-mixing``: real part of the Fourier transform over tokens and channels."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.butterfly.butterfly import GAP, OVERHEAD, Butterfly, stage_cycles
from hw.butterfly.mixing_params import MixingParams
from hw.butterfly.params import EXP_BITS
from hw.butterfly.transpose import SHIFT_BITS, Transpose

__all__ = ["Mixing", "build"]


class _State(enum.Enum):
    BEGIN = 0  #: wait for a tile
    FILL = 1  #: transform its tokens
    DRAIN = 2  #: until all are back
    MIX = 3  #: transform its channels
    REFUSE = 4  #: answer an error


class _Count:
    """A counter of ``bits`` that begins anew after ``2**(log2 - base)`` moves."""

    def __init__(
        self, m: Module, bits: int, log2: Value, base: int, moves: Value, clear: Value
    ):  # fmt: skip
        self.at = Signal(bits, name="at")
        ones = wire(m, Cat(*(log2 > base + k for k in range(bits))), "ones")
        self.ends = wire(m, self.at == ones, "ends") if bits else Const(1, 1)
        with m.If(clear):
            m.d.sync += self.at.eq(0)
        with m.Elif(moves):
            m.d.sync += self.at.eq(Mux(self.ends, 0, self.at + 1))


class Mixing(wiring.Component):
    """Mix tiles by two runs of one engine.

    Parameters
    ----------
    params : :class:`MixingParams`

    Members
    -------
    i : ``In(stream.Signature(...))``
        ``x``, ``log2t``, ``log2d``, ``last``: a tile, token after token.
    o : ``Out(stream.Signature(...))``
        ``y``, ``exp``, ``last``, ``err``: its channels, one after the other.

    Timing
    ------
    The tokens take the engine's cycles each, then the channels do; a tile enters when the one
    before has left.
    """

    def __init__(self, params: MixingParams):
        self.params = params
        words = unsigned(params.lanes * params.data_bits)
        beat = {"x": words, "log2t": unsigned(4), "log2d": unsigned(4), "last": unsigned(1)}
        answer = {"y": words, "exp": signed(6), "last": unsigned(1), "err": unsigned(2)}
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(beat))),
                "o": Out(stream.Signature(data.StructLayout(answer))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        m.submodules.engine = engine = Butterfly(params.engine)
        m.submodules.tile = tile = Transpose(params)
        state = Signal(_State)
        log2t, log2d = Signal(4), Signal(4)
        begins = wire(m, (state == _State.BEGIN) & self.i.valid, "begins")
        fills, mixes = (wire(m, state == s, "in_state") for s in (_State.FILL, _State.MIX))
        wrong, late, err = Signal(), Signal(), Signal(2)

        # Tokens to the engine; what is too much or makes no tile is dropped.
        beat = self.i.payload
        dropped = wire(m, wrong | late, "dropped")
        take = wire(m, self.i.valid & self.i.ready, "take")
        parts = _Count(m, tile.beat_bits, log2d, params.lane_bits, take, begins)
        rows = _Count(m, params.token_bits, log2t, 0, take & parts.ends, begins)
        due = wire(m, parts.ends & rows.ends, "due")
        m.d.comb += self.i.ready.eq(fills & (dropped | engine.i.ready))
        with m.If(begins):
            m.d.sync += [log2t.eq(beat.log2t), log2d.eq(beat.log2d), late.eq(0)]
            sizes = ((beat.log2t, params.token_bits), (beat.log2d, params.channel_bits))
            bad = [(size < 3) | (size > most) for size, most in sizes]
            m.d.sync += [wrong.eq(Cat(*bad).any()), state.eq(_State.FILL)]
        with m.If(take):
            m.d.sync += late.eq(late | due)
            with m.If(beat.last):
                m.d.sync += state.eq(_State.DRAIN)
                m.d.sync += err.eq(Mux(wrong, 1, Mux(due & ~late, 0, 2)))

        # What comes back of them is kept.
        given = engine.i.valid & engine.i.ready & engine.i.payload.last
        back = wire(m, engine.o.valid & engine.o.ready, "back")
        whole = wire(m, back & engine.o.payload.last, "whole")
        under_way = Signal(4)
        m.d.sync += under_way.eq(under_way + given - whole)
        exp = wire(m, engine.o.payload.exp.as_signed(), "exp")
        top = Signal(SHIFT_BITS)
        collects = wire(m, back & ~mixes, "collects")
        beats = _Count(m, tile.beat_bits, log2d, params.lane_bits, collects, begins)
        kept = _Count(m, params.token_bits, log2t, 0, collects & beats.ends, begins)
        with m.If(begins):
            m.d.sync += top.eq(0)
        with m.Elif(collects & (exp[:SHIFT_BITS] > top)):
            m.d.sync += top.eq(exp[:SHIFT_BITS])
        bits = params.data_bits
        words = [
            part.word_select(k, bits)
            for k in range(params.lanes)
            for part in (engine.o.payload.re, engine.o.payload.im)
        ]
        m.d.comb += [
            tile.put.eq(collects), tile.token.eq(kept.at), tile.beat.eq(beats.at),
            tile.data.eq(Cat(*words)), tile.exp.eq(exp), tile.top.eq(top),
        ]  # fmt: skip
        with m.If((state == _State.DRAIN) & (under_way == 0)):
            m.d.sync += state.eq(Mux(err == 0, _State.MIX, _State.REFUSE))

        self._columns(m, engine, tile, log2t, log2d, mixes, begins)
        first = [tile.words.word_select(2 * k, bits) for k in range(params.lanes)]
        second = [tile.words.word_select(2 * k + 1, bits) for k in range(params.lanes)]
        m.d.comb += [
            engine.i.payload.op.eq(1),
            engine.i.payload.log2n.eq(Mux(mixes, log2t, log2d)),
            engine.i.payload.re.eq(Mux(mixes, Cat(*first), beat.x)),
            engine.i.payload.im.eq(Mux(mixes, Cat(*second), 0)),
            engine.i.valid.eq(Mux(mixes, tile.valid, fills & self.i.valid & ~dropped)),
        ]
        sent = _Count(
            m, tile.part_bits, log2t, params.lane_bits, mixes & tile.valid & tile.moves, begins
        )
        m.d.comb += engine.i.payload.last.eq(Mux(mixes, sent.ends, parts.ends | beat.last))
        self._answers(m, engine, state, log2d, mixes, whole, top, err, begins)
        return m

    def _columns(
        self, m: Module, engine: Butterfly, tile: Transpose, log2t: Value, log2d: Value,
        mixes: Value, begins: Value,
    ) -> None:  # fmt: skip
        """Read the channels one after the other."""
        params = self.params
        moves = wire(m, ~tile.valid | (mixes & engine.i.ready), "moves")
        over = Signal()
        get = wire(m, mixes & ~over, "get")
        step = wire(m, get & moves, "step")
        parts = _Count(m, tile.part_bits, log2t, params.lane_bits, step, begins)
        channels = _Count(m, params.channel_bits, log2d, 0, step & parts.ends, begins)
        with m.If(begins):
            m.d.sync += over.eq(0)
        with m.Elif(step & parts.ends & channels.ends):
            m.d.sync += over.eq(1)
        m.d.comb += [
            tile.moves.eq(moves), tile.get.eq(get),
            tile.channel.eq(channels.at), tile.part.eq(parts.at),
        ]  # fmt: skip

    def _answers(
        self, m: Module, engine: Butterfly, state: Any, log2d: Value, mixes: Value, whole: Value,
        top: Value, err: Value, begins: Value,
    ) -> None:  # fmt: skip
        params = self.params
        refuses = wire(m, state == _State.REFUSE, "refuses")
        done = _Count(m, params.channel_bits, log2d, 0, whole & mixes, begins)
        answer, exp = self.o.payload, engine.o.payload.exp[:EXP_BITS].as_signed()
        m.d.comb += [
            self.o.valid.eq((mixes & engine.o.valid) | refuses),
            engine.o.ready.eq(~mixes | self.o.ready),
            answer.y.eq(Mux(refuses, 0, engine.o.payload.re)),
            answer.exp.eq(Mux(refuses, 0, exp + top)),
            answer.err.eq(Mux(refuses, err, 0)),
            answer.last.eq(refuses | (engine.o.payload.last & done.ends)),
        ]
        with m.If(self.o.valid & self.o.ready & answer.last):
            m.d.sync += state.eq(_State.BEGIN)


def build(params: MixingParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    component: Any = Mixing(params)
    engine = params.engine
    rates, longest = [], 0
    for t in range(3, params.token_bits + 1):
        for d in range(3, params.channel_bits + 1):
            each = [stage_cycles(engine, size, True) + GAP for size in (d, t)]
            cycles = (1 << t) * each[0] + (1 << d) * each[1] + 2 * sum(each) + 4 * OVERHEAD
            rates.append((max(1, (1 << d) // params.lanes) << t) / cycles)
            longest = max(longest, sum(each))
    # What passes without a transfer: the last token, then the first channel.
    component.latency = 2 * longest + 4 * OVERHEAD + 2 * engine.max_beats
    component.beats_per_cycle = min(rates)
    component.number_formats = {
        name: {"format": f"int{params.data_bits}", "lanes": params.lanes} for name in ("i_x", "o_y")
    }
    component.contract = {"answers": "packets"}
    return component

# SPDX-License-Identifier: Apache-2.0
"""Groups of elements to words of codes, for a key-value cache."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.attention.kv_cache_params import WORD, KvCacheParams
from hw.attention.rows import signed_of

__all__ = ["KvQuantize"]


class KvQuantize(wiring.Component):
    """Codes of KIVI: ``RNE((x - mn) * Q / R)``, found by comparing, without a division.

    Parameters
    ----------
    params : :class:`KvCacheParams`

    Members
    -------
    i : ``In(stream)``
        ``x``, ``last``: a packet is a group, of axis ``token`` one in each lane.
    o : ``Out(stream)``
        ``w``, ``mn``, ``r``, ``last``, ``err``.

    Timing
    ------
    A beat a cycle. A group is read again when its last beat has told the range, while the next
    enters; its first word comes :attr:`overhead` cycles after that beat, the others one a cycle.
    What waits at the end halts all: ``i.ready`` follows ``o.ready``.

    Source: Liu et al., "KIVI" (2024).
    """

    beats_per_cycle = 1
    combinational_paths = (("o_ready", "i_ready"),)

    def __init__(self, params: KvCacheParams):
        self.params = params
        self.overhead = params.beats + 5
        self.latency = self.overhead + params.words - 1
        beat = {"x": unsigned(params.lanes * params.x_bits), "last": unsigned(1)}
        answer = {name: unsigned(params.sides * params.x_bits) for name in ("mn", "r")}
        answer = {"w": unsigned(params.sides * WORD), **answer}
        answer |= {"last": unsigned(1), "err": unsigned(1)}
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(beat))),
                "o": Out(stream.Signature(data.StructLayout(answer))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params, beat = Module(), self.params, self.i.payload
        moving = Signal()
        takes = wire(m, self.i.valid & moving, "takes")
        first, count = Signal(init=1), Signal(range(params.beats + 1))
        fits = wire(m, count != params.beats, "fits")
        good = wire(m, takes & beat.last & (count == params.beats - 1), "good")
        bad = wire(m, takes & beat.last & (count != params.beats - 1), "bad")
        with m.If(takes):
            m.d.sync += [first.eq(beat.last), count.eq(Mux(beat.last, 0, count + fits))]
        m.d.comb += self.i.ready.eq(moving)
        goods, bads = (self._line(m, moving, bit) for bit in (good, bad))
        x = self._store(m, moving, takes & fits, count, goods)
        least, ranges = self._extremes(m, moving, takes, first)
        codes = []
        offsets, reaches = [], []
        for side in range(params.sides):
            # Two copies: one for the elements as they come, one for their differences.
            mn, r = (self._held(m, moving & goods[3], v[side]) for v in (least, ranges))
            bounds = [
                self._held(m, moving & goods[4], wire(m, r * (2 * k + 1), "bound"))
                for k in range(params.most)
            ]
            offsets.append(self._held(m, moving & goods[4], mn))
            reaches.append(self._held(m, moving & goods[4], r))
            many = params.lanes // params.sides
            for lane in range(side * many, (side + 1) * many):
                apart = wire(m, (signed_of(x, lane, params.x_bits) - mn)[: params.x_bits], "apart")
                scaled = self._held(m, moving, wire(m, apart * (2 * params.most), "scaled"))
                codes.append(self._code(m, scaled, bounds, reaches[-1].any()))
        packed = self._packed(m, moving, codes)
        self._answer(m, moving, goods[-1], bads[-1], packed, Cat(*offsets), Cat(*reaches))
        return m

    def _line(self, m: Module, moving: Value, bit: Value) -> list[Value]:
        """Return ``bit`` as it was 0, 1, ... beats of time ago."""
        line = [bit]
        for _ in range(self.overhead - 1):
            held = Signal(name="event")
            with m.If(moving):
                m.d.sync += held.eq(line[-1])
            line.append(held)
        return line

    def _held(self, m: Module, enable: Value, value: Value) -> Signal:
        held = Signal(value.shape(), reset_less=True, name="held")
        with m.If(enable):
            m.d.sync += held.eq(value)
        return held

    def _store(
        self, m: Module, moving: Value, writes: Value, count: Value, goods: list[Value]
    ) -> Value:
        """Return the beats of a group, the first of them four cycles after the group was whole."""
        beats = self.params.beats
        # The shortest groups are overtaken by more than one behind them.
        slots = 2 if beats > 2 else 4
        bits = (beats - 1).bit_length()
        m.submodules.memory = memory = Memory(
            shape=len(self.i.payload.x), depth=slots << bits, init=[]
        )
        write, read = memory.write_port(), memory.read_port()
        into, held = Signal(range(slots)), Signal(range(slots), init=slots - 1)
        place = Signal(range(max(2, beats)))
        begins = goods[3]
        out_of = wire(m, Mux(begins, held + 1, held)[: len(held)], "out_of")
        at = wire(m, Mux(begins, 0, place), "at")
        with m.If(moving):
            m.d.sync += [held.eq(out_of), place.eq(at + 1), into.eq(into + goods[0])]
        m.d.comb += [
            write.en.eq(writes),
            write.addr.eq(Cat(count[:bits], into)),
            write.data.eq(self.i.payload.x),
            read.en.eq(moving),
            read.addr.eq(Cat(at[:bits], out_of)),
        ]
        return read.data

    def _extremes(
        self, m: Module, moving: Value, takes: Value, first: Value
    ) -> tuple[list[Value], list[Value]]:
        """Return the least element and the range of each group, three cycles after its end."""
        params, bits = self.params, self.params.x_bits
        some, opens = Signal(), Signal(reset_less=True)
        with m.If(moving):
            m.d.sync += [some.eq(takes), opens.eq(first)]
        least, ranges = [], []
        many = params.lanes // params.sides
        for side in range(params.sides):
            lanes = range(side * many, (side + 1) * many)
            words = [signed_of(self.i.payload.x, lane, bits) for lane in lanes]
            ends = []
            for above in (False, True):
                best = self._held(m, moving, self._best(m, words, above))
                running = Signal(signed(bits), reset_less=True, name="running")
                both = self._best(m, [running, best], above)
                with m.If(moving & some):
                    m.d.sync += running.eq(Mux(opens, best, both))
                ends.append(running)
            low, high = ends
            least.append(self._held(m, moving, low))
            ranges.append(self._held(m, moving, wire(m, (high - low)[:bits], "range")))
        return least, ranges

    def _best(self, m: Module, words: list[Value], above: bool) -> Value:
        """Return the greatest of signed words, or the least."""
        while len(words) > 1:
            pairs = [words[k : k + 2] for k in range(0, len(words), 2)]
            words = [
                wire(m, Mux((p[0] > p[1]) == above, p[0], p[1]).as_signed(), "best")
                if p[1:]
                else p[0]
                for p in pairs
            ]
        return words[0]

    def _code(self, m: Module, scaled: Value, bounds: list[Signal], some: Value) -> Value:
        """Return how many bounds lie below: ties fall to the even code."""
        below = [
            wire(m, (scaled >= bound) if k & 1 else (scaled > bound), "below")
            for k, bound in enumerate(bounds)
        ]
        code: list[Value] = []
        for _ in range(self.params.bits):
            middle = len(below) // 2
            code.insert(0, below[middle])
            below = [
                wire(m, Mux(code[0], high, low), "chosen")
                for low, high in zip(below[:middle], below[middle + 1 :], strict=True)
            ]
        return wire(m, Cat(*code) & some.replicate(self.params.bits), "code")

    def _packed(self, m: Module, moving: Value, codes: list[Value]) -> list[Value]:
        """Return the codes of the last beats, those of one group below each other."""
        params = self.params
        many, size = params.lanes // params.sides, params.group * params.bits
        packed = []
        for side in range(params.sides):
            now = Cat(*codes[side * many : (side + 1) * many])
            before = Signal(size - len(now), reset_less=True, name="before")
            whole = wire(m, Cat(before, now), "whole")
            with m.If(moving):
                m.d.sync += before.eq(whole[len(now) :])
            packed.append(whole)
        return packed

    def _answer(
        self, m: Module, moving: Signal, good: Value, bad: Value, packed: list[Value],
        mn: Value, r: Value,
    ) -> None:  # fmt: skip
        """Give the words of a group, and behind them what the packets up to the next err."""
        params, o = self.params, self.o
        left, errs = Signal(range(params.words + 1)), Signal(range(params.words + 2))
        gives = wire(m, o.valid & o.ready, "gives")
        word = wire(m, left.any(), "word")
        final = wire(m, (left <= 1) & (errs == ~word), "final")
        over = wire(m, ~o.valid | (gives & final), "over")
        room = wire(m, errs != params.words + 1, "room")
        m.d.comb += [
            moving.eq(Mux(good, over, ~bad | room)),
            o.valid.eq(word | errs.any()),
            o.payload.last.eq(~word | (left == 1)),
            o.payload.err.eq(~word),
        ]
        begins, fails = wire(m, good & moving, "begins"), wire(m, bad & moving, "fails")
        with m.If(begins):
            m.d.sync += left.eq(params.words)
        with m.Elif(gives & word):
            m.d.sync += left.eq(left - 1)
        m.d.sync += errs.eq(errs + fails - (gives & ~word))
        words = []
        for whole in packed:
            rest = Signal(len(whole), reset_less=True, name="rest")
            with m.If(begins):
                m.d.sync += rest.eq(whole)
            with m.Elif(gives):
                m.d.sync += rest.eq(rest[WORD:])
            words.append(rest[:WORD])
        for name, value in (("w", Cat(*words)), ("mn", mn), ("r", r)):
            if name != "w":
                value = self._held(m, begins, value)
            m.d.comb += o.payload[name].eq(value & word.replicate(len(value)))

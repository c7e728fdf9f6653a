# SPDX-License-Identifier: Apache-2.0
"""Words of codes back to elements, for a key-value cache."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.attention.half_up import clamped
from hw.attention.kv_cache_params import WORD, KvCacheParams
from hw.attention.rows import along, give, signed_of

__all__ = ["KvDequantize"]


class KvDequantize(wiring.Component):
    """Elements of KIVI: ``mn + (2 * c * R + Q) // (2 * Q)``, clamped, without a division.

    Parameters
    ----------
    params : :class:`KvCacheParams`

    Members
    -------
    i : ``In(stream)``
        ``w``, ``last``; ``mn`` and ``r`` with the first beat of a group.
    o : ``Out(stream)``
        ``x``, ``last``, ``err``.

    Timing
    ------
    An element beat a cycle; the first comes :attr:`overhead` cycles after the last word of its
    group. The words of the next group enter meanwhile. ``i.ready`` follows ``o.ready``.

    Source: Liu et al., "KIVI" (2024).
    """

    overhead = 5
    combinational_paths = (("o_ready", "i_ready"),)

    def __init__(self, params: KvCacheParams):
        self.params = params
        self.latency = self.overhead + params.words - 1
        self.beats_per_cycle = params.words / params.beats
        beat = {name: unsigned(params.sides * params.x_bits) for name in ("mn", "r")}
        beat = {"w": unsigned(params.sides * WORD), **beat, "last": unsigned(1)}
        answer = {"x": unsigned(params.lanes * params.x_bits), "last": unsigned(1)}
        answer["err"] = unsigned(1)
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(beat))),
                "o": Out(stream.Signature(data.StructLayout(answer))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params, beat = Module(), self.params, self.i.payload
        moving = wire(m, ~self.o.valid | self.o.ready, "moving")
        whole, fails = Signal(), Signal()  # a group waits; a packet was none
        left, errs = Signal(range(params.beats + 1)), Signal(range(params.words + 3))
        word = wire(m, left.any(), "word")
        final = wire(m, (left <= 1) & Mux(word, errs == 0, errs <= 1), "final")
        opens = wire(m, whole & moving & final, "opens")
        takes = wire(m, self.i.valid & self.i.ready, "takes")
        first, count = Signal(init=1), Signal(range(params.words + 1))
        m.d.comb += self.i.ready.eq((~whole | opens) & (errs <= params.words))
        with m.If(opens):
            m.d.sync += whole.eq(0)
        ends = wire(m, takes & beat.last, "ends")
        good = wire(m, count == params.words - 1, "good")
        m.d.sync += fails.eq(ends & ~good)
        with m.If(takes):
            fits = count != params.words
            m.d.sync += [first.eq(beat.last), count.eq(Mux(beat.last, 0, count + fits))]
            m.d.sync += whole.eq(ends & good)
        with m.If(opens):
            m.d.sync += left.eq(params.beats)
        with m.Elif(moving & word):
            m.d.sync += left.eq(left - 1)
        m.d.sync += errs.eq(errs + fails - (moving & ~word & errs.any()))

        bits, many = params.x_bits, params.lanes // params.sides
        later, valid = along(m, moving, word | errs.any(), 2)
        err = wire(m, ~word, "err")
        elements = []
        for side in range(params.sides):
            words = Signal(params.words * WORD, reset_less=True, name="words")
            with m.If(takes):
                m.d.sync += words.eq(Cat(words, beat.w.word_select(side, WORD))[WORD:])
            mn, r = (
                self._kept(
                    m,
                    opens,
                    self._kept(m, takes & first, beat[name].word_select(side, bits)),
                )
                for name in ("mn", "r")
            )
            rest = Signal(len(words), reset_less=True, name="rest")
            with m.If(opens):
                m.d.sync += rest.eq(words)
            with m.Elif(moving):
                m.d.sync += rest.eq(rest[many * params.bits :])
            for lane in range(many):
                code = rest.word_select(lane, params.bits)
                share = self._share(m, later, wire(m, code, "code"), r)
                x = clamped(m, share + later(signed_of(mn, 0, bits), 0, 1), bits)
                elements.append(x[:bits] & ~later(err, 0, 1).replicate(bits))
        fields = {"x": Cat(*elements), "err": later(err, 0, 1)}
        give(m, self.o, moving, valid, {**fields, "last": later(err | (left == 1), 0, 1)})
        return m

    def _kept(self, m: Module, enable: Value, value: Value) -> Signal:
        kept = Signal(value.shape(), reset_less=True, name="kept")
        with m.If(enable):
            m.d.sync += kept.eq(value)
        return kept

    def _share(self, m: Module, later: Any, code: Value, r: Value) -> Value:
        """Return ``(2 * code * r + Q) // (2 * Q)``, behind two stages."""
        most, divisor = self.params.most, 2 * self.params.most
        numerator = later(wire(m, ((code * r) << 1) + most, "numerator"), 0)
        # Rounded up, the reciprocal of so many bits gives the floor of every numerator.
        shift = len(numerator) + divisor.bit_length()
        reciprocal = -(-(1 << shift) // divisor)
        quotient = wire(m, (numerator * reciprocal) >> shift, "quotient")
        return later(wire(m, quotient[: self.params.x_bits], "share"), 1)

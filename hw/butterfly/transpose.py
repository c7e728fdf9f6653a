# SPDX-License-Identifier: Apache-2.0
"""A tile of complex words that comes by rows and leaves by columns, scaled alike."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.butterfly.mixing_params import MixingParams

__all__ = ["SHIFT_BITS", "Transpose"]

SHIFT_BITS = 5  #: Width of the exponent of a row.


def _skewed(m: Module, words: list[Value], by: Value) -> list[Value]:
    """Return words whose places are changed by exclusive or."""
    for bit in range(len(by)):
        words = [
            wire(m, Mux(by[bit], words[k ^ 1 << bit], words[k]), "skewed")
            for k in range(len(words))
        ]
    return words


class Transpose(wiring.Component):
    """Keep a tile.

    Parameters
    ----------
    params : :class:`MixingParams`

    Members
    -------
    put, token, beat, data, exp
        A beat of a token's channels that is stored, with the exponent of the token.
    top : ``In``
        The largest exponent.
    moves, get, channel, part
        Whether the pipeline moves, and a beat of a channel's tokens that is read.
    valid, words : ``Out``
        A beat, three moves later; every token brought to the largest exponent.

    Words have the real part in the low bits. Channel c of token r lies in bank c ^ r.
    """

    def __init__(self, params: MixingParams):
        self.params = params
        width = params.lanes * 2 * params.data_bits
        self.beat_bits = max(0, params.channel_bits - params.lane_bits)
        self.part_bits = max(0, params.token_bits - params.lane_bits)
        super().__init__(
            {
                "put": In(1), "token": In(params.token_bits), "beat": In(self.beat_bits),
                "data": In(width), "exp": In(SHIFT_BITS), "top": In(SHIFT_BITS),
                "moves": In(1), "get": In(1), "channel": In(params.channel_bits),
                "part": In(self.part_bits), "valid": Out(1), "words": Out(width),
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        count, bits = params.lane_bits, params.data_bits
        depth = 1 << self.beat_bits + params.token_bits
        skew = wire(m, Cat(self.token, Const(0, count))[:count], "skew")
        given = [self.data.word_select(k, 2 * bits) for k in range(params.lanes)]
        given = _skewed(m, given, skew)
        back = wire(m, Cat(self.channel, Const(0, count))[:count], "back")
        high = self.channel[count:]
        held = []
        for bank, word in enumerate(given):
            memory = Memory(shape=unsigned(2 * bits), depth=depth, init=[])
            m.submodules[f"bank{bank}"] = memory
            write, read = memory.write_port(), memory.read_port()
            low = wire(m, (bank ^ back)[:count], "low")
            token = Cat(low, self.part)[: params.token_bits]
            m.d.comb += [
                write.en.eq(self.put),
                write.addr.eq(Cat(self.beat, self.token)),
                write.data.eq(word),
                read.en.eq(self.moves),
                read.addr.eq(Cat(high, token)),
            ]
            held.append(read.data)
        valid = [Signal(name=f"valid{k}") for k in range(3)]
        turned = Signal(count, reset_less=True)
        with m.If(self.moves):
            m.d.sync += [a.eq(b) for a, b in zip(valid, [self.get, *valid], strict=False)]
            m.d.sync += turned.eq(back)
        m.d.comb += self.valid.eq(valid[-1])
        lanes = _skewed(m, held, turned)
        shifts = self._shifts(m) if params.scaling == "bfp" else [None] * params.lanes
        for lane, (word, shift) in enumerate(zip(lanes, shifts, strict=True)):
            for part in range(2):
                kept = Signal(bits, name="kept", reset_less=True)
                result = Signal(bits, name="aligned", reset_less=True)
                with m.If(self.moves):
                    m.d.sync += kept.eq(word.word_select(part, bits))
                    m.d.sync += result.eq(kept if shift is None else self._down(m, kept, shift))
                m.d.comb += self.words.word_select(2 * lane + part, bits).eq(result)
        return m

    def _shifts(self, m: Module) -> list[Any]:
        """Return by how much each lane is shifted, in the stage before the last."""
        params, count = self.params, self.params.lane_bits
        memory = Memory(
            shape=unsigned(params.lanes * SHIFT_BITS), depth=max(2, 1 << self.part_bits), init=[]
        )
        m.submodules.exponents = memory
        write = memory.write_port(granularity=SHIFT_BITS)
        read = memory.read_port()
        m.d.comb += [
            write.en.eq(self.put << self.token[:count]),
            write.addr.eq(self.token[count:]),
            write.data.eq(self.exp.replicate(params.lanes)),
            read.en.eq(self.moves),
            read.addr.eq(self.part),
        ]
        shifts = []
        for lane in range(params.lanes):
            shift = Signal(SHIFT_BITS, name="shift", reset_less=True)
            with m.If(self.moves):
                m.d.sync += shift.eq(self.top - read.data.word_select(lane, SHIFT_BITS))
            shifts.append(shift)
        return shifts

    @staticmethod
    def _down(m: Module, word: Signal, shift: Signal) -> Value:
        """Return the word shifted down, rounded half up."""
        down = wire(m, Cat(0, word).as_signed() >> shift, "down")
        return wire(m, down[1:].as_signed() + down[0], "rounded")[: len(word)]

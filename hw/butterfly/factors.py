# SPDX-License-Identifier: Apache-2.0
"""What the butterflies multiply by: twiddles from a table, weights from a memory of two sets."""

import math
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.butterfly.params import ButterflyParams

__all__ = ["Twiddles", "Weights", "twiddle"]


def twiddle(frac: int, block: int) -> tuple[int, int]:
    """Return the twiddle of a block, of any stage that has it: ``exp(-2*pi*j*fraction)``.

    The fraction has the bits of the block's number in reverse, the lowest is worth a quarter.
    """
    bits = block.bit_length()
    places = int(f"{block:b}"[::-1], 2) / (1 << bits + 1) if block else 0.0
    angle = -2 * math.pi * places
    scale = 1 << frac
    return math.floor(math.cos(angle) * scale + 0.5), math.floor(math.sin(angle) * scale + 0.5)


class Twiddles(wiring.Component):
    """Twiddles of all butterflies of a beat.

    Parameters
    ----------
    params : :class:`ButterflyParams`

    Members
    -------
    block : ``In(stages - 1)``
        Block of the first butterfly, in cycle 0.
    near : ``In(lane_bits)``
        Bit b: butterflies ``2**b`` apart belong to blocks that follow each other; in cycle 0.
    re, im : ``Out(lanes / 2 * factor_bits)``
        Real and imaginary parts but for sign, in cycle 1.
    odd : ``Out(lanes / 2)``
        Whether the imaginary part has the other sign, in cycle 1.

    A block with an odd number has the twiddle of the one before, turned by a quarter: the table
    has only those of even numbers.
    """

    def __init__(self, params: ButterflyParams):
        self.params = params
        half = params.lanes // 2
        words = Out(half * params.factor_bits)
        super().__init__(
            {
                "block": In(params.stages - 1),
                "near": In(params.lane_bits),
                "re": words,
                "im": words,
                "odd": Out(half),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        half, frac, width = params.lanes // 2, params.twiddle_frac, params.factor_bits
        tables, inner = max(1, half // 2), max(1, params.lane_bits - 1)
        depth = max(2, params.max_size // 2 >> inner)
        address = self.block[inner:]
        part = params.twiddle_bits - 1
        mask = (1 << part) - 1
        found = []
        for table in range(tables):
            words = [twiddle(frac, 2 * (row * tables + table)) for row in range(depth)]
            init = [re & mask | (im & mask) << part for re, im in words]
            memory = Memory(shape=unsigned(2 * part), depth=depth, init=init)
            m.submodules[f"table{table}"] = memory
            port = memory.read_port()
            m.d.comb += port.addr.eq(address)
            # Real parts are 0 to 1, imaginary ones -1 to 0.
            found.append((port.data[:part], port.data[part:].as_signed()))
        base = Signal(inner)
        near = Signal(params.lane_bits)
        m.d.sync += [base.eq(self.block), near.eq(self.near)]
        for k in range(half):
            index = Cat(*(self._bit(m, base, near, k, bit) for bit in range(inner)))
            index = wire(m, index, "index")
            re = self._chosen(m, [pair[0] for pair in found], index[1:])
            im = self._chosen(m, [pair[1] for pair in found], index[1:])
            odd = index[0]
            m.d.comb += [
                self.re.word_select(k, width).eq(Mux(odd, im, re)),
                self.im.word_select(k, width).eq(Mux(odd, re, im)),
                self.odd[k].eq(odd),
            ]
        return m

    @staticmethod
    def _bit(m: Module, base: Signal, near: Signal, k: int, bit: int) -> Any:
        """Return a bit of the number of butterfly k's block."""
        moved = [near[b] for b in range(len(near)) if k >> b >> bit & 1]
        return base[bit] | Cat(*moved).any() if moved else base[bit]

    @staticmethod
    def _chosen(m: Module, words: list[Any], index: Any) -> Any:
        for bit in index:
            words = [
                wire(m, Mux(bit, b, a), "chosen")
                for a, b in zip(words[::2], words[1::2], strict=True)
            ]
        return words[0]


class Weights(wiring.Component):
    """Two sets of weights.

    Parameters
    ----------
    params : :class:`ButterflyParams`

    Members
    -------
    put, put_at, put_data
        A beat of weights that is stored, four to a butterfly.
    at : ``In``
        Beat that is read, in cycle 0.
    data : ``Out(lanes / 2 * 4 * weight_bits)``
        Its weights, in cycle 1.
    """

    def __init__(self, params: ButterflyParams):
        self.params = params
        self.set_beats = params.stages * params.max_beats
        address = In((2 * self.set_beats - 1).bit_length())
        width = params.lanes * 2 * params.weight_bits
        super().__init__(
            {
                "put": In(1), "put_at": address, "put_data": In(width),
                "at": address, "data": Out(width),
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        memory = Memory(shape=unsigned(len(self.data)), depth=2 * self.set_beats, init=[])
        m.submodules.memory = memory
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.en.eq(self.put),
            write.addr.eq(self.put_at),
            write.data.eq(self.put_data),
            read.addr.eq(self.at),
            self.data.eq(read.data),
        ]
        return m

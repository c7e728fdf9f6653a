# SPDX-License-Identifier: Apache-2.0
"""Results of a matrix engine to memory, row by row."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.arith.wires import wire
from hw.axi.axis import RegisterSlice
from hw.axi.dma import command, read_beats, write_beats
from hw.coprocessor.choice import chosen, own
from hw.coprocessor.params import CoprocessorParams
from hw.coprocessor.row_walk import RowWalk, Summands
from hw.mpgemm.writer import out_signature
from hw.spec.coprocessor import ACTIVATIONS

__all__ = ["Store"]


class Store(wiring.Component):
    """Write what leaves the engine: for each column tile the rows of C, each with one command.

    Parameters
    ----------
    params : :class:`~hw.coprocessor.params.CoprocessorParams`

    Members
    -------
    start : ``In(1)``
        A job begins. What follows stays until it is done.
    m, n : ``In(params.size_bits)``
    address : ``In(addr_bits)``, ``stride`` : ``In(18)``
        Of C, in bytes.
    activation : ``In(2)``, ``high``, ``low`` : ``In(signed(8))``
        See :data:`hw.spec.coprocessor.ACTIVATIONS`.
    choice : ``In``
        The engine that it is for.
    out, out1, ... : ``In(out_signature(...))``
        The ``m_axis_out`` of each engine.
    command : ``Out(command(addr_bits))``, ``beat`` : ``Out(write_beats(data_width))``
        To the writer of memory. Commands may begin at any byte.
    accumulate : ``In(1)``
        Add to what is in memory. Present with ``params.accumulate``, as are the next two.
    fetch : ``Out(command(addr_bits))``, ``fetched`` : ``In(read_beats(data_width))``
        To the reader of memory, for each row what it is added to.
    written : ``In(1)``
        A command's bytes are in memory.
    done : ``Out(1)``
        For one cycle: all of C is.
    error, nan : ``Out(1)``
        For one cycle: a beat had an error, or a column that is no number.

    Timing
    ------
    One beat of ``beat`` per cycle. All outputs come from registers, but ``out.ready`` where a row
    is one beat or a tile is one row. Elsewhere the rows of a tile wait in a memory, so that the
    engine, which gives them one a cycle, goes on with the next tile.
    """

    def __init__(self, params: CoprocessorParams):
        self.params = params
        reads = {
            "accumulate": In(1),
            "fetch": Out(command(params.addr_bits)),
            "fetched": In(read_beats(params.data_width)),
        }
        super().__init__(
            {
                **(reads if params.accumulate else {}),
                "start": In(1),
                "m": In(params.size_bits),
                "n": In(params.size_bits),
                "address": In(params.addr_bits),
                "stride": In(18),
                "activation": In(2),
                "high": In(signed(8)),
                "low": In(signed(8)),
                "choice": In(range(len(params.parts))),
                **{
                    f"out{i or ''}": In(out_signature(part.result))
                    for i, part in enumerate(params.parts)
                },
                "command": Out(command(params.addr_bits)),
                "beat": Out(write_beats(params.data_width)),
                "written": In(1),
                "done": Out(1),
                "error": Out(1),
                "nan": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        width = params.data_width
        row_bits = params.columns * 8 * params.c_bytes
        beats = -(-row_bits // width)
        wide = 8 * params.c_bytes > width  # a result takes several beats
        row_data, row_fails, row_nan, row_valid, takes = self._rows(m, beats)
        m.submodules.slice = held = RegisterSlice(write_beats(width))
        wiring.connect(m, held.o, wiring.flipped(self.beat))

        # The row that is being sent, what is left of it at the bottom.
        row, left = Signal(beats * width), Signal(range(beats + 1))
        waiting = Signal(12)  # commands are under way
        m.submodules.walk = walk = RowWalk(params)
        sides = ("start", "m", "n", "address", "stride")
        m.d.comb += [getattr(walk, name).eq(getattr(self, name)) for name in sides]
        last = wire(m, left == 1, "last")
        sent = Signal()
        here, word = Const(1, 1), row[:width]  # what is added to
        if params.accumulate:
            here, word = self._accumulated(m, word, sent, last, sides)
        sends = wire(m, left.any() & here, "sends")
        m.d.comb += sent.eq(sends & held.i.ready)
        free = ~left.any() | sent & last
        named = ~self.command.valid | self.command.ready
        m.d.comb += takes.eq(free & named)
        seen = wire(m, row_valid & takes, "seen")
        taken = wire(m, seen & walk.active & ~row_fails, "taken")

        m.d.comb += [
            walk.moves.eq(taken),
            held.i.valid.eq(sends),
            held.i.payload.data.eq(word if wide else self._activated(m, word)),
            held.i.payload.last.eq(last),
        ]
        with m.If(self.command.ready):
            m.d.sync += self.command.valid.eq(0)
        with m.If(sent):
            m.d.sync += [row.eq(row[width:]), left.eq(left - 1)]
        with m.If(taken):
            m.d.sync += [
                row.eq(self._activated(m, row_data) if wide else row_data),
                left.eq((walk.bytes + (width // 8 - 1)) >> exact_log2(width // 8)),
                self.command.valid.eq(1),
                self.command.payload.addr.eq(walk.at),
                self.command.payload.bytes.eq(walk.bytes),
            ]
        m.d.sync += waiting.eq(waiting + taken - self.written)
        ending = Signal()  # the last command has not been answered
        rests = wire(m, ending & ~walk.active & ~waiting.any(), "rests")
        m.d.sync += self.done.eq(rests)
        with m.If(rests):
            m.d.sync += ending.eq(0)
        m.d.sync += self.error.eq(seen & row_fails)
        m.d.sync += self.nan.eq(seen & ~row_fails & row_nan)
        with m.If(self.start):
            m.d.sync += ending.eq(1)
        return m

    def _rows(self, m: Module, beats: int) -> tuple[Value, Value, Value, Value, Signal]:
        """Return a row, its two marks and whether it is there; and what takes it."""
        takes, parts, ready, size = Signal(name="takes"), [], Signal(), 8 * self.params.c_bytes
        form = data.StructLayout({"data": self.params.columns * size, "fails": 1, "nan": 1})
        for number, part in enumerate(self.params.parts):
            out, mine = getattr(self, f"out{number or ''}"), chosen(self.choice, number)
            m.d.comb += out.ready.eq(ready & mine)
            user, bits = out.payload.tuser, part.result.out_bits
            columns = [
                _extended(out.payload.tdata.word_select(i, bits), size, not part.result.unsigned)
                for i in range(self.params.columns)
            ]
            beat = Cat(*columns, user[:4].any(), user[4:].any())
            parts.append((beat, out.valid & mine))
        beat = own(m, self.choice, range(len(parts)), "row_of", lambda number: parts[number][0])
        out, valid = data.View(form, beat), Cat(there for _, there in parts).any()
        if beats == 1 or self.params.rows == 1:
            m.d.comb += ready.eq(takes)
            return out.data, out.fails, out.nan, valid, takes
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=form.size, depth=self.params.rows + 1)
        m.d.comb += [
            ready.eq(fifo.w_rdy),
            fifo.w_en.eq(valid),
            fifo.w_data.eq(beat),
            fifo.r_en.eq(takes),
        ]
        row = data.View(form, fifo.r_data)
        return row.data, row.fails, row.nan, fifo.r_rdy, takes

    def _accumulated(
        self, m: Module, word: Value, sent: Value, last: Value, sides: tuple[str, ...]
    ) -> tuple[Value, Value]:
        """Return whether a beat of results can leave, and the beat with what is added to it."""
        bits = 8 * self.params.c_bytes
        m.submodules.summands = summands = Summands(self.params)
        wiring.connect(m, summands.command, wiring.flipped(self.fetch))
        wiring.connect(m, wiring.flipped(self.fetched), summands.beat)
        m.d.comb += [
            *(getattr(summands, name).eq(getattr(self, name)) for name in sides),
            summands.on.eq(self.accumulate),
            summands.left.eq(sent & last),
            summands.o.ready.eq(sent),
        ]
        held = wire(m, summands.o.payload & self.accumulate.replicate(len(word)), "before")
        sums = [
            (word.word_select(i, bits) + held.word_select(i, bits))[:bits]
            for i in range(len(word) // bits)
        ]
        return summands.o.valid | ~self.accumulate, wire(m, Cat(*sums), "summed")

    def _activated(self, m: Module, word: Value) -> Value:
        """Return ``word``, of whole results, past the activation."""
        params = self.params
        bits = 8 * params.c_bytes
        rectifies = wire(m, self.activation == ACTIVATIONS["relu"], "rectifies")
        clamps = wire(m, self.activation == ACTIVATIONS["clamp"], "clamps")
        crossed = wire(m, self.low > self.high, "crossed")  # then all become ``high``
        found: list[Value] = []
        signed_ = own(m, self.choice, [part.signed for part in params.parts], "signed")
        for i in range(len(word) // bits):
            plain = word.word_select(i, bits)
            negative = wire(m, plain[-1] & signed_, f"negative{i}")
            value = Cat(plain, negative).as_signed()
            result: Value = plain & ~(negative & rectifies).replicate(bits)
            if not all(part.result_float for part in params.parts):
                below = value < self.low
                above = wire(m, clamps & ((value > self.high) | below & crossed), f"above{i}")
                below = wire(m, clamps & below, f"below{i}")
                low, high = (_extended(side, bits, True) for side in (self.low, self.high))
                result = Mux(above, high, Mux(below, low, result))
            found.append(wire(m, result[:bits], f"result{i}"))
        return Cat(*found)


def _extended(value: Value, bits: int, as_signed: bool) -> Value:
    """Return the low ``bits`` bits of a value, above it its sign if it has one."""
    fill = value[-1] if as_signed else Const(0, 1)
    return Cat(value, fill.replicate(max(0, bits - len(value))))[:bits]

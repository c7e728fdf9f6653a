# SPDX-License-Identifier: Apache-2.0
"""Weights that are indices into a book of their column's values, which comes with the job."""

import dataclasses
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.select import lines
from hw.arith.wires import wire
from hw.cell import Cell
from hw.mpgemm.array_params import ArrayParams
from hw.mpgemm.broadcast import ArrayRows, Broadcast
from hw.mpgemm.shape import Shape
from hw.mpgemm.writer import row_signature

__all__ = ["BookColumn", "Books", "book_shape"]


def book_shape(params: ArrayParams, bits: int) -> Shape:
    """Return the frame's sizes for cells with weights of ``bits`` bits that name their values."""
    return dataclasses.replace(
        params.shape,
        wgt_bits=params.columns * params.lanes * bits,
        scale_bits=params.columns * params.cell.weight_format.bits,
        books=1 << bits,
    )


class BookColumn(Cell):
    """The book of one column, and the values that the column's codes stand for.

    Parameters
    ----------
    bits : int
        Bits of a code.
    entry_bits : int
    lanes : int
    carry_chains : bool
        Whether it is for an FPGA, whose look-up tables select by the code itself.

    Members
    -------
    load : ``In(1)``
        Lets the next entry in: ``2**bits`` of them, entry 0 first.
    entry : ``In(entry_bits)``
    codes : ``In(lanes * bits)``
    values : ``Out(lanes * entry_bits)``

    Timing
    ------
    Combinational from ``codes`` to ``values``.
    """

    def __init__(self, bits: int, entry_bits: int, lanes: int, carry_chains: bool):
        self._bits, self._entry_bits, self._lanes = bits, entry_bits, lanes
        self._chains = carry_chains
        self.label = f"book{bits}x{entry_bits}_l{lanes}{'_chains' if carry_chains else ''}"
        super().__init__(
            {
                "load": In(1),
                "entry": In(entry_bits),
                "codes": In(lanes * bits),
                "values": Out(lanes * entry_bits),
            }
        )

    def body(self, platform: Any) -> Module:
        m, width = Module(), self._entry_bits
        names = [f"entry{k}" for k in range(1 << self._bits)]
        book = [Signal(width, name=name, reset_less=True) for name in names]
        with m.If(self.load):
            m.d.sync += Cat(*book).eq(Cat(*book[1:], self.entry))
        values = []
        for lane in range(self._lanes):
            code = self.codes.word_select(lane, self._bits)
            values.append(self._named(book, code) if self._chains else self._line(m, book, code))
        m.d.comb += self.values.eq(Cat(*values))
        return m

    def _line(self, m: Module, book: list[Signal], code: Value) -> Value:
        value: Value = Const(0, self._entry_bits)
        for entry, line in zip(book, lines(m, code, len(book) - 1), strict=True):
            value = value | entry & line.replicate(len(entry))
        return wire(m, value, "value")

    def _named(self, book: list[Signal], code: Value) -> Value:
        level: list[Value] = list(book)
        for bit in code:
            level = [Mux(bit, b, a) for a, b in zip(level[::2], level[1::2], strict=True)]
        return level[0]


class Books(wiring.Component):
    """A cube of processing elements behind the books of its columns, which all rows share.

    Parameters
    ----------
    params : :class:`~hw.mpgemm.array_params.ArrayParams`
        Of the cube, whose weight format is that of the entries.
    bits : int
        Bits of a code.

    Members
    -------
    i : ``In(stream.Signature({act, wgt, first, last, scale, load}))``
        Steps; with ``load`` no step, but an entry of every column's book in ``scale``.
    o : ``Out(row_signature(params.shape))``

    Timing
    ------
    That of :class:`~hw.mpgemm.broadcast.Broadcast`. A book may be loaded from the cycle after the
    last step that it is for was accepted.
    """

    def __init__(self, params: ArrayParams, bits: int):
        self._params, self._bits = params, bits
        self._core = Broadcast(ArrayRows(params))
        self.latency, self.tiles_inside = self._core.latency, self._core.tiles_inside
        shape = book_shape(params, bits)
        layout = {
            "act": shape.act_bits,
            "wgt": shape.wgt_bits,
            "first": 1,
            "last": 1,
            "scale": shape.scale_bits,
            "load": 1,
        }
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(layout))),
                "o": Out(row_signature(params.shape)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, core, step, params = Module(), self._core, self.i.payload, self._params
        m.submodules.core = core
        wiring.connect(m, core.o, wiring.flipped(self.o))
        width, lanes = params.cell.weight_format.bits, params.lanes
        load = wire(m, self.i.valid & core.i.ready & step.load, "load")
        values = []
        for c in range(params.columns):
            column = BookColumn(self._bits, width, lanes, params.target != "gates")
            m.submodules[f"book{c}"] = column
            m.d.comb += [
                column.load.eq(load),
                column.entry.eq(step.scale.word_select(c, width)),
                column.codes.eq(step.wgt.word_select(c, lanes * self._bits)),
            ]
            values.append(column.values)
        m.d.comb += [
            self.i.ready.eq(core.i.ready),
            core.i.valid.eq(self.i.valid & ~step.load),
            core.i.payload.act.eq(step.act),
            core.i.payload.first.eq(step.first),
            core.i.payload.last.eq(step.last),
            core.i.payload.wgt.eq(Cat(*values)),
        ]
        return m

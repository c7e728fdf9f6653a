# SPDX-License-Identifier: Apache-2.0
"""Broadcast cores whose weights are decoded once for all rows."""

import dataclasses
from typing import Any, Protocol

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.mpgemm.broadcast import Broadcast, RowMaker
from hw.mpgemm.shape import Shape
from hw.mpgemm.writer import row_signature

__all__ = ["Decoded", "DecodedRows"]


class DecodedRows(RowMaker, Protocol):
    """Rows whose ``wgt`` is not what comes, but what is decoded from it."""

    @property
    def decoded_bits(self) -> int:
        """Bits of ``wgt`` of a row."""

    def decode(self, m: Module, word: Value, taken: Value) -> Value:
        """Return them for a beat, zero where it is not ``taken``, if that matters.

        ``word`` are the weights and above them, where the shape has them, marks of the lanes that
        are not beyond K, and scales.
        """


class _Inner:
    """The maker as :class:`Broadcast` is to see it."""

    def __init__(self, maker: DecodedRows):
        self.cell_latency, self.sum_bits = maker.cell_latency, maker.sum_bits
        self.new_row, self.split = maker.new_row, maker.split
        self.shape: Shape = dataclasses.replace(maker.shape, wgt_bits=maker.decoded_bits)


class Decoded(wiring.Component):
    """A :class:`~hw.mpgemm.broadcast.Broadcast` behind decoders of its weights.

    Rows get the weights of a step one cycle before its sums hold it, so with the last bit of
    ``en``, whatever their latency.

    Parameters
    ----------
    maker : DecodedRows

    Members
    -------
    i : ``In(stream.Signature({act, wgt, first, last[, there][, scale]}))``
    o : ``Out(row_signature(maker.shape))``

    Timing
    ------
    That of :class:`~hw.mpgemm.broadcast.Broadcast`.
    """

    def __init__(self, maker: DecodedRows):
        self._maker, self._core = maker, Broadcast(_Inner(maker))
        self.latency, self.tiles_inside = self._core.latency, self._core.tiles_inside
        layout: dict[str, Any] = {
            "act": maker.shape.act_bits,
            "wgt": maker.shape.wgt_bits,
            "first": 1,
            "last": 1,
        }
        self._extras = [
            n
            for n, used in (("there", maker.shape.marked), ("scale", maker.shape.scale_steps))
            if used
        ]
        if maker.shape.marked:
            layout["there"] = maker.shape.depth
        if maker.shape.scale_steps:
            layout["scale"] = maker.shape.scale_bits
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(layout))),
                "o": Out(row_signature(maker.shape)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, core, step = Module(), self._core, self.i.payload
        m.submodules.core = core
        wiring.connect(m, core.o, wiring.flipped(self.o))
        word = Cat(step.wgt, *(step[name] for name in self._extras))
        valid = self.i.valid
        for stage in range(self._maker.cell_latency - 1):
            held = Signal(len(word), name=f"weights{stage}", reset_less=True)
            there = Signal(name=f"weights_there{stage}")
            with m.If(core.i.ready):
                m.d.sync += [held.eq(word), there.eq(valid)]
            word, valid = held, there
        m.d.comb += [
            self.i.ready.eq(core.i.ready),
            core.i.valid.eq(self.i.valid),
            core.i.payload.act.eq(step.act),
            core.i.payload.first.eq(step.first),
            core.i.payload.last.eq(step.last),
            core.i.payload.wgt.eq(self._maker.decode(m, word, valid & core.i.ready)),
        ]
        return m

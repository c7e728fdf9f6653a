# SPDX-License-Identifier: Apache-2.0
"""Broadcast cores whose weights are decoded once for all rows."""

import dataclasses
from abc import ABC, abstractmethod
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.mpgemm.broadcast import Broadcast
from hw.mpgemm.shape import Shape
from hw.mpgemm.writer import row_signature

__all__ = ["Decoded", "DecodedRows"]


class DecodedRows(ABC):
    """Rows whose ``wgt`` is not what comes, but what is decoded from it.

    Parameters
    ----------
    shape : :class:`~hw.mpgemm.shape.Shape`
    cell_latency : int
        Cycles from a step to its sum.
    """

    #: Bits of ``wgt`` of a row.
    decoded_bits: int

    def __init__(self, shape: Shape, cell_latency: int):
        self.shape, self.cell_latency = shape, cell_latency
        self.sum_bits = shape.acc_bits + shape.nan
        #: Cycles after which the weights of a step are decoded.
        self.weights_stage = cell_latency - 1

    @abstractmethod
    def new_row(self) -> Any:
        """Return a new row, with the members of :class:`~hw.mpgemm.broadcast.CellRow`."""

    def split(self, word: Value) -> tuple[Value, Value]:
        """Return the sum, and whether it is a NaN: where one can be, the bit above it."""
        return (word[:-1], word[-1]) if self.shape.nan else (word, Const(0, 1))

    @abstractmethod
    def decode(self, m: Module, word: Value, taken: Value) -> Value:
        """Return ``wgt`` of the rows for a beat, zero where it is not ``taken``, if that matters.

        ``word`` are the weights and above them, where the shape has them, marks of the lanes that
        are not beyond K, scales, and whether the beat is the first, and the last, of its step.
        """


class _Inner:
    """The maker as :class:`Broadcast` is to see it."""

    def __init__(self, maker: DecodedRows):
        self.cell_latency, self.sum_bits = maker.cell_latency, maker.sum_bits
        self.new_row, self.split = maker.new_row, maker.split
        self.shape: Shape = dataclasses.replace(maker.shape, wgt_bits=maker.decoded_bits)


class Decoded(wiring.Component):
    """A :class:`~hw.mpgemm.broadcast.Broadcast` behind decoders of its weights.

    Rows get the weights of a step with bit ``maker.weights_stage`` of ``en``.

    Parameters
    ----------
    maker : DecodedRows

    Members
    -------
    i : ``In(stream.Signature({act, wgt, first, last[, low, high][, there][, scale]}))``
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
        beside: dict[str, Any] = {}
        if maker.shape.marked:
            beside["there"] = maker.shape.depth
        if maker.shape.scale_steps:
            beside["scale"] = maker.shape.group_bits
        planes = {"low": 1, "high": 1} if maker.shape.beats > 1 else {}
        self._extras = [*beside, *planes]
        layout |= planes | beside
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
        for stage in range(self._maker.weights_stage):
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

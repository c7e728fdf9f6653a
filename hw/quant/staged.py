# SPDX-License-Identifier: Apache-2.0
"""A stream around a cell that computes one result per beat in a number of register stages."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Staged"]


class Staged(wiring.Component):
    """A cell behind streams, one beat a cycle.

    Parameters
    ----------
    cell : :class:`hw.cell.Cell`
        With ``pipeline`` stages; where there are any, bit k of its port ``en`` lets a beat into
        stage k.
    beat, result : dict
        Fields of the streams and their shapes. Each is a port of the cell.
    pipeline : int
        Stages of the cell.

    Members
    -------
    i : ``In(stream.Signature(beat))``
    o : ``Out(stream.Signature(result))``
        One result for each beat, in order.

    Timing
    ------
    One beat per cycle; ``o`` is valid :attr:`latency` cycles after its beat is accepted. While a
    result waits nothing moves: ``i.ready`` follows ``o.ready`` combinationally.
    """

    beats_per_cycle = 1
    combinational_paths = (("o_ready", "i_ready"),)

    def __init__(self, cell: Any, beat: dict[str, Any], result: dict[str, Any], pipeline: int):
        self._cell, self._pipeline = cell, pipeline
        self._fields = tuple(beat), tuple(result)
        self.latency = pipeline + 1
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(beat))),
                "o": Out(stream.Signature(data.StructLayout(result))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.cell = cell = self._cell
        inputs, outputs = self._fields
        moving = Signal()
        m.d.comb += [moving.eq(~self.o.valid | self.o.ready), self.i.ready.eq(moving)]
        m.d.comb += [getattr(cell, name).eq(self.i.payload[name]) for name in inputs]
        valid = self.i.valid
        for stage in range(self._pipeline):
            m.d.comb += cell.en[stage].eq(moving & valid)
            later = Signal(name=f"valid{stage}")
            with m.If(moving):
                m.d.sync += later.eq(valid)
            valid = later
        held = Signal(self.o.payload.shape(), reset_less=True)
        m.d.comb += self.o.payload.eq(held)
        with m.If(moving):
            m.d.sync += self.o.valid.eq(valid)
            m.d.sync += [held[name].eq(getattr(cell, name)) for name in outputs]
        return m

# SPDX-License-Identifier: Apache-2.0
"""A streaming unit around an accumulating cell whose beats carry a way of computing."""

from typing import Any, Protocol

from amaranth.hdl import Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Accumulating", "Framed"]


class Accumulating(Protocol):
    """What :class:`Framed` needs of its cell: ``en``, ``clr`` and the operands as members."""

    en: Signal
    clr: Signal
    latency: int


class Framed(wiring.Component):
    """Dot products of a stream of beats: an accumulating cell and its handshake.

    Parameters
    ----------
    cell : component
        With members ``en``, ``clr``, those of ``operands`` and ``mode``, and of ``results``.
    operands : dict of str to int
        Fields of a beat and their bits.
    mode : tuple of (str, int)
        A further field, which says how to compute: that of the first beat of a dot product holds
        for all its beats.
    results : dict of str to shape
        Fields of a result.

    Members
    -------
    i : ``In(stream.Signature({operands, mode, last: 1}))``
    o : ``Out(stream.Signature(results))``

    Timing
    ------
    One beat per cycle. ``o`` is valid one cycle after the beat with ``last`` is accepted.
    ``i.ready`` follows ``o.ready`` combinationally while a result waits.
    """

    beats_per_cycle = 1
    combinational_paths = (("o_ready", "i_ready"),)

    def __init__(
        self,
        cell: Any,
        operands: dict[str, int],
        mode: tuple[str, int],
        results: dict[str, Shape],
    ):
        self.cell, self.latency = cell, cell.latency
        self._operands, self._mode, self._results = operands, mode, results
        fields = {**operands, mode[0]: mode[1], "last": 1}
        beat = data.StructLayout({name: unsigned(bits) for name, bits in fields.items()})
        super().__init__(
            {
                "i": In(stream.Signature(beat)),
                "o": Out(stream.Signature(data.StructLayout(results))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.cell = cell = self.cell
        beat, result = self.i.payload, self.o.payload
        moving, first, taken = Signal(), Signal(init=1), Signal()
        name, bits = self._mode
        held, chosen = Signal(bits, reset_less=True), Value.cast(getattr(beat, name))
        # The accumulator is the output register, so a waiting result holds everything.
        m.d.comb += [
            moving.eq(~self.o.valid | self.o.ready),
            taken.eq(moving & self.i.valid),
            self.i.ready.eq(moving),
            cell.en.eq(taken),
            cell.clr.eq(first),
            getattr(cell, name).eq(Mux(first, chosen, held)),
        ]
        m.d.comb += [
            getattr(cell, operand).eq(getattr(beat, operand)) for operand in self._operands
        ]
        m.d.comb += [getattr(result, field).eq(getattr(cell, field)) for field in self._results]
        with m.If(moving):
            m.d.sync += self.o.valid.eq(self.i.valid & beat.last)
        with m.If(taken):
            m.d.sync += first.eq(beat.last)
            with m.If(first):
                m.d.sync += held.eq(chosen)
        return m

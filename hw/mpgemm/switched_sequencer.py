# SPDX-License-Identifier: Apache-2.0
"""Jobs to steps, or to loads and feeds: each job says which."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.axi.axis import axis
from hw.mpgemm.sequencer import Sequencer, tile_signature
from hw.mpgemm.shape import Shape
from hw.mpgemm.stationary_sequencer import StationarySequencer
from hw.spec.gemm import FLOW, JOB_BITS

__all__ = ["SwitchedSequencer"]


class SwitchedSequencer(wiring.Component):
    """Give each job to the sequencer of its dataflow, and switch when the array is empty.

    Parameters
    ----------
    shape : :class:`~hw.mpgemm.shape.Shape`
        Where sums stay.
    row_shape : :class:`~hw.mpgemm.shape.Shape`
        Where weights stay.
    array_rows, batch : int
        As of :class:`~hw.mpgemm.stationary_sequencer.StationarySequencer`.

    Members
    -------
    job, act, wgt, tile[, scale, finish]
        As of :class:`~hw.mpgemm.sequencer.Sequencer`.
    step
        Its steps, of jobs whose sums stay.
    load, feed
        As of :class:`~hw.mpgemm.stationary_sequencer.StationarySequencer`, of the others.
    flow : ``Out(1)``
        The weights stay. It changes only when all tiles have left.
    empty : ``In(1)``
        All tiles that were told have left.

    Timing
    ------
    That of the sequencer at work. A job of the other dataflow waits for all tiles to leave.
    """

    def __init__(self, shape: Shape, row_shape: Shape, array_rows: int, batch: int):
        self._steps = Sequencer(shape)
        self._rows = StationarySequencer(row_shape, array_rows, batch, False)
        theirs = self._rows.signature.members
        names = ("scale", "finish") if shape.finish_bits else ()
        super().__init__(
            {
                **{name: theirs[name] for name in names},
                "job": In(axis(JOB_BITS, last=False)),
                "act": In(axis(shape.act_bits)),
                "wgt": In(axis(shape.wgt_bits)),
                "step": Out(self._steps.signature.members["step"].signature),
                "load": Out(theirs["load"].signature),
                "feed": Out(theirs["feed"].signature),
                "tile": Out(tile_signature(shape)),
                "flow": Out(1),
                "empty": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.steps, m.submodules.rows = steps, rows = self._steps, self._rows
        word = self.job.payload.tdata
        idle = wire(m, steps.job.ready & rows.job.ready, "idle")
        wanted, flow = Signal(), Signal()
        chosen = wire(m, Mux(self.job.valid & idle, word[FLOW], wanted), "chosen")
        m.d.sync += wanted.eq(chosen)
        with m.If(self.empty):
            m.d.sync += flow.eq(chosen)
        goes = wire(m, flow == wanted, "goes")
        m.d.comb += [self.flow.eq(flow), self.job.ready.eq(idle)]
        plain = Cat(word[:FLOW], Const(0, 1), word[FLOW + 1 :])
        for part, asked in ((steps, ~word[FLOW]), (rows, word[FLOW])):
            m.d.comb += [
                part.job.valid.eq(self.job.valid & idle & asked),
                part.job.payload.tdata.eq(plain),
                part.tile.ready.eq(self.tile.ready),
            ]
        # A sequencer without a job takes nothing and offers nothing.
        for name in ("act", "wgt", *(["scale"] if "scale" in self.signature.members else [])):
            ours, one, other = (getattr(part, name) for part in (self, steps, rows))
            m.d.comb += [ours.ready.eq(one.ready | other.ready)]
            for theirs in (one, other):
                m.d.comb += [theirs.valid.eq(ours.valid), theirs.payload.eq(ours.payload)]
        for ours, theirs in ((self.step, steps.step), (self.load, rows.load),
                             (self.feed, rows.feed)):  # fmt: skip
            m.d.comb += [
                ours.valid.eq(theirs.valid & goes),
                ours.payload.eq(theirs.payload),
                theirs.ready.eq(ours.ready & goes),
            ]
        if "finish" in self.signature.members:
            word = self.scale.payload.tdata[: len(self.finish.payload)]
            m.d.comb += [
                self.finish.valid.eq(steps.finish.valid | rows.finish.valid),
                self.finish.payload.eq(word),
                steps.finish.ready.eq(self.finish.ready),
                rows.finish.ready.eq(self.finish.ready),
            ]
        m.d.comb += self.tile.valid.eq(steps.tile.valid | rows.tile.valid)
        for name in ("rows", "columns", "last", "error"):
            one, other = steps.tile.payload[name], rows.tile.payload[name]
            picked: Value = Mux(wanted, other, one)
            m.d.comb += self.tile.payload[name].eq(picked)
        return m

# SPDX-License-Identifier: Apache-2.0
"""A matrix engine: a core between the frame that all engines share and AXI4-Streams."""

from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.axi.axis import RegisterSlice, axis
from hw.mpgemm.sequencer import Sequencer, tile_signature
from hw.mpgemm.shape import Shape
from hw.mpgemm.writer import Writer, out_signature
from hw.spec.gemm import JOB_BITS

__all__ = ["Engine", "StationaryEngine"]


class Engine(wiring.Component):
    """``C[M,N] = A[M,K] W[K,N]`` for any M, N and K, job by job.

    Parameters
    ----------
    shape : :class:`~hw.mpgemm.shape.Shape`
    core : component
        Members ``i``, steps as of :class:`~hw.mpgemm.sequencer.Sequencer`, and ``o``, rows as of
        :class:`~hw.mpgemm.writer.Writer`. Its ``latency`` is the cycles from a tile's last step to
        its first row, its ``tiles_inside`` how many tiles can be on their way at once.

    Members
    -------
    s_axis_job : ``In(axis(64, last=False))``
        One descriptor for each product, see :mod:`hw.spec.gemm`.
    s_axis_act : ``In(axis(rows * depth codes))``
        For each tile of rows, tile of columns and step: row 0's ``depth`` codes first.
    s_axis_wgt : ``In(axis(columns * depth codes))``
        Beside them: column 0's ``depth`` codes first.
    m_axis_out : ``Out(axis(columns sums, keep, user))``
        For each tile its rows that exist. ``tkeep`` leaves out columns beyond N. ``tuser[3:0]`` is
        0, or on the last beat the error for which the job ended.

    Timing
    ------
    One step per cycle. A job begins one cycle after its descriptor was taken. No combinational path
    leads from one stream to another.
    """

    clock_names = ("aclk", "aresetn")

    def __init__(self, shape: Shape, core: Any):
        self.shape, self._core = shape, core
        self.latency = core.latency + 3
        self.beats_per_cycle = 1
        super().__init__(
            {
                "s_axis_job": In(axis(JOB_BITS, last=False)),
                "s_axis_act": In(axis(shape.act_bits)),
                "s_axis_wgt": In(axis(shape.wgt_bits)),
                "m_axis_out": Out(out_signature(shape)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, core = Module(), self._core
        sequencer = Sequencer(self.shape)
        wiring.connect(m, sequencer.step, core.i)
        framed(m, self, sequencer, core)
        return m


class StationaryEngine(Engine):
    """An engine in which one operand stays: see :class:`Engine` for what both have in common.

    Parameters
    ----------
    shape : :class:`~hw.mpgemm.shape.Shape`
    sequencer : :class:`~hw.mpgemm.stationary_sequencer.StationarySequencer`
        Its docstring has the order of beats.
    core : :class:`~hw.mpgemm.stationary.Stationary`

    Members
    -------
    s_axis_job, s_axis_act, s_axis_wgt, m_axis_out
        A beat of ``m_axis_out`` is one row of the result, ``columns`` of it.

    Timing
    ------
    One load and one feed per cycle.
    """

    def __init__(self, shape: Shape, sequencer: Any, core: Any):
        super().__init__(shape, core)
        self._sequencer = sequencer

    def elaborate(self, platform: Any) -> Module:
        m, core, sequencer = Module(), self._core, self._sequencer
        wiring.connect(m, sequencer.load, core.load)
        wiring.connect(m, sequencer.feed, core.feed)
        framed(m, self, sequencer, core)
        return m


def framed(m: Module, engine: Engine, sequencer: Any, core: Any) -> None:
    """Put slices, the writer and its queue of tiles around a sequencer and a core."""
    shape = engine.shape
    m.submodules.sequencer, m.submodules.core = sequencer, core
    m.submodules.writer = writer = Writer(shape)
    m.submodules.act_slice = act = RegisterSlice(axis(shape.act_bits))
    m.submodules.wgt_slice = wgt = RegisterSlice(axis(shape.wgt_bits))
    m.submodules.out_slice = out = RegisterSlice(out_signature(shape))
    layout = tile_signature(shape).members["payload"].shape
    m.submodules.tiles = tiles = SyncFIFO(width=layout.size, depth=core.tiles_inside + 2)
    wiring.connect(m, wiring.flipped(engine.s_axis_job), sequencer.job)
    wiring.connect(m, wiring.flipped(engine.s_axis_act), act.i)
    wiring.connect(m, wiring.flipped(engine.s_axis_wgt), wgt.i)
    wiring.connect(m, act.o, sequencer.act)
    wiring.connect(m, wgt.o, sequencer.wgt)
    wiring.connect(m, core.o, writer.row)
    wiring.connect(m, writer.out, out.i)
    wiring.connect(m, out.o, wiring.flipped(engine.m_axis_out))
    m.d.comb += [
        tiles.w_data.eq(Value.cast(sequencer.tile.payload)),
        tiles.w_en.eq(sequencer.tile.valid),
        sequencer.tile.ready.eq(tiles.w_rdy),
        Value.cast(writer.tile.payload).eq(tiles.r_data),
        writer.tile.valid.eq(tiles.r_rdy),
        tiles.r_en.eq(writer.tile.ready),
    ]

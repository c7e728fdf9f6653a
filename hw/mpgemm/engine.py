# SPDX-License-Identifier: Apache-2.0
"""A matrix engine: a core between the frame that all engines share and AXI4-Streams."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.axi.axis import RegisterSlice, axis
from hw.axi.queue import ShiftQueue
from hw.mpgemm.finish import FinishStage
from hw.mpgemm.scaling import RowSums, ScaleStage
from hw.mpgemm.sequencer import Sequencer
from hw.mpgemm.shape import Shape
from hw.mpgemm.writer import Writer, out_signature
from hw.spec.gemm import JOB_BITS

#: Most places of a queue in registers; longer ones are memories.
LONGEST = 8

__all__ = ["Engine", "StationaryEngine", "SwitchedEngine"]


class Engine(wiring.Component):
    """``C[M,N] = A[M,K] W[K,N]`` for any M, N and K, job by job.

    Parameters
    ----------
    shape : :class:`~hw.mpgemm.shape.Shape`
    core : component
        Members ``i``, steps as of :class:`~hw.mpgemm.sequencer.Sequencer`, and ``o``, rows as of
        :class:`~hw.mpgemm.writer.Writer`. Its ``latency`` is the cycles from a tile's last step to
        its first row, its ``tiles_inside`` how many tiles can be on their way at once.

    scaling : :class:`~hw.mpgemm.scaling.ScaleStage`, optional
        Where groups of products have scales.
    row_sums : :class:`~hw.mpgemm.scaling.RowSums`, optional
        Where they have zero points too.
    finish : :class:`~hw.mpgemm.finish.FinishStage`, optional
        Where tiles are requantised.

    Members
    -------
    s_axis_job : ``In(axis(64, last=False))``
        One descriptor for each product, see :mod:`hw.spec.gemm`.
    s_axis_act : ``In(axis(rows * depth codes))``
        For each tile of rows, tile of columns and step: row 0's ``depth`` codes first.
    s_axis_wgt : ``In(axis(columns * depth codes))``
        Beside them: column 0's ``depth`` codes first.
    s_axis_scale : ``In(axis(scales))``
        For each tile and group: the columns' scales, their zero points, the rows' scales; above
        them what requantises each column of the tile, used of the last group. Present with
        ``scaling`` or ``finish``.
    m_axis_out : ``Out(axis(columns sums, keep, user))``
        For each tile its rows that exist. ``tkeep`` leaves out columns beyond N. ``tuser[3:0]`` is
        0, or on the last beat the error for which the job ended.

    Timing
    ------
    One step per cycle. A job begins one cycle after its descriptor was taken. No combinational path
    leads from one stream to another.
    """

    clock_names = ("aclk", "aresetn")

    #: Whether register slices end its combinational paths; who embeds it may do without.
    sliced = True

    def __init__(
        self,
        shape: Shape,
        core: Any,
        scaling: ScaleStage | None = None,
        row_sums: RowSums | None = None,
        finish: FinishStage | None = None,
    ):
        self.shape, self._core = shape, core
        self.scaling, self.row_sums, self.finish = scaling, row_sums, finish
        self.stages = [stage for stage in (scaling, finish) if stage is not None]
        self.out_shape = self.stages[-1].result if self.stages else shape
        self.latency = core.latency + 3 + sum(stage.latency for stage in self.stages)
        self.beats_per_cycle = 1
        members = {
            "s_axis_job": In(axis(JOB_BITS, last=False)),
            "s_axis_act": In(axis(shape.act_bits)),
            "s_axis_wgt": In(axis(shape.wgt_bits)),
        }
        if shape.scale_bits:
            members["s_axis_scale"] = In(axis(shape.scale_bits))
        super().__init__({**members, "m_axis_out": Out(out_signature(self.out_shape))})

    def elaborate(self, platform: Any) -> Module:
        m, core, scaling = Module(), self._core, self.scaling
        sequencer = Sequencer(self.shape)
        wiring.connect(m, sequencer.step, core.i)
        rows = core.o
        if scaling is not None:
            rows = self._scaled(m, sequencer, scaling, rows)
        rows = self._finished(m, sequencer, rows, self.shape.rows)
        framed(m, self, sequencer, core, rows)
        return m

    def _finished(self, m: Module, sequencer: Any, rows: Any, apart: int) -> Any:
        """Put ``finish`` behind the core and the scaling, where it is there; return its rows.

        Its words are at least ``apart`` cycles apart, and needed until the next one.
        """
        core, finish = self._core, self.finish
        if finish is None:
            return rows
        m.submodules.finish = finish
        wiring.connect(m, rows, finish.row)
        # A tile's last row is there this long after its last step, the next one's later.
        scaled = self.scaling.latency if self.scaling else 0
        inside = 1 - (-(core.latency + scaled) // apart)
        inside = min(inside, core.tiles_inside - (-scaled // apart))
        word = {"word": sequencer.finish.payload}
        queued(m, "finishes", inside, word, sequencer.finish, finish.tile)
        if self.shape.batched or self.shape.switched:
            m.d.comb += finish.begins.eq(core.begins)
        if self.shape.switched:
            m.d.comb += finish.flow.eq(sequencer.flow)
        return finish.o

    def _scaled(self, m: Module, sequencer: Sequencer, scaling: ScaleStage, rows: Any) -> Any:
        """Put ``scaling`` behind the core; return its rows."""
        m.submodules.scaling = scaling
        wiring.connect(m, rows, scaling.row)
        group = sequencer.group
        source = {name: group.payload[name] for name in ("scale", "first", "last")}
        if self.row_sums is not None:
            source["sa"] = self._summed(m, sequencer, self.row_sums)
        queued(m, "groups", self._core.tiles_inside, source, group, scaling.group)
        return scaling.o

    def _summed(self, m: Module, sequencer: Sequencer, sums: RowSums) -> Value:
        """Return the sums of the activations of each row, up to this step of a group."""
        m.submodules.row_sums = sums
        step = sequencer.step
        taken: Value = step.valid & step.ready
        first: Value = step.payload.first
        if self.shape.beats > 1:  # activations stay for several beats, and count with the last
            begun = Signal(name="sums_begin")
            first = wire(m, first | begun & ~step.payload.low, "sums_first")
            with m.If(taken):
                m.d.sync += begun.eq(first)
            taken = taken & step.payload.high
        m.d.comb += [
            sums.act.eq(step.payload.act),
            sums.en.eq(taken),
            sums.clr.eq(first),
        ]
        return sums.sums


class StationaryEngine(Engine):
    """An engine in which one operand stays: see :class:`Engine` for what both have in common.

    Parameters
    ----------
    shape : :class:`~hw.mpgemm.shape.Shape`
    sequencer : :class:`~hw.mpgemm.stationary_sequencer.StationarySequencer`
        Its docstring has the order of beats.
    core : :class:`~hw.mpgemm.stationary.Stationary`
    finish : :class:`~hw.mpgemm.finish.FinishStage`, optional
        Where rows are requantised.

    Members
    -------
    s_axis_job, s_axis_act, s_axis_wgt, m_axis_out[, s_axis_scale]
        A beat of ``m_axis_out`` is one row of the result, ``columns`` of it; where the operands
        are swapped, of its transpose. One of ``s_axis_scale`` is for a batch of rows or, where the
        operands are swapped, for one.

    Timing
    ------
    One load and one feed per cycle.
    """

    def __init__(self, shape: Shape, sequencer: Any, core: Any, finish: FinishStage | None = None):
        super().__init__(shape, core, finish=finish)
        self._sequencer = sequencer

    def elaborate(self, platform: Any) -> Module:
        m, core, sequencer = Module(), self._core, self._sequencer
        wiring.connect(m, sequencer.load, core.load)
        wiring.connect(m, sequencer.feed, core.feed)
        apart = sequencer.array_rows if self.shape.batched else 1
        framed(m, self, sequencer, core, self._finished(m, sequencer, core.o, apart))
        return m


class SwitchedEngine(Engine):
    """An engine whose jobs say what stays: see :class:`Engine` for what is common.

    Parameters
    ----------
    shape : :class:`~hw.mpgemm.shape.Shape`
    sequencer : :class:`~hw.mpgemm.switched_sequencer.SwitchedSequencer`
    core : :class:`~hw.mpgemm.switched.Switched`
    finish : :class:`~hw.mpgemm.finish.FinishStage`, optional
        Where rows are requantised.

    Members
    -------
    s_axis_job, s_axis_act, s_axis_wgt, m_axis_out[, s_axis_scale]
        Those of the dataflow that a job asks for.

    Timing
    ------
    Those of the dataflow that a job asks for, and ``flow_extra`` of the core.
    """

    def __init__(self, shape: Shape, sequencer: Any, core: Any, finish: FinishStage | None = None):
        super().__init__(shape, core, finish=finish)
        self._sequencer, self.flow_extra = sequencer, core.flow_extra

    def elaborate(self, platform: Any) -> Module:
        m, core, sequencer = Module(), self._core, self._sequencer
        wiring.connect(m, sequencer.step, core.i)
        wiring.connect(m, sequencer.load, core.load)
        wiring.connect(m, sequencer.feed, core.feed)
        rows = self._finished(m, sequencer, core.o, self.shape.rows)
        framed(m, self, sequencer, core, rows)
        return m


def queued(
    m: Module, name: str, depth: int, payload: dict[str, Value], source: Any, sink: Any
) -> None:
    """Put a queue between two streams whose fields are those of ``payload``, in their order."""
    word = Cat(*payload.values())
    if depth <= LONGEST:
        m.submodules[name] = queue = ShiftQueue(len(word), depth)
        m.d.comb += [
            queue.i.payload.eq(word),
            queue.i.valid.eq(source.valid),
            source.ready.eq(queue.i.ready),
            Value.cast(sink.payload).eq(queue.o.payload),
            sink.valid.eq(queue.o.valid),
            queue.o.ready.eq(sink.ready),
        ]
        return
    m.submodules[name] = memory = SyncFIFO(width=len(word), depth=depth)
    m.d.comb += [
        memory.w_data.eq(word),
        memory.w_en.eq(source.valid),
        source.ready.eq(memory.w_rdy),
        Value.cast(sink.payload).eq(memory.r_data),
        sink.valid.eq(memory.r_rdy),
        memory.r_en.eq(sink.ready),
    ]


def framed(m: Module, engine: Engine, sequencer: Any, core: Any, rows: Any) -> None:
    """Put slices, the writer and its queue of tiles around a sequencer and a core."""
    shape, result = engine.shape, engine.out_shape
    m.submodules.sequencer, m.submodules.core = sequencer, core
    m.submodules.writer = writer = Writer(result)
    wiring.connect(m, wiring.flipped(engine.s_axis_job), sequencer.job)
    wiring.connect(m, rows, writer.row)
    streams = {
        "act": (wiring.flipped(engine.s_axis_act), sequencer.act, axis(shape.act_bits)),
        "wgt": (wiring.flipped(engine.s_axis_wgt), sequencer.wgt, axis(shape.wgt_bits)),
        "out": (writer.out, wiring.flipped(engine.m_axis_out), out_signature(result)),
    }
    if shape.scale_bits:
        outer = wiring.flipped(engine.s_axis_scale)
        streams["scale"] = outer, sequencer.scale, axis(shape.scale_bits)
    for name, (source, sink, signature) in streams.items():
        if not engine.sliced:
            wiring.connect(m, source, sink)
            continue
        m.submodules[f"{name}_slice"] = held = RegisterSlice(signature)
        wiring.connect(m, source, held.i)
        wiring.connect(m, held.o, sink)
    depth = core.tiles_inside + 2 + sum(stage.latency for stage in engine.stages)
    payload = {"tile": Value.cast(sequencer.tile.payload)}
    queued(m, "tiles", depth, payload, sequencer.tile, writer.tile)
    if shape.switched:
        m.d.comb += [
            sequencer.empty.eq(~writer.tile.valid),
            core.flow.eq(sequencer.flow),
            writer.single.eq(sequencer.flow),
        ]

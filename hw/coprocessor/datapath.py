# SPDX-License-Identifier: Apache-2.0
"""The datapath of the matrix co-processor: from a job to commands and beats of memory."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, exact_log2

from hw.arith.recode import lookup
from hw.arith.wires import wire
from hw.axi.dma import command, read_beats, write_beats
from hw.coprocessor.choice import chosen, own
from hw.coprocessor.copier import Copier
from hw.coprocessor.engine_facts import EngineFacts
from hw.coprocessor.panel_buffer import PanelBuffer
from hw.coprocessor.params import CoprocessorParams
from hw.coprocessor.row_buffer import RowBuffer
from hw.coprocessor.store import Store
from hw.coprocessor.vector import Filler, Gatherer

__all__ = ["Datapath"]


class Datapath(wiring.Component):
    """Compute ``C = A W``, job by job: column tile by column tile, row tile by row tile.

    Operands of the next tiles are read while the engine computes, results are written while it
    computes the next ones. A job with ``copy`` is one of the copier's: ``m`` rows of ``n`` bytes
    from A to C.

    Parameters
    ----------
    params : :class:`~hw.coprocessor.params.CoprocessorParams`

    Members
    -------
    job : ``In(params.job_signature)``
        Taken when it is begun. Its payload stays until ``done`` or ``clear``.
    done : ``Out(1)``
        For one cycle: all bytes of C are in memory. The next job is taken only later.
    engine_error, nan : ``Out(1)``
        For one cycle: the engine ended the job with an error; a sum was no number. After an error
        ``done`` does not come, and only ``clear`` helps.
    clear : ``In(1)``
        Forget the job and all that was read; only while no beats can come.
    a_command, w_command, s_command : ``Out(command(addr_bits))``
        What to read of A, W and S. Those of A begin at any byte, the others at multiples of
        ``params.w_align`` and ``params.s_align``. S is absent in engines without scales.
    r_command : ``Out(command(addr_bits))``
        What to read of C, at any byte. Present with ``params.accumulate``.
    a_beat, w_beat, s_beat, r_beat : ``In(read_beats(data_width))``
    c_command : ``Out(command(addr_bits))``, ``c_beat`` : ``Out(write_beats(data_width))``
        What to write; commands begin at any byte.
    c_written : ``In(1)``
        The bytes of a command are in memory.
    corrected, detected : ``Out(1)``
        For one cycle: words of the operand buffers had errors, that were corrected or were not.
    compute, load_wait, store_wait, stall_backpressure : ``Out(1)``
        For the counters of :data:`hw.spec.coprocessor.PERF`: the engine took a step, it waited for
        operands, results waited for the bus, the engine waited for its results to be taken.
    macs, lookups : ``Out``
        What to add to these counters in this cycle.

    Timing
    ------
    One step per cycle, as long as memory brings the operands. Commands and beats to memory come
    from registers. A job begins two cycles after it was taken; up to 18 with bit planes, or groups
    whose steps are no power of two, and rows of cells with ``ws``.
    """

    def __init__(self, params: CoprocessorParams):
        self.params = params
        bits, width = params.addr_bits, params.data_width
        self.kinds = ("a", "w", *("s" * bool(params.scaled)), *("r" * params.accumulate))
        members: dict[str, Any] = {"job": In(params.job_signature), "clear": In(1)}
        members |= {name: Out(1) for name in ("done", "engine_error", "nan")}
        for kind in self.kinds:
            members |= {
                f"{kind}_command": Out(command(bits)),
                f"{kind}_beat": In(read_beats(width)),
            }
        members |= {
            "c_command": Out(command(bits)),
            "c_beat": Out(write_beats(width)),
            "c_written": In(1),
            "corrected": Out(1),
            "detected": Out(1),
            "compute": Out(1),
            "load_wait": Out(1),
            "store_wait": Out(1),
            "stall_backpressure": Out(1),
            "macs": Out(bits_for(max(part.macs_per_step for part in params.parts))),
            "lookups": Out(bits_for(max(part.lookups_per_beat for part in params.parts))),
        }
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        outer, m, params = Module(), Module(), self.params
        outer.submodules.inner = ResetInserter(self.clear)(m)
        parts_of, engines = params.parts, []
        for number, part in enumerate(parts_of):
            engine = part.build_engine()
            engine.sliced = params.slices
            m.submodules[f"engine{number or ''}"] = engine
            engines.append(engine)
        m.submodules.rows = rows = RowBuffer(params)
        m.submodules.panels = panels = PanelBuffer(params, "wgt")
        m.submodules.store = store = Store(params)
        parts: list[Any] = [rows, panels, store]
        job = self.job.payload
        for number, engine in enumerate(engines):
            act, wgt = getattr(rows, rows.acts[number]), getattr(panels, f"beats{number or ''}")
            if parts_of[number].switched:
                act, wgt = self._switched(m, number, job, act, wgt)
            wiring.connect(m, act, engine.s_axis_act)
            wiring.connect(m, wgt, engine.s_axis_wgt)
            wiring.connect(m, engine.m_axis_out, getattr(store, f"out{number or ''}"))
        wiring.connect(m, panels.command, wiring.flipped(self.w_command))
        wiring.connect(m, wiring.flipped(self.w_beat), panels.beat)

        start, copies = Signal(), Signal()
        if params.copies:
            self._copies(m, rows, store, job, copies)
        else:
            self._alone(m, rows, store)
        if params.accumulate:
            wiring.connect(m, store.fetch, wiring.flipped(self.r_command))
            wiring.connect(m, wiring.flipped(self.r_beat), store.fetched)
            m.d.comb += store.accumulate.eq(job.accumulate)
        takes_scale = own(m, job.engine, [part.has_scale for part in parts_of], "takes_scale")
        if params.scaled:
            m.submodules.scales = scales = PanelBuffer(params, "scale")
            for number, (part, engine) in enumerate(zip(parts_of, engines, strict=True)):
                if part.has_scale:
                    beats = getattr(scales, f"beats{number or ''}")
                    wiring.connect(m, beats, engine.s_axis_scale)
            wiring.connect(m, scales.command, wiring.flipped(self.s_command))
            wiring.connect(m, wiring.flipped(self.s_beat), scales.beat)
            m.d.comb += scales.address.eq(job.s)
        slots = [part.act_slot for part in parts_of]
        row_bits = own(m, job.engine, slots, "row_bits", lambda s: job.k << exact_log2(s))
        depths, less = [part.depth for part in parts_of], (job.k - 1)[: len(job.k)]
        last_step = own(m, job.engine, depths, "own_steps", lambda d: less >> exact_log2(d))
        last_step = wire(m, last_step, "last_step")
        m.d.comb += [
            *(part.start.eq(start) for part in parts),
            *(side.eq(value) for part in parts for side, value in
              ((part.m, job.m), (part.n, job.n), (part.choice, job.engine))),
            rows.last_step.eq(last_step),
            rows.row_bytes.eq((row_bits + 7) >> 3),
            rows.address.eq(job.a),
            rows.stride.eq(job.a_stride),
            panels.address.eq(job.w),
            panels.stride.eq(job.w_stride),
            # W of later column tiles has time: that is not so of A until all of it is here.
            panels.yields.eq(rows.hurries),
            store.address.eq(job.c),
            store.stride.eq(job.c_stride),
            store.activation.eq(job.activation),
            store.high.eq(job.high),
            store.low.eq(job.low),
            self.engine_error.eq(store.error),
            self.nan.eq(store.nan),
        ]  # fmt: skip

        busy, sized = Signal(), Signal()
        taken = wire(m, self.job.valid & ~busy, "taken")
        ready = [self._weights(m, panels, job, last_step, taken)]
        if params.scaled:
            parts.append(scales)
            m.d.comb += [
                *(side.eq(value) for side, value in
                  ((scales.m, job.m), (scales.n, job.n), (scales.choice, job.engine))),
                scales.start.eq(start & takes_scale),
            ]  # fmt: skip
            ready.append(self._groups(m, scales, job, last_step, taken))
        m.d.comb += [
            self.job.ready.eq(~busy),
            start.eq(busy & ~job.copy & ~sized & Cat(*ready).all()),
            copies.eq(busy & job.copy & ~sized),
        ]
        with m.If(taken):
            m.d.sync += busy.eq(1)
        with m.If(start | copies):
            m.d.sync += sized.eq(1)
        with m.If(self.done):
            m.d.sync += [busy.eq(0), sized.eq(0)]
        buffers = [part for part in parts if part is not store]
        m.d.comb += [
            self.corrected.eq(Cat(part.corrected for part in buffers).any()),
            self.detected.eq(Cat(part.detected for part in buffers).any()),
        ]
        self._engine_jobs(m, engines, job, start)
        self._counts(m, engines, job, parts)
        return outer

    def _copies(self, m: Module, rows: RowBuffer, store: Store, job: Any, start: Value) -> None:
        """Add the copier, and let it and the others take turns with A and C."""
        m.submodules.copier = copier = Copier(self.params)
        ours = job.copy
        m.d.comb += [
            copier.start.eq(start),
            copier.m.eq(job.m),
            copier.n.eq(job.n),
            copier.source.eq(job.a),
            copier.target.eq(job.c),
            copier.source_stride.eq(job.a_stride),
            copier.target_stride.eq(job.c_stride),
            rows.beat.valid.eq(self.a_beat.valid & ~ours),
            copier.beat.valid.eq(self.a_beat.valid & ours),
            rows.beat.payload.eq(self.a_beat.payload),
            copier.beat.payload.eq(self.a_beat.payload),
            store.written.eq(self.c_written & ~ours),
            copier.written.eq(self.c_written & ours),
            self.done.eq(store.done | copier.done),
        ]
        for outer, mine, other in (
            (self.a_command, copier.read, rows.command),
            (self.c_command, copier.write, store.command),
            (self.c_beat, copier.out, store.beat),
        ):
            m.d.comb += [
                outer.valid.eq(Mux(ours, mine.valid, other.valid)),
                outer.payload.eq(Mux(ours, mine.payload, other.payload)),
                mine.ready.eq(outer.ready & ours),
                other.ready.eq(outer.ready & ~ours),
            ]

    def _alone(self, m: Module, rows: RowBuffer, store: Store) -> None:
        """Give A and C to those who compute; there is no copier."""
        wiring.connect(m, rows.command, wiring.flipped(self.a_command))
        wiring.connect(m, wiring.flipped(self.a_beat), rows.beat)
        wiring.connect(m, store.command, wiring.flipped(self.c_command))
        wiring.connect(m, store.beat, wiring.flipped(self.c_beat))
        m.d.comb += [store.written.eq(self.c_written), self.done.eq(store.done)]

    def _switched(self, m: Module, number: int, job: Any, act: Any, wgt: Any) -> tuple[Any, Any]:
        """Return the streams of an engine in which a job for a vector lets the weights stay."""
        shape = self.params.parts[number].shape
        gatherer = Gatherer(shape.rows, shape.depth * shape.lane_bits)
        filler = Filler(shape.rows, shape.wgt_bits)
        m.submodules[f"gatherer{number or ''}"] = gatherer
        m.submodules[f"filler{number or ''}"] = filler
        wiring.connect(m, act, gatherer.i)
        wiring.connect(m, wgt, filler.i)
        m.d.comb += [gatherer.on.eq(job.gemv), filler.on.eq(job.gemv)]
        return gatherer.o, filler.o

    def _weights(
        self, m: Module, panels: PanelBuffer, job: Any, last_step: Value, taken: Value
    ) -> Value:
        """Give ``panels`` its number of slots; return whether it has it."""
        parts = self.params.parts
        if all(part.beats == 1 for part in parts):
            m.d.comb += panels.last_slot.eq(last_step)
            return Const(1, 1)
        more = [count for part in parts for count in _beats_less(part)]
        size = max(more).bit_length()
        left, begun, last = Signal(size), Signal(), Signal(self.params.count_bits)
        m.d.comb += panels.last_slot.eq(last)
        m.d.sync += begun.eq(taken)
        with m.If(taken):
            m.d.sync += left.eq(~0)
        with m.Elif(begun):
            m.d.sync += [left.eq(lookup(more, Cat(job.bits, job.engine), size)), last.eq(last_step)]
        with m.Elif(left.any()):
            m.d.sync += [left.eq(left - 1), last.eq(last + last_step + 1)]
        return wire(m, ~left.any(), "weights_sized")

    def _groups(
        self, m: Module, scales: PanelBuffer, job: Any, last_step: Value, taken: Value
    ) -> Value:
        """Give ``scales`` its number of slots; return whether it has it."""
        every = [part.group_steps or 1 << 16 for part in self.params.parts]
        if all(steps & (steps - 1) == 0 for steps in every):
            m.d.comb += scales.last_slot.eq(
                own(m, job.engine, every, "last_group", lambda s: last_step >> exact_log2(s))
            )
            return Const(1, 1)
        steps = own(m, job.engine, every, "group_steps")
        # Divide the last step by the steps of a group, a bit a cycle.
        rest, quotient, left, begun = Signal(16), Signal(16), Signal(5), Signal()
        top = wire(m, Cat(quotient[-1], rest)[:17], "top")
        fits = wire(m, top >= steps, "fits")
        m.d.comb += scales.last_slot.eq(quotient)
        m.d.sync += begun.eq(taken)
        with m.If(taken):
            m.d.sync += left.eq(16)
        with m.Elif(begun):
            m.d.sync += [rest.eq(0), quotient.eq(last_step)]
        with m.Elif(left.any()):
            m.d.sync += [
                left.eq(left - 1),
                rest.eq(Mux(fits, top - steps, top)),
                quotient.eq(Cat(fits, quotient[:-1])),
            ]
        return wire(m, ~left.any(), "groups_sized")

    def _engine_jobs(self, m: Module, engines: list[Any], job: Any, start: Value) -> None:
        """Give the chosen engine a job for each column tile."""
        columns, left = self.params.columns, Signal(self.params.size_bits)
        closes = wire(m, left <= columns, "closes_n")
        width = Mux(closes, left, columns)[: len(left)]

        def wide(size: Value) -> Value:
            return Cat(size, Const(0, 16 - len(size)))

        sizes = (wide(job.m), wide(width), wide(job.k), job.bits)
        ready = []
        for number, engine in enumerate(engines):
            mine = chosen(job.engine, number)
            m.d.comb += [
                engine.s_axis_job.valid.eq(left.any() & mine),
                engine.s_axis_job.payload.tdata.eq(
                    Cat(*sizes, job.gemv & self.params.parts[number].switched)
                ),
            ]
            ready.append(engine.s_axis_job.ready & mine)
        with m.If(left.any() & Cat(*ready).any()):
            m.d.sync += left.eq(Mux(closes, 0, left - columns))
        with m.If(start):
            m.d.sync += left.eq(job.n)

    def _counts(self, m: Module, engines: list[Any], job: Any, parts: list[Any]) -> None:
        """Say what happens in this cycle."""
        of, misses, steps, stalls, acts = self.params.parts, [], [], [], []
        for number, engine in enumerate(engines):
            mine = chosen(job.engine, number)
            act, wgt, out = engine.s_axis_act, engine.s_axis_wgt, engine.m_axis_out
            inputs = [(act, parts[0]), (wgt, parts[1])]
            if of[number].has_scale:
                inputs.append((engine.s_axis_scale, parts[3]))
            misses += [side.ready & ~side.valid & part.active & mine for side, part in inputs]
            steps.append(wgt.valid & wgt.ready)
            stalls.append(out.valid & ~out.ready & mine)
            acts.append(act.valid & act.ready)
        delayed = [self.c_command.valid & ~self.c_command.ready]
        delayed.append(self.c_beat.valid & ~self.c_beat.ready)
        lookups = [part.lookups_per_beat for part in of]
        macs = [0 if part.table_group else part.macs_per_step for part in of]
        m.d.comb += [
            self.compute.eq(Cat(*steps).any()),
            self.load_wait.eq(Cat(*misses).any()),
            self.store_wait.eq(Cat(*delayed).any()),
            self.stall_backpressure.eq(Cat(*stalls).any()),
            self.lookups.eq(Mux(self.compute, own(m, job.engine, lookups, "lookups_each"), 0)),
            self.macs.eq(Mux(Cat(*acts).any(), own(m, job.engine, macs, "macs_each"), 0)),
        ]


def _beats_less(part: EngineFacts) -> list[int]:
    """Return the beats of weights of a step, less one, by the bit planes of a job."""
    shape = part.shape
    if shape.sparse:
        return [0] + [shape.beats - 1] * 15
    if not part.plane_counts:
        return [part.beats - 1] * 16
    planes = [shape.planes, *range(1, 16)]
    return [-(-count // shape.planes_per_beat) - 1 for count in planes]

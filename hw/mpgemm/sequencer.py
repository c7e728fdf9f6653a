# SPDX-License-Identifier: Apache-2.0
"""Jobs to steps: what an engine computes next, and what happens to a job that is not right."""

from functools import reduce
from operator import and_
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.recode import lookup
from hw.arith.wires import wire
from hw.axi.axis import axis
from hw.mpgemm.shape import Shape
from hw.mpgemm.sparse import SparseColumn
from hw.spec.gemm import JOB, JOB_BITS, error_code

__all__ = ["Sequencer", "group_signature", "job_of", "judged", "masked", "tile_signature"]


def job_of(word: Value) -> dict[str, Value]:
    """Return the fields of a descriptor by their names."""
    return {f.name: word[f.offset : f.offset + f.bits] for f in JOB}


def tile_signature(shape: Shape) -> stream.Signature:
    """Return the stream that tells the writer, tile by tile, what to make of the core's rows.

    ``error``, where not 0, stands for no tile: the job ends with that code. ``bad``, where weights
    are sparse, has the columns of which some were not stored as they must be.
    """
    layout: dict[str, Any] = {
        "rows": range(shape.rows + 1),
        "columns": range(shape.columns + 1),
        "last": 1,
        "error": 4,
    }
    if shape.sparse:
        layout["bad"] = shape.columns
    return stream.Signature(data.StructLayout(layout))


def group_signature(shape: Shape, sa_bits: int = 0) -> stream.Signature:
    """Return the stream of groups: their scales, and whether one is a tile's first or last.

    With ``sa_bits``, the sums of each row's activations too.
    """
    layout = {"scale": shape.group_bits, "first": 1, "last": 1}
    if sa_bits:
        layout["sa"] = sa_bits * shape.rows
    return stream.Signature(data.StructLayout(layout))


class Sequencer(wiring.Component):
    """Pair activations with weights, step by step, tile by tile, for sums that stay in place.

    Parameters
    ----------
    shape : :class:`~hw.mpgemm.shape.Shape`

    Members
    -------
    job : ``In(axis(64, last=False))``
        Descriptors, see :mod:`hw.spec.gemm`.
    act, wgt : ``In(axis(...))``
        One packet for each job. A beat of ``act`` is used with ``beats`` beats of ``wgt``.
    step : ``Out(stream.Signature({act, wgt, first, last[, low, high][, ...]}))``
        ``first`` starts the sums of a tile or group, ``last`` ends them; ``low`` and ``high`` mark
        the first and the last beat of weights of one beat of activations. Lanes beyond K hold
        zeros; where the shape is marked, ``there`` has a bit for each lane that is not. ``scale``
        is there where the core takes scales, ``load`` with the beats of a book, which are no steps.
    scale : ``In(axis(...))``
        One beat for each group, used with its last step, or for the core. Present where there are
        scales.
    group : ``Out(group_signature(shape))``
        The same, for the rows that belong to it. Present where groups have scales.
    finish : ``Out(stream.Signature(finish_bits))``
        What lies above the scales with the last step of a tile, for its rows. Present where tiles
        are requantised.
    tile : ``Out(tile_signature(shape))``
        With the last step of a tile, or of a group that leaves unscaled, and once for a job that
        fails.

    Timing
    ------
    One step per cycle; a job that follows another loses one cycle. ``act.ready`` and
    ``wgt.ready`` follow each other's valid and ``step.ready`` combinationally.
    """

    def __init__(self, shape: Shape):
        self.shape = shape
        step: dict[str, Any] = {
            "act": unsigned(shape.act_bits),
            "wgt": unsigned(shape.step_wgt_bits),
            "first": 1,
            "last": 1,
        }
        if shape.beats > 1 and not shape.sparse:
            step |= {"low": 1, "high": 1}
        if shape.marked:
            step["there"] = shape.depth
        if shape.core_scaled:
            step["scale"] = shape.group_bits
        if shape.books:
            step["load"] = 1
        members = {
            "job": In(axis(JOB_BITS, last=False)),
            "act": In(axis(shape.act_bits)),
            "wgt": In(axis(shape.wgt_bits)),
            "step": Out(stream.Signature(data.StructLayout(step))),
            "tile": Out(tile_signature(shape)),
        }
        if shape.scale_bits:
            members["scale"] = In(axis(shape.scale_bits))
        if shape.scaled:
            members["group"] = Out(group_signature(shape))
        if shape.finish_bits:
            members["finish"] = Out(stream.Signature(unsigned(shape.finish_bits)))
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m, shape = Module(), self.shape
        act, wgt, step, tile = self.act, self.wgt, self.step, self.tile

        size_n, size_k = (Signal(16, name=f"size_{name}") for name in "nk")
        left_m, left_n, left_k = (Signal(16, name=f"left_{name}") for name in "mnk")
        code = Signal(4)
        first, first_group = Signal(name="first"), Signal(name="first_group")

        closes_k = wire(m, left_k <= shape.depth, "closes_k")
        closes_n = wire(m, left_n <= shape.columns, "closes_n")
        closes_m = wire(m, left_m <= shape.rows, "closes_m")
        low, high = self._planes(m)
        books = Signal(range(shape.books + 1))  # beats of the tile's book that have to come
        loads = wire(m, books.any(), "loads") if shape.books else Const(0, 1)
        high = wire(m, high & ~loads, "high_step") if shape.books else high
        closes_group = wire(m, high & (closes_k | self._group_full(m)), "closes_group")
        closes_tile = wire(m, closes_k & high, "closes_tile")
        last_step = wire(m, closes_k & closes_n & closes_m, "last_step")
        closes_job = wire(m, last_step & high, "closes_job")
        scaled = shape.scaled
        tells = closes_tile if scaled else closes_group  # a token goes to the writer

        operands = {"activations": (act, high), "weights": (wgt, ~loads)}
        if shape.scale_bits:
            one = Const(1, 1) if shape.scale_steps else closes_group
            operands["scales"] = (self.scale, loads if shape.books else one)
        drops = {name: Signal(name=f"drops_{name}") for name in operands}
        # Activations are taken with their last beat of weights, but every one of these needs them.
        here = [act.valid | loads, wgt.valid | loads]
        if shape.scale_bits:
            here.append(self.scale.valid | ~operands["scales"][1])
        pair = wire(m, Cat(*here).all(), "pair")
        fault_code: Value = Const(0, 4)
        for name, (source, used) in reversed(operands.items()):
            early, late = (error_code(f"{name} end {when}") for when in ("early", "late"))
            # The activations of a step are judged before its first beat of weights is taken.
            ends = last_step if source is act else closes_job
            if shape.books and name == "scales":
                ends = closes_n & closes_m & (books == 1)
            judged_now = ~loads if source is act else used
            wrong_end = judged_now & (source.payload.tlast != ends)
            found = Mux(source.payload.tlast, early, late)
            fault_code = wire(m, Mux(wrong_end, found, fault_code), f"{name}_fault")
        fault = wire(m, fault_code.any(), "fault")

        m.d.comb += [
            step.payload.act.eq(masked(m, shape, "act", act.payload.tdata, left_k, shape.depth)),
            step.payload.wgt.eq(self._weights(m, left_k)),
            step.payload.first.eq(first & low),
            step.payload.last.eq(closes_group),
            tile.payload.rows.eq(Mux(closes_m, left_m, shape.rows)),
            tile.payload.columns.eq(Mux(closes_n, left_n, shape.columns)),
            tile.payload.last.eq(closes_job),
        ]
        if shape.beats > 1 and not shape.sparse:
            m.d.comb += [step.payload.low.eq(low), step.payload.high.eq(high)]
        if shape.marked:
            there = [left_k > lane for lane in range(shape.depth)]
            m.d.comb += step.payload.there.eq(Cat(*there))
        if shape.core_scaled:
            m.d.comb += step.payload.scale.eq(self.scale.payload.tdata[: shape.group_bits])
        if shape.books:
            m.d.comb += step.payload.load.eq(loads)
        room = ~tells | tile.ready
        if scaled:
            m.d.comb += [
                self.group.payload.scale.eq(self.scale.payload.tdata),
                self.group.payload.first.eq(first_group),
                self.group.payload.last.eq(closes_tile),
            ]
            room &= ~closes_group | self.group.ready
        if shape.finish_bits:
            m.d.comb += self.finish.payload.eq(self.scale.payload.tdata[shape.group_bits :])
            room &= ~closes_tile | self.finish.ready

        sides = [self.group] if scaled else []
        sides += [self.finish] if shape.finish_bits else []

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.job.ready.eq(1)
                job = job_of(self.job.payload.tdata)
                wrong = wire(m, judged(shape, job), "wrong")
                m.d.sync += [
                    size_n.eq(job["n"]),
                    size_k.eq(job["k"]),
                    left_m.eq(job["m"]),
                    left_n.eq(job["n"]),
                    left_k.eq(job["k"]),
                    code.eq(wrong),
                    first.eq(1),
                    first_group.eq(1),
                    books.eq(shape.books),
                    *(flag.eq(1) for flag in drops.values()),
                    *self._new_group(),
                ]
                if shape.beats > 1:
                    m.d.sync += self._beats_of(job)
                if shape.sparse:
                    m.d.sync += self._bad.eq(0)
                with m.If(self.job.valid):
                    with m.If(wrong.any()):
                        m.next = "DROP"
                    with m.Else():
                        m.next = "RUN"
            with m.State("RUN"):
                can = wire(m, pair & ~fault & room, "can")
                taken = wire(m, can & step.ready, "taken")
                bad = wire(m, pair & fault, "bad")
                # What goes beside the step goes with it: none of them waits for another's ready.
                beside = wire(m, pair & ~fault & step.ready, "beside")
                m.d.comb += step.valid.eq(can)
                m.d.comb += [source.ready.eq((taken | bad) & used) for source, used in
                             operands.values()]  # fmt: skip
                others = [side.ready for side in sides]
                m.d.comb += tile.valid.eq(reduce(and_, others, beside & tells))
                if scaled:
                    m.d.comb += self.group.valid.eq(beside & closes_group & room)
                if shape.finish_bits:
                    m.d.comb += self.finish.valid.eq(beside & closes_tile & room)
                if shape.sparse:
                    marks = wire(m, self._bad | self._bad_now, "bad_tile")
                    m.d.comb += tile.payload.bad.eq(marks)
                    with m.If(taken):
                        m.d.sync += self._bad.eq(marks & (~tells).replicate(shape.columns))
                with m.If(taken & loads):
                    m.d.sync += books.eq(books - 1)
                with m.If(taken & closes_tile):
                    m.d.sync += books.eq(shape.books)
                with m.If(taken & high):
                    m.d.sync += [left_k.eq(left_k - shape.depth), *self._next_step()]
                    m.d.sync += first.eq(closes_group)
                    with m.If(closes_group):
                        m.d.sync += [first_group.eq(0), *self._new_group()]
                    with m.If(closes_k):
                        m.d.sync += [left_k.eq(size_k), first_group.eq(1)]
                        m.d.sync += left_n.eq(left_n - shape.columns)
                        with m.If(closes_n):
                            m.d.sync += [left_n.eq(size_n), left_m.eq(left_m - shape.rows)]
                with m.If(taken & closes_job):
                    m.next = "IDLE"
                with m.If(bad):
                    m.d.sync += code.eq(fault_code)
                    m.d.sync += [drops[name].eq(~(used & source.payload.tlast)) for
                                 name, (source, used) in operands.items()]  # fmt: skip
                    if shape.books:  # those of the last tile are all here
                        with m.If(~loads & closes_n & closes_m):
                            m.d.sync += drops["scales"].eq(0)
                    m.next = "DROP"
            with m.State("DROP"):
                for name, (source, _) in operands.items():
                    m.d.comb += source.ready.eq(drops[name])
                    with m.If(source.valid & source.payload.tlast):
                        m.d.sync += drops[name].eq(0)
                with m.If(~Cat(*drops.values()).any()):
                    m.d.comb += [tile.valid.eq(1), tile.payload.error.eq(code)]
                    with m.If(tile.ready):
                        m.next = "IDLE"
        return m

    def _planes(self, m: Module) -> tuple[Value, Value]:
        """Return whether this beat of weights is the first, and the last, of its step."""
        beats = self.shape.beats
        if beats == 1:
            return Const(1, 1), Const(1, 1)
        self._size = Signal(range(beats), name="size_beats")  # beats of a step, less one
        left = Signal(range(beats), name="left_beats")
        self._left = left
        low, high = wire(m, left == self._size, "low"), wire(m, ~left.any(), "high")
        with m.If(self.wgt.valid & self.wgt.ready):
            m.d.sync += left.eq(Mux(high, self._size, left - 1))
        return low, high

    def _weights(self, m: Module, left_k: Value) -> Value:
        """Return the weights of the step, past what judges them where they are sparse."""
        weights, wgt = self.shape.sparse, self.wgt.payload.tdata
        if weights is None:
            return masked(m, self.shape, "wgt", wgt, left_k, self.shape.depth)
        self._bad = Signal(self.shape.columns, name="bad")
        self._bad_now = Signal(self.shape.columns, name="bad_now")
        bits, place = weights.index_bits, left_k[weights.index_bits :]
        full = [Mux(place > block, weights.m, Mux(place == block, left_k[:bits], 0))[: bits + 1]
                for block in range(weights.blocks)]  # fmt: skip
        left = wire(m, Cat(*full), "left_blocks")
        picks = []
        for c in range(self.shape.columns):
            m.submodules[f"sparse{c}"] = column = SparseColumn(weights)
            m.d.comb += [
                column.w.eq(wgt.word_select(c, len(column.w))),
                column.left.eq(left),
                self._bad_now[c].eq(column.bad),
            ]
            if weights.passes > 1:
                m.d.comb += [column.dense.eq(self._size.any()), column.turn.eq(~self._left)]
            picks.append(column.picks)
        return Cat(*picks)

    def _group_full(self, m: Module) -> Value:
        """Return whether this step is the last for which its group has room."""
        steps = self.shape.group_steps
        self._steps = Signal(range(max(2, steps)), name="steps_left")
        return wire(m, ~self._steps.any(), "group_full") if steps else Const(0, 1)

    def _new_group(self) -> list[Any]:
        steps = self.shape.group_steps
        return [self._steps.eq(steps - 1)] if steps else []

    def _next_step(self) -> list[Any]:
        return [self._steps.eq(self._steps - 1)] if self.shape.group_steps else []

    def _beats_of(self, job: dict[str, Value]) -> list[Any]:
        """Return what sets the beats of a step for the planes that the job asks for."""
        shape = self.shape
        if shape.sparse:
            less = (shape.beats - 1) & job["bits"].any().replicate(len(self._size))
            return [self._size.eq(less), self._left.eq(less)]
        planes = Mux(job["bits"].any(), job["bits"], shape.planes)
        less = ((planes - 1) // shape.planes_per_beat)[: len(self._size)]
        return [self._size.eq(less), self._left.eq(less)]


def judged(shape: Shape, job: dict[str, Value]) -> Value:
    """Return the error code of a descriptor, 0 for none."""
    most = shape.planes if shape.beats > 1 else 0
    odd = job["reserved"].any() | (job["bits"] > most)
    if shape.planes_whole and shape.beats > 1:
        odd |= lookup([int(n % shape.planes_per_beat > 0) for n in range(16)], job["bits"])
    if shape.sparse and most:
        odd = job["reserved"].any() | job["bits"].any() & (job["bits"] != most)
    zero = ~job["m"].any() | ~job["n"].any() | ~job["k"].any()
    deep = job["k"] > shape.max_k if shape.max_k < (1 << 16) - 1 else Const(0, 1)
    codes = [error_code(n) for n in ("zero size", "k above max_k", "unsupported mode")]
    return Mux(zero, codes[0], Mux(deep, codes[1], Mux(odd, codes[2], 0)))


def masked(m: Module, shape: Shape, kind: str, word: Value, left: Value, depth: int) -> Value:
    """Return activations (``act``) or weights (``wgt``) without what lies in lanes beyond K.

    ``left`` products remain. ``word`` has rows, or columns, of ``depth`` lanes. The activations
    beyond K become zero, so weights need to change only where they can be not finite.
    """
    if kind == "act":
        if shape.act_masked:
            return word[: shape.act_bits]
        bits, fill, size = shape.lane_bits, shape.zero, shape.act_bits
    elif shape.wgt_lane_bits:
        bits, fill, size = shape.wgt_lane_bits, shape.wgt_zero, shape.wgt_bits
    else:
        return word[: shape.wgt_bits]
    there = [wire(m, left > lane, f"{kind}_lane{lane}") for lane in range(depth)]
    lanes: list[Value] = []
    for place in range(size // bits):
        code, keep = word.word_select(place, bits), there[place % depth]
        lanes.append(Mux(keep, code, fill)[:bits] if fill else code & keep.replicate(bits))
    return Cat(*lanes)

# SPDX-License-Identifier: Apache-2.0
"""Whether a job's operands lie within the addresses of the bus."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hw.coprocessor.choice import own
from hw.coprocessor.control_facts import ControlFacts
from hw.coprocessor.descriptor import row_bytes

__all__ = ["Extents"]

W_STRIDE_BITS = 20  #: Of the longest stride of a job.


class Phase(enum.Enum):
    """What is done in a cycle."""

    IDLE = 0
    LOAD = 1
    MULTIPLY = 2
    LAST = 3
    BASE = 4
    DONE = 5


class Extents(wiring.Component):
    """Work out where A, W, C and S end, one after the other, with one adder.

    Everything is of the form ``base + (x - 1) // d * y + last``: rows or tiles that follow each
    other in steps of ``y`` bytes, of which the last has ``last`` bytes. The quotient is made bit by
    bit, the most significant one first, and so is the product.

    Parameters
    ----------
    facts : :class:`~hw.coprocessor.control_facts.ControlFacts`

    Members
    -------
    job : ``In(facts.job_layout)``
        Looked at from ``start`` to ``done``.
    start : ``In(1)``
        Begin, for one cycle, whatever was going on.
    done, beyond : ``Out(1)``, ``Out(1)``
        ``done`` is high for one cycle; ``beyond`` is right in that cycle: some operand ends above
        the last address.

    Timing
    ------
    12 cycles for each of A, C, W, a tile of W, and up to three for S if any engine has it; 20 where
    a number of rows, columns or products is above 256. A copy has A and C only.
    """

    def __init__(self, facts: ControlFacts):
        self.facts = facts
        super().__init__(
            {"job": In(facts.job_layout), "start": In(1), "done": Out(1), "beyond": Out(1)}
        )

    def elaborate(self, platform: Any) -> Module:
        m, facts, job = Module(), self.facts, self.job
        engines, choice = facts.engines, job.engine
        # Of the numbers, so that no stride is cut.
        longest = max(max(*one.step_bytes, one.s_slot * one.s_beats) for one in engines)
        top = max(facts.addr_bits, W_STRIDE_BITS, bits_for(longest))
        acc, held = Signal(top + 2), Signal(top + 1)
        a_row, c_row = row_bytes(m, facts, job)

        def step_of(number: int) -> Any:
            each = engines[number]
            return Array(each.step_bytes)[job.bits] if each.planes else each.step_bytes[0]

        step = own(m, choice, range(len(engines)), "own_step", step_of)
        depths = [each.depth for each in engines]
        w_stride = Mux(job.w_stride.any(), job.w_stride, held)
        every = 1 << 16  # K is below, so one group has all of it
        sizes = [each.s_group or every for each in engines]
        widest = bits_for(max(facts.columns, facts.rows, *depths))

        passes: list[tuple[Any, Any, Any, Any, Any]] = [
            (job.m, 1, job.a_stride, a_row, job.a),
            (job.m, 1, job.c_stride, c_row, job.c),
            (job.k, own(m, choice, depths, "own_depth"), step, step, 0),
            (job.n, facts.columns, w_stride, held, job.w),
        ]
        if any(each.s_slot for each in engines):
            widest = max(widest, bits_for(max(sizes)))
            beats = own(m, choice, [each.s_slot * each.s_beats for each in engines], "own_beats")
            passes.append((job.k, own(m, choice, sizes, "own_group"), beats, beats, 0))
            tall = [each.s_rows for each in engines]
            if any(tall):
                tiled = Mux(own(m, choice, tall, "own_rows"), job.m, 1)
                passes.append((tiled, facts.rows, held, held, 0))
            passes.append((job.n, facts.columns, held, held, job.s))
        turn = Signal(range(len(passes)))

        def pick(column: int) -> Value:
            return Array(Value.cast(row[column]) for row in passes)[turn]

        left, rest, count = Signal(16), Signal(widest + 1), Signal(range(17))
        bit, tried = Signal(), Signal(widest + 2)
        less = Signal(16)
        addend, kept = Signal(top + 1), Signal(top + 2)
        phase, over, above = Signal(Phase), Signal(), Signal()
        m.d.comb += [
            less.eq(pick(0) - 1),
            tried.eq(Cat(left[-1], rest) - pick(1)),
            above.eq(acc > 1 << facts.addr_bits),
            kept.eq(acc),
            self.done.eq(phase == Phase.DONE),
            self.beyond.eq(over | above),
        ]
        m.d.sync += [acc.eq(kept + addend), over.eq(over | above)]
        with m.Switch(phase):
            with m.Case(Phase.LOAD):
                small = ~less[8:].any()
                m.d.sync += [
                    held.eq(acc),
                    acc.eq(0),
                    bit.eq(0),
                    rest.eq(0),
                    left.eq(Mux(small, less << 8, less)),
                    count.eq(Mux(small, 8, 16)),
                    phase.eq(Phase.MULTIPLY),
                ]
            with m.Case(Phase.MULTIPLY):
                m.d.comb += [kept.eq(acc << 1), addend.eq(Mux(bit, pick(2), 0))]
                m.d.sync += [
                    bit.eq(~tried[-1]),
                    rest.eq(Mux(tried[-1], Cat(left[-1], rest), tried)),
                    left.eq(left << 1),
                    count.eq(count - 1),
                ]
                with m.If(count == 0):
                    m.d.sync += phase.eq(Phase.LAST)
            with m.Case(Phase.LAST):
                m.d.comb += addend.eq(pick(3))
                m.d.sync += phase.eq(Phase.BASE)
            with m.Case(Phase.BASE):
                m.d.comb += addend.eq(pick(4))
                m.d.sync += [turn.eq(turn + 1), phase.eq(Phase.LOAD)]
                with m.If((turn == len(passes) - 1) | (job.copy & (turn == 1))):
                    m.d.sync += phase.eq(Phase.DONE)
            with m.Case(Phase.DONE):
                m.d.sync += phase.eq(Phase.IDLE)
        with m.If(self.start):
            m.d.sync += [turn.eq(0), acc.eq(0), over.eq(0), phase.eq(Phase.LOAD)]
        return m

# SPDX-License-Identifier: Apache-2.0
"""Control of the co-processor: registers, descriptors one after the other, errors, interrupt."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from hw.axi.axi4 import ATTRIBUTES
from hw.axi.bus import Bus
from hw.axi.dma import command, read_beats, write_beats
from hw.coprocessor.control_errors import ErrorLog
from hw.coprocessor.control_extent import Extents
from hw.coprocessor.control_facts import ControlFacts
from hw.coprocessor.control_record import RecordWriter
from hw.coprocessor.control_registers import ControlRegisters
from hw.coprocessor.control_ring import Ring, ring_signature
from hw.coprocessor.control_words import DescriptorWords
from hw.coprocessor.descriptor import DescriptorReader
from hw.spec.coprocessor import (
    DESCRIPTOR_BYTES,
    DESCRIPTOR_WORDS,
    DIRECT_INDEX,
    ERROR_CODES,
    PERF,
)
from hw.spec.registers import RegisterMap

__all__ = ["Control", "fault_layout"]

QUIET = 4  #: Cycles without anything on the bus after which nothing more comes.


class State(enum.Enum):
    """What the control is at."""

    IDLE = 0
    LOCATE = 1  #: Where are the descriptor and its record?
    FETCH = 2
    LOAD = 3  #: Word by word into the reader.
    JUDGE = 4
    EXTENT = 5
    JOB = 6
    RUN = 7
    STOP = 8  #: Let the bus come to rest.
    WIPE = 9  #: Back to the state after reset.
    FINISH = 10
    RECORD = 11
    COMPLETE = 12
    SETTLE = 13


#: States in which a descriptor can still go wrong.
_WORKING = (
    State.LOCATE,
    State.FETCH,
    State.LOAD,
    State.JUDGE,
    State.EXTENT,
    State.JOB,
    State.RUN,
)


def fault_layout(addr_bits: int) -> data.StructLayout:
    """Return what a master says of a bad response: an error code of 1 to 4 and an address."""
    return data.StructLayout({"valid": 1, "code": 3, "addr": addr_bits})


class Control(wiring.Component):
    """Run descriptors, from the registers or from the queue, one at a time.

    Parameters
    ----------
    registers : :class:`~hw.spec.registers.RegisterMap`
        That of :func:`hw.spec.coprocessor.coprocessor_map`. Where it lacks those of the queue or
        TIMEOUT, there is no queue or no timeout.
    facts : :class:`~hw.coprocessor.control_facts.ControlFacts`
        By which descriptors are judged.
    perf : bool
        Whether there are performance counters; without, they read 0.
    protected : bool
        Whether descriptors and registers have parity, and errors of memories are looked at.

    Members
    -------
    bus : ``In(Bus(12))``
        Accesses of the registers.
    interrupt, busy, error : ``Out(1)``
        The interrupt, a level; STATUS.BUSY; STATUS.ERROR.
    cmd, beats : ``Out(command(addr_bits))``, ``In(read_beats(data_width))``
        Client of the read master that fetches descriptors; unused without a queue, as
    record_cmd, record_beats : ``Out(command(addr_bits))``, ``Out(write_beats(data_width))``
    record_done : ``In(1)``
        Client of the write master that stores completion records, and its ``done``.
    job : ``Out(facts.job_signature)``
        To the datapath. It stays as it is until the next one.
    done, engine_error, nan : ``In(1)``
        Pulses of the datapath: every byte of C was acknowledged; the engine reported an error;
        a sum that left was not a number.
    corrected, detected : ``In(1)``
        Pulses of the datapath: errors in memories, that were corrected or were not.
    stop, clear, idle : ``Out(1)``, ``Out(1)``, ``In(1)``
        To both masters and the datapath: begin nothing new; forget everything, for one cycle while
        all is quiet, also a job that was taken; from both masters: nothing is going on.
    read_fault, write_fault : ``In(fault_layout(addr_bits))``
        Pulses of the masters.
    progress : ``In(1)``
        A transfer on any channel of the bus, for the timeout.
    attr : ``Out(ATTRIBUTES)``
        Of all bursts.
    compute ... lookups : ``In(...)``
        What the counters of :data:`hw.spec.coprocessor.PERF` add in a cycle, but for ``cycles`` and
        ``busy``.

    Timing
    ------
    Registers answer in the cycle after the request, those of counters when their turn comes. A
    descriptor takes about 20 cycles to be read and what :class:`Extents` takes to be judged before
    its job is offered. No output depends combinationally on an input.
    """

    def __init__(
        self,
        registers: RegisterMap,
        facts: ControlFacts,
        perf: bool = True,
        protected: bool = False,
    ):
        self.registers, self.facts, self.perf = registers, facts, perf
        self.protected, self.queued = protected, "QHEAD" in registers
        bits, width = facts.addr_bits, facts.data_width
        step = facts.data_width // 8
        self.widths = dict.fromkeys(PERF, 1) | {
            "rd_bytes": step.bit_length(),
            "wr_bytes": step.bit_length(),
            "macs": facts.macs_bits,
            "lookups": facts.lookups_bits,
        }
        pulses = {name: In(n) for name, n in self.widths.items() if name not in ("cycles", "busy")}
        super().__init__(
            {
                "bus": In(Bus(12)),
                "interrupt": Out(1),
                "busy": Out(1),
                "error": Out(1),
                "cmd": Out(command(bits)),
                "beats": In(read_beats(width)),
                "record_cmd": Out(command(bits)),
                "record_beats": Out(write_beats(width)),
                "record_done": In(1),
                "job": Out(facts.job_signature),
                "done": In(1),
                "engine_error": In(1),
                "nan": In(1),
                "corrected": In(1),
                "detected": In(1),
                "stop": Out(1),
                "clear": Out(1),
                "idle": In(1),
                "read_fault": In(fault_layout(bits)),
                "write_fault": In(fault_layout(bits)),
                "progress": In(1),
                "attr": Out(ATTRIBUTES),
                **pulses,
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, facts, state = Module(), self.facts, Signal(State)
        registers = ControlRegisters(
            self.registers, facts.addr_bits, self.widths if self.perf else None, self.protected
        )
        m.submodules.registers = registers
        m.submodules.words = words = DescriptorWords(facts.data_width, self.protected)
        m.submodules.reader = reader = DescriptorReader(facts)
        m.submodules.extents = extents = Extents(facts)
        wipe = registers.wipe
        # What a queue would say, where there is none: nothing.
        ring: Any = ring_signature(facts.addr_bits).create()
        if self.queued:
            ring = Ring(facts.addr_bits)
            m.submodules.ring = ResetInserter(wipe)(ring)
        errors = ErrorLog(facts.addr_bits)
        m.submodules.errors = ResetInserter(wipe)(errors)

        queued, index, loaded = Signal(), Signal(16), Signal()
        error, error_addr = Signal(4), Signal(facts.addr_bits)
        reported, recorded, overdue = Signal(), Signal(), Signal()
        resetting, count = Signal(), Signal(range(DESCRIPTOR_WORDS + 1))
        timeout: Value = Const(0, 1)
        if "TIMEOUT" in self.registers:
            timeout = self._timeout(m, registers.timeout)

        def fail(code: Any, where: Any = 0) -> None:
            """Stop because of an error, if it is the first one of this descriptor."""
            m.d.sync += state.eq(State.STOP)
            with m.If(error == 0):
                m.d.sync += [error.eq(code), error_addr.eq(where)]

        def refuse(code: Any) -> None:
            """Complete a descriptor for which nothing was begun."""
            m.d.sync += [error.eq(code), error_addr.eq(Mux(queued, ring.address, 0))]
            m.d.sync += state.eq(State.FINISH)

        with m.Switch(state):
            with m.Case(State.IDLE):
                m.d.sync += [error.eq(0), error_addr.eq(0), loaded.eq(0)]
                m.d.sync += [reported.eq(0), overdue.eq(0), recorded.eq(~registers.record_en)]
                with m.If(registers.start):
                    m.d.comb += words.start.eq(1)
                    m.d.sync += [queued.eq(0), index.eq(DIRECT_INDEX), state.eq(State.LOAD)]
                if self.queued:
                    with m.Elif(registers.queue_en & ~registers.abort & ring.ready):
                        m.d.comb += ring.locate.eq(1)
                        m.d.sync += [queued.eq(1), index.eq(ring.tail), state.eq(State.LOCATE)]
            if self.queued:
                with m.Case(State.LOCATE), m.If(ring.located):
                    m.d.sync += [state.eq(State.FETCH), self.cmd.valid.eq(1)]
                    with m.If(ring.beyond):
                        m.d.sync += [self.cmd.valid.eq(0), recorded.eq(1)]
                        refuse(ERROR_CODES["address"])
                with m.Case(State.FETCH):
                    with m.If(self.cmd.ready):
                        m.d.sync += self.cmd.valid.eq(0)
                    with m.If(words.fetched):
                        m.d.comb += words.start.eq(1)
                        m.d.sync += state.eq(State.LOAD)
            with m.Case(State.LOAD), m.If(words.last):
                m.d.sync += [state.eq(State.JUDGE), loaded.eq(1)]
            with m.Case(State.JUDGE):
                m.d.comb += extents.start.eq(1)
                m.d.sync += state.eq(Mux(reader.fence, State.FINISH, State.EXTENT))
                with m.If(reader.error.any()):
                    refuse(reader.error)
            with m.Case(State.EXTENT), m.If(extents.done):
                m.d.sync += [state.eq(State.JOB), self.job.valid.eq(1)]
                with m.If(extents.beyond):
                    m.d.sync += self.job.valid.eq(0)
                    refuse(ERROR_CODES["address"])
            with m.Case(State.JOB), m.If(self.job.ready):
                m.d.sync += [state.eq(State.RUN), self.job.valid.eq(0)]
            with m.Case(State.RUN), m.If(self.done):
                m.d.sync += state.eq(State.FINISH)
            with m.Case(State.STOP):
                m.d.sync += count.eq(Mux(self.idle, count + 1, 0))
                with m.If(count == QUIET):
                    m.d.comb += self.clear.eq(self.idle)
                with m.If(self.clear):
                    m.d.sync += [self.cmd.valid.eq(0), self.job.valid.eq(0), count.eq(0)]
                    m.d.sync += state.eq(Mux(resetting, State.WIPE, State.FINISH))
            with m.Case(State.WIPE):
                m.d.comb += words.wipe.eq(count != DESCRIPTOR_WORDS)
                # An access that begins in this cycle has to get its answer in the next one.
                m.d.comb += wipe.eq((count == DESCRIPTOR_WORDS) & ~self.bus.request)
                with m.If(count != DESCRIPTOR_WORDS):
                    m.d.sync += count.eq(count + 1)
                with m.If(wipe):
                    m.d.sync += [state.eq(State.IDLE), count.eq(0), resetting.eq(0)]
            with m.Case(State.FINISH):
                m.d.sync += state.eq(State.COMPLETE)
                if self.queued:
                    with m.If(queued & ~recorded):
                        m.d.comb += ring.locate.eq(1)
                        m.d.sync += [state.eq(State.RECORD), recorded.eq(1)]
            if self.queued:
                with m.Case(State.RECORD), m.If(self.record_done):
                    m.d.sync += state.eq(State.COMPLETE)
            with m.Case(State.COMPLETE):
                # QTAIL moves with this; what it makes of PENDING is there a cycle later.
                m.d.sync += state.eq(State.SETTLE)
            with m.Case(State.SETTLE):
                m.d.sync += state.eq(State.IDLE)

        def at(*states: Any) -> Value:
            return Cat(state == s for s in states).any()

        working = at(*_WORKING)
        with m.If(registers.abort & working):
            fail(ERROR_CODES["aborted"])
        with m.If(timeout):
            m.d.sync += overdue.eq(1)
            with m.If(working | at(State.RECORD)):
                fail(ERROR_CODES["timeout"])
        with m.If(self.engine_error & at(State.RUN)):
            fail(ERROR_CODES["engine"])
        if self.protected:
            with m.If(self.detected & at(State.RUN)):
                fail(ERROR_CODES["memory"])
            with m.If(words.broken & at(State.LOAD) | registers.broken & working):
                fail(ERROR_CODES["parity"])
        for fault in (self.write_fault, self.read_fault):
            with m.If(fault.valid & (working | at(State.RECORD))):
                fail(fault.code, fault.addr)
        with m.If(registers.soft_reset):
            with m.If(state != State.WIPE):
                m.d.sync += [resetting.eq(1), state.eq(State.STOP)]

        goes_on = registers.queue_en & ring.ready
        complete, good, resting = state == State.COMPLETE, error == 0, state == State.IDLE
        tag = Mux(loaded, reader.tag if self.queued else words.tag, 0)
        m.d.comb += [
            # What was asked for is under way from the start, and so is all of the queue.
            self.busy.eq(~resting | registers.start | registers.soft_reset | goes_on),
            self.stop.eq(state == State.STOP),
            self.cmd.payload.addr.eq(ring.address),
            self.cmd.payload.bytes.eq(DESCRIPTOR_BYTES),
            self.job.payload.eq(reader.job),
            words.busy.eq(resetting | registers.soft_reset),
            words.direct.eq(resting),
            words.clear.eq(self.clear),
            words.beats.valid.eq(self.beats.valid & (state == State.FETCH)),
            words.beats.payload.eq(self.beats.payload),
            reader.valid.eq(words.valid & (state == State.LOAD)),
            reader.index.eq(words.index),
            reader.word.eq(words.word),
            extents.job.eq(reader.job),
            ring.base.eq(registers.qbase),
            ring.size.eq(registers.qsize),
            ring.head.eq(registers.qhead),
            ring.consume.eq(complete & queued),
            ring.of_record.eq(at(State.FINISH, State.RECORD)),
            ring.recording.eq(~recorded),
        ]
        if self.queued:
            m.submodules.record = record = RecordWriter(facts.addr_bits, facts.data_width)
            m.d.comb += [
                record.start.eq(at(State.RECORD) & ring.located),
                record.restart.eq(at(State.LOCATE, State.FETCH)),
                record.running.eq(working | self.stop),
                record.address.eq(ring.address),
                record.tag.eq(tag),
                record.index.eq(index),
                record.error.eq(error),
                record.clear.eq(self.clear),
            ]
            wiring.connect(m, record.cmd, wiring.flipped(self.record_cmd))
            wiring.connect(m, record.beats, wiring.flipped(self.record_beats))

        # Of two errors in one cycle that of the descriptor is reported.
        failed = Signal()
        m.d.comb += failed.eq((complete | overdue) & ~good & ~reported)
        report, raised = errors.report, Signal()
        m.d.comb += [
            raised.eq(1),
            report.index.eq(ring.tail),
            errors.valid.eq(raised),
            errors.clear.eq(registers.forget),
        ]
        with m.If(failed):
            m.d.comb += [report.code.eq(error), report.addr.eq(error_addr)]
            m.d.comb += [report.tag.eq(tag), report.index.eq(index)]
            m.d.sync += reported.eq(1)
        with m.Elif(registers.start & ~resting):
            m.d.comb += report.code.eq(ERROR_CODES["overflow"])
            m.d.comb += [report.tag.eq(words.tag), report.index.eq(DIRECT_INDEX)]
        with m.Elif(registers.queue_en & ring.bad):
            m.d.comb += report.code.eq(ERROR_CODES["size"])
        with m.Elif(registers.queue_en & ring.overflow):
            m.d.comb += report.code.eq(ERROR_CODES["overflow"])
        with m.Else():
            m.d.comb += raised.eq(0)

        m.d.comb += [
            registers.stop_queue.eq(
                raised | registers.abort | complete & good & reader.last & queued
            ),
            registers.done.eq(complete & good & (reader.irq | ~queued)),
            registers.raised.eq(raised),
            registers.low.eq(ring.low),
            registers.completed.eq(complete),
            registers.nan.eq(self.nan),
            registers.corrected.eq(self.corrected),
            registers.detected.eq(self.detected),
            registers.busy.eq(self.busy),
            registers.qtail.eq(ring.tail),
            registers.pending.eq(ring.pending),
            registers.shown.eq(errors.shown),
            self.attr.eq(registers.attr),
            self.interrupt.eq(registers.interrupt),
            self.error.eq(registers.error),
        ]
        if self.perf:
            names = [name for name in PERF if name in self.signature.members]
            names.remove("busy")
            m.d.comb += [getattr(registers, name).eq(getattr(self, name)) for name in names]
        wiring.connect(m, wiring.flipped(self.bus), registers.bus)
        wiring.connect(m, registers.words, words.bus)
        return m

    def _timeout(self, m: Module, limit: Value) -> Signal:
        """Return when the bus made no progress for too long."""
        left, fired = Signal(32), Signal(name="timeout")
        m.d.sync += [left.eq(left - left.any()), fired.eq(self.busy & (left == 1))]
        with m.If(~self.busy | self.progress | fired):
            m.d.sync += [left.eq(limit), fired.eq(0)]
        return fired

# SPDX-License-Identifier: Apache-2.0
"""Registers of the co-processor: who answers an access, commands, events, status, interrupt."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.axi.axi4 import ATTRIBUTES
from hw.axi.bus import Bus
from hw.axi.register_file import RegisterFile
from hw.coprocessor.control_errors import error_layout
from hw.coprocessor.control_words import WORDS_BITS
from hw.coprocessor.perf import PERF_BASE, PERF_BITS, PerfCounters
from hw.spec.coprocessor import IRQS, PERF
from hw.spec.registers import RegisterMap

__all__ = ["ControlRegisters"]

_COMMANDS = {"START": "start", "ABORT": "abort", "SOFT_RESET": "soft_reset"}
#: What has parity.
_GUARDS = ("QBASE_LO", "QBASE_HI", "QSIZE", "QHEAD", "TIMEOUT", "AXI_ATTR", "IRQ_ENABLE")
_MODES = {"QUEUE_EN": "queue_en", "IRQ_EN": "irq_en", "RECORD_EN": "record_en"}


class ControlRegisters(wiring.Component):
    """Decode accesses, hold what the host set, show what goes on.

    Parameters
    ----------
    registers : :class:`~hw.spec.registers.RegisterMap`
        That of :func:`hw.spec.coprocessor.coprocessor_map`. Outputs of registers and modes that it
        lacks are 0.
    addr_bits : int
        Bits of an address of the AXI4 master.
    widths : dict or None
        Of what counters add, see :class:`~hw.coprocessor.perf.PerfCounters`; None: there are none.
    protected : bool
        Whether registers that steer the device have a bit of parity, and errors are counted.

    Members
    -------
    bus, words : ``In(Bus(12))``, ``Out(Bus(WORDS_BITS))``
        Where accesses come from; those of the direct descriptor.
    busy, wipe : ``In(1)``, ``In(1)``
        STATUS.BUSY; all registers become as after reset. Never in a cycle with ``bus.request``.
    start, abort, soft_reset : ``Out(1)``
        Pulses. ``soft_reset`` comes alone, ``abort`` without ``start``.
    queue_en, irq_en, record_en : ``Out(1)``
        As in CTRL.
    stop_queue : ``In(1)``
        Zero QUEUE_EN; this wins over a write.
    qbase, qsize, qhead, timeout, attr : ``Out(...)``
        Registers.
    qtail, pending, shown : ``In(...)``
        What registers show: the consumer's index, descriptors in the ring, the first error.
    done, raised, low, completed, nan : ``In(1)``
        Pulses: events for IRQ_STATUS; a descriptor was completed; a sum was not a number.
    forget : ``Out(1)``
        IRQ_STATUS.ERROR is being cleared.
    interrupt, error : ``Out(1)``
        The interrupt; STATUS.ERROR.
    corrected, detected : ``In(1)``
        Pulses: errors in buffers, for MEM_CORRECTED and MEM_DETECTED.
    broken : ``Out(1)``
        A register's parity is wrong; until it is written, or all are wiped.
    compute ... lookups : ``In(width)``
        Of :data:`hw.spec.coprocessor.PERF`, but for ``cycles`` and ``busy``.

    Timing
    ------
    ``ack`` comes in the cycle after ``request``, for counters when their turn comes. Pulses come in
    that cycle too, and what was written is there; ``forget`` comes with the request, the interrupt
    a cycle after its cause.
    """

    def __init__(
        self,
        registers: RegisterMap,
        addr_bits: int,
        widths: dict[str, int] | None,
        protected: bool = False,
    ):
        self.registers, self.widths, self.protected = registers, widths, protected
        self._modes = {
            name: member
            for name, member in _MODES.items()
            if name in {f.name for f in registers["CTRL"].fields}
        }
        names = (*_COMMANDS.values(), *_MODES.values(), "forget", "interrupt", "error", "broken")
        pulses = ("busy", "wipe", "stop_queue", "done", "raised", "low", "completed", "nan")
        errors = ("corrected", "detected")
        added = {n: w for n, w in (widths or {}).items() if n not in ("cycles", "busy")}
        super().__init__(
            {
                "bus": In(Bus(12)),
                "words": Out(Bus(WORDS_BITS)),
                **dict.fromkeys(names, Out(1)),
                **dict.fromkeys((*pulses, *errors), In(1)),
                "qbase": Out(64),
                "qsize": Out(32),
                "qhead": Out(16),
                "timeout": Out(32),
                "attr": Out(ATTRIBUTES),
                "qtail": In(16),
                "pending": In(16),
                "shown": In(error_layout(addr_bits)),
                **{name: In(width) for name, width in added.items()},
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, names, bus = Module(), self.registers, self.bus
        elsewhere = ("CTRL", "DIRECT", "PERF") if self.widths else ("CTRL", "DIRECT")
        plain = tuple(r for r in names.registers if not r.name.startswith(elsewhere))
        file = RegisterFile(RegisterMap(names.name, plain), 12)
        m.submodules.file = ResetInserter(self.wipe)(file)
        windows: dict[str, tuple[Any, int, int]] = {
            "words": (self.words, names["DIRECT0"].offset, WORDS_BITS)
        }
        wrapped: Value = Value.cast(0)
        if self.widths:
            m.submodules.perf = perf = PerfCounters(self.widths)
            windows["perf"] = (perf.bus, PERF_BASE, PERF_BITS)
            m.d.comb += [perf.cycles.eq(1), perf.busy.eq(self.busy), perf.reset.eq(self.wipe)]
            names_in = [name for name in PERF if name not in ("cycles", "busy")]
            m.d.comb += [getattr(perf, name).eq(getattr(self, name)) for name in names_in]
            wrapped = perf.wrapped

        control = wire(m, bus.address == names["CTRL"].offset, "hits_ctrl")
        others: Value = control
        for name, (part, base, bits) in windows.items():
            inside = wire(m, bus.address[bits:] == base >> bits, f"hits_{name}")
            m.d.comb += part.request.eq(bus.request & inside)
            others = others | inside
        m.d.comb += file.bus.request.eq(bus.request & ~others)
        parts = [file.bus, *(part for part, _, _ in windows.values())]
        for part in parts:
            m.d.comb += [part.address.eq(bus.address), part.write.eq(bus.write)]
            m.d.comb += [part.data.eq(bus.data), part.strobe.eq(bus.strobe)]
        answer, shown = self._commands(m, control)
        m.d.comb += [
            bus.ack.eq(reduce(or_, (part.ack for part in parts), answer)),
            bus.error.eq(reduce(or_, (part.error for part in parts))),
            bus.value.eq(reduce(or_, (part.value for part in parts), shown)),
        ]

        irq, nan, count = names["IRQ_STATUS"], Signal(name="kept_nan"), Signal(16)
        clears = bus.request & bus.write & (bus.address == irq.offset) & bus.strobe[0]
        clears = wire(m, clears.replicate(len(IRQS)) & bus.data[: len(IRQS)], "clears")
        m.d.comb += self.forget.eq(clears[irq.field("ERROR").lsb])
        m.d.sync += [
            nan.eq(nan & ~clears[irq.field("DONE").lsb] | self.nan),
            count.eq(count + self.completed),
        ]
        with m.If(self.wipe):
            m.d.sync += [nan.eq(0), count.eq(0)]
        events = {"DONE": self.done, "ERROR": self.raised, "QUEUE_LOW": self.low}
        events["COUNTER"] = wrapped
        m.d.comb += file.irq_status_set.eq(Cat(events[name] for name in IRQS))

        pending = self.pending
        status: dict[str, Any] = {
            "IDLE": ~self.busy,
            "BUSY": self.busy,
            "QUEUE_EMPTY": ~pending.any(),
            "QUEUE_FULL": pending.any() & (pending >= self.qsize),
            "NAN": nan,
            "PENDING": Mux(pending[8:].any(), 255, pending[:8]),
            "COMPLETED": count,
        }
        status |= {name: file.irq_status[irq.field(name).lsb] for name in ("DONE", "ERROR")}
        for f in names["STATUS"].fields:
            m.d.comb += file.status[f.lsb : f.lsb + f.width].eq(status[f.name])
        m.d.comb += [
            file.busy.eq(self.busy),
            file.err_code.eq(self.shown.code),
            Cat(file.err_addr_lo, file.err_addr_hi).eq(self.shown.addr),
            file.err_desc.eq(Cat(self.shown.tag, self.shown.index)),
            self.error.eq(status["ERROR"]),
        ]
        if "QHEAD" in names:
            m.d.comb += [
                file.qtail.eq(self.qtail),
                self.qbase.eq(Cat(file.qbase_lo, file.qbase_hi)),
                self.qsize.eq(file.qsize),
                self.qhead.eq(file.qhead),
            ]
        if "TIMEOUT" in names:
            m.d.comb += self.timeout.eq(file.timeout)
        for f in names["AXI_ATTR"].fields:
            part = file.axi_attr[f.lsb : f.lsb + f.width]
            m.d.comb += self.attr[f.name.lower()].eq(part)
        if self.protected:
            self._protect(m, file)
        raised = (file.irq_status & file.irq_enable).any()
        m.d.sync += self.interrupt.eq(self.irq_en & raised)
        return m

    def _protect(self, m: Module, file: RegisterFile) -> None:
        """Count errors of buffers; keep and compare the parity of registers."""
        for pulse, shown in (
            (self.corrected, file.mem_corrected),
            (self.detected, file.mem_detected),
        ):
            count = Signal(32)
            m.d.comb += shown.eq(count)
            with m.If(pulse & ~count.all()):
                m.d.sync += count.eq(count + 1)
            with m.If(self.wipe):
                m.d.sync += count.eq(0)
        wrong = []
        for name in (name for name in _GUARDS if name in self.registers):
            register, bus = self.registers[name], self.bus
            value, parity = getattr(file, name.lower()), Signal(name=f"parity_{name.lower()}")
            written = bus.request & bus.write & (bus.address == register.offset)
            if register.guarded:
                written &= ~self.busy
            # What a write has changed is there a cycle later.
            changes = Signal(init=1, name=f"changes_{name.lower()}")
            now = wire(m, value.xor(), f"now_{name.lower()}")
            m.d.sync += changes.eq(written | self.wipe)
            with m.If(changes):
                m.d.sync += parity.eq(now)
            wrong.append(~changes & (parity != now))
        m.d.sync += self.broken.eq(Cat(wrong).any())

    def _commands(self, m: Module, control: Signal) -> tuple[Signal, Signal]:
        """Add the register CTRL, return its ``ack`` and ``value``."""
        bus, register = self.bus, self.registers["CTRL"]
        written = wire(m, bus.request & bus.write & control & bus.strobe[0], "written_ctrl")

        def asked(name: str) -> Value:
            return written & bus.data[register.field(name).lsb]

        answer, shown = Signal(name="ctrl_ack"), Signal(32, name="ctrl_value")
        m.d.sync += [
            self.start.eq(asked("START") & ~asked("ABORT") & ~asked("SOFT_RESET")),
            self.abort.eq(asked("ABORT") & ~asked("SOFT_RESET")),
            self.soft_reset.eq(asked("SOFT_RESET")),
            answer.eq(bus.request & control),
        ]
        for name, member in self._modes.items():
            flag, lsb = getattr(self, member), register.field(name).lsb
            with m.If(written):
                m.d.sync += flag.eq(bus.data[lsb])
            with m.If(self.wipe | (self.stop_queue if name == "QUEUE_EN" else 0)):
                m.d.sync += flag.eq(0)
            m.d.sync += shown[lsb].eq(bus.request & control & ~bus.write & flag)
        return answer, shown

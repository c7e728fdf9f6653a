# SPDX-License-Identifier: Apache-2.0
"""Performance counters of 64 bits, most of them in a memory."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hw.axi.bus import Bus
from hw.spec.coprocessor import PERF

__all__ = ["PERF_BASE", "PERF_BITS", "PerfCounters"]

PERF_BITS = 7  #: Of an address in the window of the counters.
PERF_BASE = 0x100
FREEZE, CLEAR = 0x178 - PERF_BASE, 0x17C - PERF_BASE
VISIT = 4  #: Cycles of a visit: low and high half for the snapshot, low and high half counted on.


class PerfCounters(wiring.Component):
    """Count what happens, show it, hold what is shown.

    What a counter gathers while the others are visited is in a few flip-flops; a visit adds it to
    the 64 bits in a memory of 48 words of 32 bits, where the held values are too. So twelve
    counters and their snapshot take about 200 flip-flops instead of 1536, and are exact: a
    counter's register is read when its turn comes, and is right for that cycle.

    Parameters
    ----------
    widths : dict
        For each counter of :data:`hw.spec.coprocessor.PERF` the bits of what is added in a cycle,
        1 if not given.

    Members
    -------
    bus : ``In(Bus(PERF_BITS))``
        Accesses of the window that begins at :data:`PERF_BASE`.
    <name> : ``In(width)``
        What to add to that counter in this cycle.
    wrapped : ``Out(1)``
        High for one cycle when the 64 bits of a counter wrapped.
    reset : ``In(1)``
        Zero all counters and stop holding.

    Timing
    ------
    An access takes up to 50 cycles; one of ``PERF_FREEZE`` or ``PERF_CLEAR`` waits as long after
    the setting of ``PERF_FREEZE``. The values held are those of the cycle in which that write takes
    effect, for all counters alike.
    """

    def __init__(self, widths: dict[str, int] | None = None):
        self.widths = dict.fromkeys(PERF, 1) | (widths or {})
        members = {name: In(width) for name, width in self.widths.items()}
        super().__init__({"bus": In(Bus(PERF_BITS)), **members, "wrapped": Out(1), "reset": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m, count = Module(), len(PERF)
        period = VISIT * count
        m.submodules.store = store = Memory(shape=32, depth=4 * count, init=[])
        read, write = store.read_port(domain="comb"), store.write_port()

        turn, phase = Signal(range(count)), Signal(range(VISIT))
        m.d.sync += phase.eq(phase + 1)
        with m.If(phase == VISIT - 1):
            m.d.sync += turn.eq(Mux(turn == count - 1, 0, turn + 1))
        counting, high = phase[1], phase[0]

        clear, freeze, frozen = Signal(), Signal(), Signal()
        # Counters whose word in the memory counts as 0; after a reset it still holds old values.
        zeroed = Signal(count, init=(1 << count) - 1)
        due = Signal(count)  # counters whose snapshot has to be taken
        gathered, held = [], []
        for i, (name, width) in enumerate(self.widths.items()):
            bits = bits_for(((1 << width) - 1) * (period + 1))
            low, kept = Signal(bits, name=f"low_{name}"), Signal(bits, name=f"kept_{name}")
            mine = (turn == i) & (phase == VISIT - 2)
            m.d.sync += low.eq(Mux(clear, 0, Mux(mine, 0, low) + getattr(self, name)))
            with m.If(freeze):
                m.d.sync += kept.eq(low)
            gathered.append(low)
            held.append(kept)

        carry, taken, total = Signal(), Signal(), Signal(33)
        of_memory = Signal(32)
        chosen = Mux(counting, Array(gathered)[turn], Mux(taken, Array(held)[turn], 0))
        m.d.comb += [
            taken.eq(~counting & due.bit_select(turn, 1)),
            # Until its snapshot is taken a counter's frozen value is made of the counter itself.
            read.addr.eq(Cat(high, ~counting & ~taken, turn)),
            of_memory.eq(Mux((counting | taken) & zeroed.bit_select(turn, 1), 0, read.data)),
            total.eq(of_memory + Mux(high, carry, chosen)),
            write.addr.eq(Cat(high, ~counting, turn)),
            write.data.eq(total),
            write.en.eq(counting | taken),
            self.wrapped.eq(counting & high & total[-1] & ~clear),
        ]
        m.d.sync += carry.eq(total[-1])
        with m.If(counting & high):
            m.d.sync += zeroed.bit_select(turn, 1).eq(0)
        with m.If(~counting & high):
            m.d.sync += due.bit_select(turn, 1).eq(0)

        # Between two visits no counter is half done, and none has been counted on since.
        between, resetting = phase == VISIT - 1, Signal()
        self._accesses(m, turn, phase, total, frozen, freeze, clear, due.any() | ~between)
        with m.If(freeze):
            m.d.sync += due.eq(~0)
        with m.If(between):
            m.d.sync += resetting.eq(0)
        with m.If(self.reset):
            m.d.sync += [frozen.eq(0), due.eq(0), resetting.eq(1)]
        with m.If(resetting & between):
            m.d.comb += clear.eq(1)
        with m.If(clear):
            m.d.sync += zeroed.eq(~0)
        return m

    def _accesses(
        self,
        m: Module,
        turn: Signal,
        phase: Signal,
        total: Signal,
        frozen: Signal,
        freeze: Signal,
        clear: Signal,
        locked: Value,
    ) -> None:
        """Add what answers the bus."""
        bus, waits, word = self.bus, Signal(), Signal(PERF_BITS - 2)
        done, error, value = Signal(), Signal(), Signal(32)
        m.d.comb += word.eq(bus.address >> 2)
        counter = word < 2 * len(PERF)
        here = (turn == word[1:]) & (phase[0] == word[0]) & (phase[1] != frozen)
        with m.If(waits):
            with m.If(bus.address[:2].any()):
                m.d.comb += [done.eq(1), error.eq(1)]
            with m.Elif(counter & ~bus.write):
                m.d.comb += [done.eq(here), value.eq(total)]
            with m.Elif(word == FREEZE >> 2):
                m.d.comb += [done.eq(~bus.write | ~locked), value.eq(Mux(bus.write, 0, frozen))]
                with m.If(bus.write & bus.strobe[0] & ~locked):
                    m.d.sync += frozen.eq(bus.data[0])
                    m.d.comb += freeze.eq(bus.data[0] & ~frozen)
            with m.Elif((word == CLEAR >> 2) & bus.write):
                m.d.comb += [done.eq(~locked), clear.eq(bus.strobe.any() & ~locked)]
            with m.Else():
                m.d.comb += [done.eq(1), error.eq((word != CLEAR >> 2) | bus.write)]
        with m.If(bus.request):
            m.d.sync += waits.eq(1)
        with m.If(done):
            m.d.sync += waits.eq(0)
        m.d.sync += [
            bus.ack.eq(done),
            bus.error.eq(done & error),
            bus.value.eq(Mux(done & ~error, value, 0)),
        ]

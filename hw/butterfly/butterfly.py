# SPDX-License-Identifier: Apache-2.0
"""The unit ``butterfly``: butterfly matrices and Fourier transforms by one engine."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.butterfly.enter import Enter, beat_layout
from hw.butterfly.issue import PIPELINE
from hw.butterfly.leave import Leave, answer_layout
from hw.butterfly.params import ButterflyParams
from hw.butterfly.work import Work

__all__ = ["Butterfly", "build"]

#: Cycles beyond those of the stages: until a beat leaves, and between packets.
OVERHEAD, GAP = PIPELINE + 4, 1


class Butterfly(wiring.Component):
    """Vectors times butterfly matrices, Fourier transforms and their inverses.

    Parameters
    ----------
    params : :class:`ButterflyParams`

    Members
    -------
    i : ``In(stream.Signature(beat_layout(params)))``
    o : ``Out(stream.Signature(answer_layout(params)))``

    Timing
    ------
    As docs/butterfly.md has it.
    """

    def __init__(self, params: ButterflyParams):
        self.params = params
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(params))),
                "o": Out(stream.Signature(answer_layout(params))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        m.submodules.enter = enter = Enter(params)
        m.submodules.work = work = Work(params)
        m.submodules.leave = leave = Leave(params)
        wiring.connect(m, wiring.flipped(self.i), enter.i)
        wiring.connect(m, leave.o, wiring.flipped(self.o))
        taken, loaded, done = (Signal(2, name=n) for n in ("taken", "loaded", "done"))
        fills = Signal()
        fill = wire(m, Mux(fills, enter.filled << 1, enter.filled)[:2], "fill")
        with m.If(enter.filled):
            m.d.sync += fills.eq(~fills)
        m.d.sync += [
            taken.eq((taken | fill) & ~leave.left),
            loaded.eq((loaded | fill) & ~work.ended),
            done.eq((done | work.done) & ~leave.left),
        ]
        records, exps, waits = [], [], []
        for number in range(2):
            record = Signal(enter.record.shape(), name=f"record{number}", reset_less=True)
            exp = Signal(work.exp.shape(), name=f"exp{number}", reset_less=True)
            with m.If(fill[number]):
                m.d.sync += record.eq(enter.record)
            with m.If(work.done[number]):
                m.d.sync += exp.eq(work.exp)
            records.append(record)
            exps.append(exp)
            # The other set of weights is free where no vector that waits needs it.
            needs = loaded[number] & record.real
            waits.append(Mux(needs, Cat(~record.set, record.set), 0))
        m.d.comb += [
            enter.free.eq(~taken.bit_select(fills, 1)),
            enter.in_use.eq(waits[0] | waits[1]),
            work.loaded.eq(loaded),
            work.record0.eq(records[0]),
            work.record1.eq(records[1]),
            work.sigma.eq(enter.sigma),
            work.put_weights.eq(enter.put_weights),
            work.put_at.eq(enter.beat),
            work.put_data.eq(enter.weights),
            leave.done.eq(done),
            leave.record.eq(Mux(leave.slot, records[1], records[0])),
            leave.exp.eq(Mux(leave.slot, exps[1], exps[0])),
        ]
        given = [self._set(m, number, enter, work, leave, fills) for number in range(2)]
        m.d.comb += [
            work.words0.eq(given[0]),
            work.words1.eq(given[1]),
            leave.words.eq(Mux(leave.slot, given[1], given[0])),
        ]
        return m

    def _set(
        self, m: Module, number: int, enter: Enter, work: Work, leave: Leave, fills: Value
    ) -> Value:
        """Return what the banks of a set give."""
        params = self.params
        bits, narrow = params.state_bits, params.data_bits
        parts = 2 * params.engines
        fills = wire(m, enter.put & (fills == number), "fills")
        leaves = wire(m, leave.reads & (leave.slot == number), "leaves")
        found = []
        for bank in range(params.lanes):
            memory = Memory(shape=unsigned(parts * bits), depth=max(2, params.max_beats), init=[])
            m.submodules[f"bank{number}_{bank}"] = memory
            write, read = memory.write_port(), memory.read_port()
            entering = enter.data.word_select(bank, parts * narrow)
            entering = (
                Cat(*(entering.word_select(k, narrow).as_signed() for k in range(parts)))
                if bits == narrow
                else Cat(*(self._wide(entering.word_select(k, narrow), bits) for k in range(parts)))
            )
            even = bank % 2 == 0
            row = leave.rows.word_select(bank, params.row_bits)
            m.d.comb += [
                write.en.eq(fills | work.writes[number]),
                write.addr.eq(Mux(fills, enter.row, work.to_even if even else work.to_odd)),
                write.data.eq(Mux(fills, entering, work.results.word_select(bank, parts * bits))),
                read.en.eq(leaves | work.reads[number]),
                read.addr.eq(Mux(work.reads[number], work.even if even else work.odd, row)),
            ]
            found.append(read.data)
        return Cat(*found)

    @staticmethod
    def _wide(word: Value, bits: int) -> Value:
        return Cat(word, word[-1].replicate(bits - len(word)))


def _cycles(params: ButterflyParams, size: int, fourier: bool) -> int:
    """Return the cycles of the stages of a vector of ``2**size`` elements."""
    beats = max(1, (1 << size) // params.lanes)
    total = size * beats
    for stage in range(size - 1):
        held = fourier and params.scaling == "bfp"
        total += PIPELINE if held else max(0, PIPELINE - beats + (beats >> stage + 1))
    return total


def build(params: ButterflyParams) -> wiring.Component:
    """Return the component that the parameters name, with what its manifest says."""
    component: Any = Butterfly(params)
    sizes = range(3, params.stages + 1)
    worst = {size: _cycles(params, size, True) for size in sizes}
    component.latency = max(worst.values()) + OVERHEAD + params.max_size
    component.beats_per_cycle = min(
        max(1, (1 << size) // params.lanes) / (cycles + GAP) for size, cycles in worst.items()
    )
    lanes = params.engines * params.lanes
    component.number_formats = {
        f"{stream_}_{part}": {"format": f"int{bits}", "lanes": lanes}
        for stream_, bits in (("i", params.data_bits), ("o", params.state_bits))
        for part in ("re", "im")
    }
    component.contract = {
        "answers": "packets",
        "silent": {"op": 3},
        "pipeline": PIPELINE,
        "overhead": OVERHEAD,
        "gap": GAP,
        "state_bits": params.state_bits,
    }
    return component

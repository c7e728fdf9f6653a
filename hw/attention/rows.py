# SPDX-License-Identifier: Apache-2.0
"""What the units that work on rows have in common: their streams, and small pieces of logic."""

from collections.abc import Mapping, Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data
from amaranth.lib.fifo import SyncFIFOBuffered

from hw.arith.bitheap import BitHeap
from hw.arith.wires import wire
from hw.attention.divide import Divide
from hw.attention.row_store import RowStore
from hw.attention.softmax_params import LOGARITHMIC, SoftmaxParams
from hw.attention.stages import Stages

__all__ = [
    "RowSum",
    "along",
    "answer_layout",
    "beat_layout",
    "delayed",
    "flow",
    "give",
    "kept",
    "maximum_of",
    "queue_records",
    "signed_of",
    "sum_of",
]


def beat_layout(params: SoftmaxParams) -> data.StructLayout:
    """Return the fields of a beat of logits."""
    lanes = params.width
    fields = {"x": unsigned(lanes * params.in_bits), "keep": unsigned(lanes), "last": unsigned(1)}
    if params.scaled:
        fields |= {"m": unsigned(15), "sh": unsigned(6)}
    return data.StructLayout(fields)


def answer_layout(params: SoftmaxParams) -> data.StructLayout:
    """Return the fields of a beat of results."""
    lanes = params.width
    fields = {"p": unsigned(lanes * params.p_bits), "keep": unsigned(lanes)}
    if params.kind in LOGARITHMIC:
        fields |= {"zero": unsigned(lanes), "l": unsigned(params.sum_bits)}
    return data.StructLayout({**fields, "last": unsigned(1), "err": unsigned(1)})


def kept(m: Module, params: SoftmaxParams, x: Value, keep: Value) -> list[Value]:
    """Return the logits of a beat, signed; what is absent is the least of all numbers."""
    bits = params.in_bits
    found = []
    for lane in range(params.width):
        word = Mux(keep[lane], x.word_select(lane, bits), 1 << bits - 1)
        found.append(wire(m, word[:bits].as_signed(), "kept"))
    return found


def maximum_of(m: Module, values: Sequence[Value]) -> Value:
    """Return the greatest of signed values."""
    level = list(values)
    while len(level) > 1:
        pairs = [level[k : k + 2] for k in range(0, len(level), 2)]
        level = [
            wire(m, Mux(p[0] > p[1], p[0], p[1]).as_signed(), "greater") if p[1:] else p[0]
            for p in pairs
        ]
    return level[0]


def sum_of(m: Module, words: Sequence[Value], carry_chains: bool) -> Value:
    """Return the sum of unsigned words, all of one width."""
    heap = BitHeap(m, len(words[0]) + len(words).bit_length(), carry_chains)
    for word in words:
        heap.add(word)
    return wire(m, heap.total()[:], "beat_sum")


def flow(m: Module, steps: int) -> Stages:
    """Return the stages of a pipeline that never stops."""
    return Stages(m, Const(-1, steps), steps, steps)


def delayed(m: Module, bit: Value, steps: int) -> Value:
    """Return ``bit`` as it was ``steps`` cycles ago, after a reset 0."""
    for _ in range(steps):
        held = Signal(name="held")
        m.d.sync += held.eq(bit)
        bit = held
    return bit


class RowSum:
    """Sums over the beats of rows.

    Parameters
    ----------
    m : Module
    valid, last, err : Value
        A beat, whether it ends a row, and what is to be known of that.
    beats : dict
        Name -> what the beat adds, unsigned, and the width of the sum.

    ``total[name]``, ``ready`` and ``err`` show the sums two cycles after the last beat.
    """

    def __init__(
        self, m: Module, valid: Value, last: Value, err: Value,
        beats: Mapping[str, tuple[Value, int]],
    ):  # fmt: skip
        later = flow(m, 1)
        valid, last, err = delayed(m, valid, 1), later(last, 0), later(err, 0)
        first = Signal(init=1)
        with m.If(valid):
            m.d.sync += first.eq(last)
        self.total = {}
        for name, (value, width) in beats.items():
            total = Signal(width, name=f"total_{name}", reset_less=True)
            added = later(value, 0)
            with m.If(valid):
                m.d.sync += total.eq(Mux(first, 0, total) + added)
            self.total[name] = total
        self.ready = delayed(m, wire(m, valid & last, "ends"), 1)
        self.err = flow(m, 1)(err, 0)


def queue_records(
    m: Module, store: RowStore, depth: int, groups: Sequence[tuple[Value, Mapping[str, Value]]],
    quotient: tuple[str, Divide] | None = None,
) -> None:  # fmt: skip
    """Let what is known of rows wait for the store that keeps them.

    Each of ``groups`` is a bit and the fields that are known where it is 1; there are never more
    than ``depth`` at once. Of the field that ``quotient`` names, alone in the last group, the store
    gets what the divider makes of it; while that works, the rows before are read.
    """
    record, valids = store.record, []
    takes = Signal()
    for number, (ready, fields) in enumerate(groups):
        layout = data.StructLayout({name: value.shape() for name, value in fields.items()})
        written, read = Signal(layout), Signal(layout)
        fifo = SyncFIFOBuffered(width=len(written.as_value()), depth=depth)
        m.submodules[f"records{number}"] = fifo
        m.d.comb += [
            *(written[name].eq(value) for name, value in fields.items()),
            fifo.w_en.eq(ready),
            fifo.w_data.eq(written),
            read.eq(fifo.r_data),
            fifo.r_en.eq(takes),
        ]
        if quotient is None or quotient[0] not in fields:
            valids.append(fifo.r_rdy)
            m.d.comb += [record.payload[name].eq(read[name]) for name in fields]
            continue
        name, divide = quotient
        m.submodules.divide = divide
        busy = Signal()
        valids.append(divide.o.valid)
        m.d.comb += [
            divide.i.valid.eq(fifo.r_rdy & ~busy),
            divide.i.payload.eq(read[name]),
            divide.o.ready.eq(takes),
            record.payload[name].eq(divide.o.payload),
        ]
        with m.If(takes):
            m.d.sync += busy.eq(0)
        with m.Elif(divide.i.valid & divide.i.ready):
            m.d.sync += busy.eq(1)
    m.d.comb += [record.valid.eq(Cat(valids).all()), takes.eq(record.valid & record.ready)]


def give(m: Module, o: Any, moving: Value, valid: Value, fields: Mapping[str, Value]) -> None:
    """Register what is given to the stream ``o`` where it is ``moving``."""
    held = Signal(o.payload.shape(), reset_less=True)
    m.d.comb += o.payload.eq(held)
    with m.If(moving):
        m.d.sync += o.valid.eq(valid)
    with m.If(moving & valid):
        m.d.sync += [held[name].eq(value) for name, value in fields.items()]


def along(m: Module, moving: Value, valid: Value, steps: int) -> tuple[Stages, Value]:
    """Return the stages of a pipeline that stops where it is not ``moving``, and its last beat."""
    for _ in range(steps):
        held = Signal(name="moved")
        with m.If(moving):
            m.d.sync += held.eq(valid)
        valid = held
    return Stages(m, moving.replicate(steps), steps, steps), valid


def signed_of(word: Value, lane: int, bits: int) -> Value:
    """Return a lane of a word, signed."""
    return word.word_select(lane, bits).as_signed()

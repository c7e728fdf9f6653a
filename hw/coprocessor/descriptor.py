# SPDX-License-Identifier: Apache-2.0
"""Descriptors to jobs, and what is wrong with them."""

from functools import reduce
from operator import and_, or_
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.coprocessor.choice import own
from hw.coprocessor.control_facts import ControlFacts
from hw.spec.coprocessor import (
    ACTIVATIONS,
    DESCRIPTOR,
    DESCRIPTOR_MAGIC,
    DESCRIPTOR_VERSION,
    ERROR_CODES,
    FLAGS,
    OPS,
)

__all__ = ["DescriptorReader", "row_bytes"]

_ADDRESSES = ("a", "w", "c", "s")


def row_bytes(m: Module, facts: ControlFacts, job: Any) -> tuple[Value, Value]:
    """Return the bytes of a row of A and of a row of C."""

    def of_slot(slot: int) -> Value:
        if slot < 8:
            share = 8 // slot
            return (job.k + (share - 1)) >> exact_log2(share)
        return job.k << exact_log2(slot // 8)

    slots = [one.act_slot for one in facts.engines]
    a_row = own(m, job.engine, slots, "own_a_row", of_slot)
    c_row = job.n << exact_log2(facts.c_bytes)
    return Mux(job.copy, job.n, a_row), Mux(job.copy, job.n, c_row)


class DescriptorReader(wiring.Component):
    """Take the 16 words of a descriptor in order, hold what they say, judge it.

    Parameters
    ----------
    facts : :class:`~hw.coprocessor.control_facts.ControlFacts`

    Members
    -------
    valid, index, word : ``In(1)``, ``In(4)``, ``In(32)``
        A word, and which. Word 0 begins a new descriptor.
    job : ``Out(facts.job_layout)``
        The job; it stays until the next descriptor.
    fence, irq, last, tag : ``Out(1)``, ``Out(1)``, ``Out(1)``, ``Out(16)``
        What else it says.
    error : ``Out(4)``
        One of the codes 5 to 7, or 8 for an address with bits that the bus does not have; 0 if
        there is no such fault.

    Timing
    ------
    Everything is right from the second cycle after the last word.
    """

    def __init__(self, facts: ControlFacts):
        self.facts = facts
        super().__init__(
            {
                "valid": In(1),
                "index": In(4),
                "word": In(32),
                "job": Out(facts.job_layout),
                "fence": Out(1),
                "irq": Out(1),
                "last": Out(1),
                "tag": Out(16),
                "error": Out(4),
            }
        )

    def _field(self, name: str) -> Value:
        """Return a field while its word is there."""
        f = next(f for f in DESCRIPTOR if f.name == name)
        return self.word[f.lsb : f.lsb + f.width]

    def elaborate(self, platform: Any) -> Module:
        m, facts, job = Module(), self.facts, self.job
        wrong = {name: Signal(name=name) for name in ("descriptor", "unsupported", "size")}
        beyond = Signal()
        field, bits = self._field, facts.addr_bits
        a_row, c_row = row_bytes(m, facts, job)
        all_of, some_of = self._accepted()
        asked = Signal(8)  # of the flags that only some engines take
        has_scale = own(m, job.engine, [one.s_slot > 0 for one in facts.engines], "has_scale")
        max_k = own(m, job.engine, [one.max_k for one in facts.engines], "max_k")
        group = own(m, job.engine, [one.group for one in facts.engines], "group")
        tiles = ~self.fence & ~job.copy  # there are W and S

        def blame(name: str, condition: Value) -> None:
            with m.If(condition):
                m.d.sync += wrong[name].eq(1)

        with m.If(self.valid), m.Switch(self.index):
            with m.Case(0):
                op, flags = field("op"), field("flags")
                # Beginning anew clears what the last one was blamed for.
                m.d.sync += [
                    beyond.eq(0),
                    wrong["size"].eq(0),
                    wrong["descriptor"].eq(
                        (field("magic") != DESCRIPTOR_MAGIC)
                        | (field("version") != DESCRIPTOR_VERSION)
                    ),
                    wrong["unsupported"].eq(
                        ~Cat(op == OPS[name] for name in self._ops()).any()
                        | (flags & ~some_of & 0xFF).any()
                    ),
                    asked.eq(flags & ~all_of),
                    self.fence.eq(op == OPS["fence"]),
                    job.copy.eq((op == OPS["copy"]) & facts.copies),
                    job.gemv.eq(op == OPS["gemv"]),
                    job.accumulate.eq(flags[FLAGS["accumulate"]]),
                    self.irq.eq(flags[FLAGS["irq"]]),
                    self.last.eq(flags[FLAGS["last"]]),
                ]
            with m.Case(1):
                activation = field("activation")
                none, relu, clamp = (
                    activation == ACTIVATIONS[n] for n in ("none", "relu", "clamp")
                )
                choice, count = field("engine")[: len(job.engine)], len(facts.engines)
                foreign = own(m, choice, range(count), "foreign", self._foreign)
                foreign |= field("engine") >= count
                for name in ("c_fmt", "round_mode", "scale_mode"):
                    foreign |= field(name).any()
                integer = own(m, choice, [one.integer for one in facts.engines], "integer")
                m.d.sync += [job.activation.eq(activation), job.engine.eq(choice)]
                if any(one.planes for one in facts.engines):
                    planes = own(m, choice, [bool(one.planes) for one in facts.engines], "planes")
                    m.d.sync += job.bits.eq(Mux(planes, field("w_fmt"), 0))
                if all_of != some_of:
                    accepted = [_flags(one) for one in facts.engines]
                    foreign |= (asked & ~own(m, choice, accepted, "accepted")).any()
                blame("unsupported", foreign | ~(none | relu | clamp & integer))
            with m.Case(2):
                m.d.sync += [job.m.eq(field("m")), job.n.eq(field("n"))]
                zero = (field("m") == 0) | (field("n") == 0)
                large = (field("m") | field("n"))[facts.size_bits :].any()
                blame("size", ~self.fence & (zero | large | job.gemv & (field("m") != 1)))
            with m.Case(3):
                m.d.sync += job.k.eq(field("k"))
                long = field("k") > Mux(job.copy, 1, max_k)
                blame("size", ~self.fence & ((field("k") == 0) | long))
                blame("unsupported", (field("g") != 0) & (field("g") != group))
            for name, first in zip(_ADDRESSES, (4, 6, 8, 10), strict=True):
                used = tiles if name in "ws" else ~self.fence
                used = used & has_scale if name == "s" else used
                with m.Case(first):
                    m.d.sync += job[name][:32].eq(self.word)
                    if name in "ws":
                        blame("size", used & self.word[:4].any())
                    if bits < 32:
                        with m.If(used & self.word[bits:].any()):
                            m.d.sync += beyond.eq(1)
                with m.Case(first + 1):
                    if bits > 32:
                        m.d.sync += job[name][32:].eq(self.word)
                    with m.If(used & self.word[max(0, bits - 32) :].any()):
                        m.d.sync += beyond.eq(1)
            with m.Case(12):
                a_stride, c_stride = field("a_stride"), field("c_stride") << 2
                m.d.sync += [job.a_stride.eq(a_stride), job.c_stride.eq(c_stride)]
                short = (a_stride < a_row) | (c_stride < c_row)
                blame("size", ~self.fence & (job.m != 1) & short)
            with m.Case(13):
                m.d.sync += job.w_stride.eq(field("w_stride") << 4)
            with m.Case(15):
                m.d.sync += [
                    self.tag.eq(field("tag")),
                    job.high.eq(field("clamp_high").as_signed()),
                    job.low.eq(field("clamp_low").as_signed()),
                ]

        with m.If(beyond):
            m.d.comb += self.error.eq(ERROR_CODES["address"])
        for name in ("size", "unsupported", "descriptor"):
            with m.If(wrong[name]):
                m.d.comb += self.error.eq(ERROR_CODES[name])
        return m

    def _ops(self) -> list[str]:
        """Return the ops that are there."""
        return [name for name in OPS if name != "copy" or self.facts.copies]

    def _foreign(self, number: int) -> Value:
        """Return whether a format or layout is another than that of an engine."""
        facts, field = self.facts.engines[number], self._field
        numbers, found = {"a_fmt": facts.a_fmt, "w_layout": facts.layout}, Value.cast(0)
        if facts.planes:
            found = ~Cat(field("w_fmt") == n for n in (0, *facts.planes)).any()
        else:
            numbers["w_fmt"] = facts.w_fmt
        for name, format_number in numbers.items():
            found |= (field(name) != 0) & (field(name) != format_number)
        return found

    def _accepted(self) -> tuple[int, int]:
        """Return the flags that all engines accept, and those that some do."""
        each = [_flags(one) for one in self.facts.engines]
        return reduce(and_, each), reduce(or_, each)


def _flags(facts: ControlFacts) -> int:
    """Return the flags that an engine accepts."""
    names = ["irq", "last"]
    names += ["accumulate"] if facts.accumulate else []
    names += ["bias"] if facts.bias else []
    names += ["zero_point"] if facts.zero_point else []
    return sum(1 << FLAGS[name] for name in names)

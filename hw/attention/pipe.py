# SPDX-License-Identifier: Apache-2.0
"""Pipelines of rows that move as a whole, and what their first stage does."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value

from hw.arith.wires import wire

__all__ = ["Beat", "Pipe", "entered", "places", "running"]

Beat = dict[str, Any]  #: Fields of a beat: values, or lists of values.


class Pipe:
    """A pipeline that moves as a whole.

    Parameters
    ----------
    m : Module
    moving : Value
        Whether every stage takes what the one before it holds.
    """

    def __init__(self, m: Module, moving: Value):
        self._m, self.moving = m, moving
        self.valid: Value = Const(0, 1)  #: Whether the newest stage holds a beat.
        self.ends: Value = Const(0, 1)  #: Whether that beat is the last of its row.
        self.stages = 0

    def of(self, value: Value, stages: int = 1) -> Value:
        """Return ``value`` as it was some stages ago."""
        for _ in range(stages):
            register = Signal(value.shape(), reset_less=True, name="stage")
            with self._m.If(self.moving):
                self._m.d.sync += register.eq(value)
            value = register
        return value

    def step(self, beat: Beat, stages: int = 1) -> Beat:
        """Go on to a later stage; return the beat there."""
        for _ in range(stages):
            valid, ends = Signal(name=f"valid{self.stages}"), Signal(name=f"ends{self.stages}")
            with self._m.If(self.moving):
                self._m.d.sync += [valid.eq(self.valid), ends.eq(self.ends)]
            self.valid, self.ends = valid, ends
            self.stages += 1
        return {
            name: [self.of(v, stages) for v in value]
            if isinstance(value, list)
            else self.of(value, stages)
            for name, value in beat.items()
        }


def places(stages: int) -> list[list[Any]]:
    """Return where a row can be in a pipeline, for proofs (:mod:`sim.bench.properties`)."""
    return [[f"ends{k}", k + 1, None, 0] for k in range(stages)]


def entered(m: Module, pipe: Pipe, i: Any, lasting: Sequence[str], max_beats: int) -> Beat:
    """Return a beat of a stream of rows with ``first`` and ``long``: the row is too long.

    The fields ``lasting`` are those of the row's first beat.
    """
    given, taken = i.payload, i.valid & pipe.moving
    pipe.valid, pipe.ends = i.valid, i.valid & given.last
    first = Signal(init=1)
    count = Signal(range(max_beats + 1), reset_less=True)
    long = wire(m, ~first & (count == max_beats), "long")
    with m.If(taken):
        m.d.sync += first.eq(given.last)
        with m.If(~long):
            m.d.sync += count.eq(Mux(first, 0, count) + 1)
    beat: Beat = {"first": first, "long": long}
    for name in lasting:
        register = Signal(given[name].shape(), reset_less=True, name=f"held_{name}")
        with m.If(taken & first):
            m.d.sync += register.eq(given[name])
        beat[name] = wire(m, Mux(first, given[name], register), name)
    return beat


def running(m: Module, pipe: Pipe, beat: Beat, peak: Value, some: Value) -> tuple[Value, ...]:
    """Return the row's maximum so far, the maximum before, and which of these there is.

    ``some`` says whether the beat has a ``peak``.
    """
    seen = Signal(reset_less=True)
    best = Signal(peak.shape(), reset_less=True)
    before = wire(m, seen & ~beat["first"], "before")
    now = wire(m, Mux(some & (~before | (peak > best)), peak, best), "now")
    known = wire(m, before | some, "known")
    with m.If(pipe.moving & pipe.valid):
        m.d.sync += [seen.eq(known), best.eq(now)]
    return now, best, known, before

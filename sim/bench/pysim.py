# SPDX-License-Identifier: Apache-2.0
"""Drive a component with one stream each way in :mod:`amaranth.sim`, before any Verilog exists."""

from collections.abc import Mapping, Sequence
from typing import Any

from amaranth.hdl import Value
from amaranth.sim import Simulator

from sim.bench.stalls import pattern

__all__ = ["exchange"]


def exchange(
    component: Any,
    beats: Sequence[Mapping[str, int]],
    results: int,
    *,
    source: str = "none",
    sink: str = "none",
    seed: int = 0,
) -> tuple[list[dict[str, int]], int]:
    """Put ``beats`` into ``component.i``, return the ``results`` of ``component.o`` and the cycles.

    A beat maps each payload field to its word, lane 0 in the low bits; so does a result, signed
    fields as signed integers. ``source`` and ``sink`` are stall patterns
    (:func:`sim.bench.stalls.pattern`). Raises ``AssertionError`` if a transfer rule is broken, or
    if the results take longer than the work can need, which keeps a hang short.
    """
    got: list[dict[str, int]] = []
    cycles = 0
    slowest = 1 / (getattr(component, "beats_per_cycle", None) or 1)
    limit = 64 + int(20 * slowest * (len(beats) + results))

    async def bench(ctx: Any) -> None:
        nonlocal cycles
        give, take = pattern(source, seed), pattern(sink, seed + 1)
        i, o = component.i, component.o
        fields = {key: Value.cast(o.payload[key]) for key, _ in o.payload.shape()}
        sent = quiet = 0
        offering = given = taken = False
        held: dict[str, int] | None = None
        while quiet < 8:
            offering = sent < len(beats) and ((offering and not given) or give(given, True))
            ctx.set(i.valid, offering)
            if offering:
                for key, word in beats[sent].items():
                    ctx.set(Value.cast(i.payload[key]), word)
            accepting = take(taken, held is not None)
            ctx.set(o.ready, accepting)
            valid = bool(ctx.get(o.valid))
            now = {key: ctx.get(value) for key, value in fields.items()} if valid else None
            assert held is None or now == held, f"a waiting result changed from {held} to {now}"
            given, taken = offering and bool(ctx.get(i.ready)), valid and accepting
            sent += given
            if taken and now is not None:
                assert len(got) < results, f"a result too many: {now}"
                got.append(now)
            held = None if taken else now
            done = sent == len(beats) and len(got) == results
            cycles += not quiet
            quiet += done
            assert cycles < limit, f"{len(got)} of {results} results after {cycles} cycles"
            await ctx.tick()

    simulator = Simulator(component)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return got, cycles

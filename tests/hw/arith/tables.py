# SPDX-License-Identifier: Apache-2.0
"""Combinational functions on every value of their inputs."""

import itertools
from collections.abc import Callable, Iterator, Sequence

from amaranth.hdl import Module, Signal, Value
from amaranth.sim import Simulator

__all__ = ["table"]


def table(
    widths: Sequence[int], function: Callable[..., Sequence[Value]]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return (inputs, outputs) of ``function(m, *inputs)`` for inputs of ``widths`` bits."""
    m = Module()
    inputs = [Signal(width) for width in widths]
    outputs = []
    for value in function(m, *inputs):
        output = Signal(value.shape())
        m.d.comb += output.eq(value)
        outputs.append(output)
    rows: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

    async def bench(ctx):
        for values in itertools.product(*(range(1 << width) for width in widths)):
            for signal, value in zip(inputs, values, strict=True):
                ctx.set(signal, value)
            rows.append((values, tuple(ctx.get(output) for output in outputs)))

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()
    return iter(rows)

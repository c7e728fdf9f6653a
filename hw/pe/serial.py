# SPDX-License-Identifier: Apache-2.0
"""Control of processing elements that take several steps for each beat."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value

__all__ = ["hold_result", "take_steps"]


def take_steps(m: Module, source: Any, cell: Any, steps: int, moving: Value) -> tuple[Value, Value]:
    """Show each beat of the stream ``source`` to ``cell`` for ``steps`` steps, while ``moving``.

    The beat stays at the input until its last step, so it needs no registers. ``cell`` has the
    members ``en``, ``clr`` (first step of a dot product) and ``step``. Returns (the step is the
    beat's last, it is taken and closes a dot product).
    """
    step = Signal(range(steps))
    first = Signal(init=1)
    last = source.payload.last
    final = step == steps - 1
    m.d.comb += [
        cell.en.eq(source.valid & moving),
        cell.clr.eq(first),
        cell.step.eq(step),
        source.ready.eq(moving & final),
    ]
    with m.If(cell.en):
        m.d.sync += [step.eq(Mux(final, 0, step + 1)), first.eq(final & last)]
    return final, cell.en & final & last


def hold_result(m: Module, sink: Any, moving: Signal, closes: Value) -> None:
    """Drive ``valid`` of the stream ``sink`` where the accumulator is the output register.

    A waiting result holds everything: ``moving`` then is 0.
    """
    m.d.comb += moving.eq(~sink.valid | sink.ready)
    with m.If(moving):
        m.d.sync += sink.valid.eq(closes)

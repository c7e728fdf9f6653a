# SPDX-License-Identifier: Apache-2.0
"""Names for values that are used more than once."""

from amaranth.hdl import Module, Signal, Value

__all__ = ["wire"]


def wire(m: Module, value: Value, name: str = "w") -> Signal:
    """Return a signal that carries ``value``.

    Every use of an expression is emitted anew, every use of one of its bits too: what is taken
    apart or used twice becomes a signal first.
    """
    value = Value.cast(value)
    signal = Signal(value.shape(), name=name)
    m.d.comb += signal.eq(value)
    return signal

# SPDX-License-Identifier: Apache-2.0
"""What differs between the engines of a co-processor, as the chosen one has it."""

from collections.abc import Callable, Sequence
from typing import Any

from amaranth.hdl import Array, Const, Module, Value

from hw.arith.wires import wire

__all__ = ["chosen", "own"]


def chosen(choice: Value, number: int) -> Value:
    """Return whether the engine is that of a number; one that is alone always is."""
    return choice == number if len(choice) else Const(1, 1)


def own(
    m: Module,
    choice: Value,
    keys: Sequence[int],
    name: str,
    make: Callable[[int], Any] = lambda key: key,
) -> Any:
    """Return ``make(key)`` for the key of the chosen engine, unsigned.

    Where all keys are equal nothing is chosen, and a number stays one.
    """
    if len(set(keys)) == 1:
        return make(keys[0])
    return wire(m, Array(Value.cast(make(key)) for key in keys)[choice], name)

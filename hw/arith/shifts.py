# SPDX-License-Identifier: Apache-2.0
"""Shifters of floating-point datapaths: to the leading one, and down without losing the sticky."""

from amaranth.hdl import Cat, Const, Module, Value

from hw.arith.leading import normalized_to_limit
from hw.arith.sticky import shifted_right
from hw.arith.wires import wire

__all__ = ["normalized", "shifted_down"]


def normalized(m: Module, value: Value) -> tuple[Value, Value]:
    """Return ``(value << zeros, zeros)``, ``zeros`` the number of leading zeros.

    For ``value`` 0 the count is one less than its width.
    """
    most = len(value) - 1
    return normalized_to_limit(m, value, Const(most, most.bit_length()), Const(0, 1))


def shifted_down(m: Module, value: Value, by: Value) -> Value:
    """Return ``value >> by``, its lowest bit or-ed with every bit that falls off."""
    word, lost = shifted_right(m, value, by)
    word = wire(m, word, "lowered")
    return Cat(word[0] | lost, word[1:])

# SPDX-License-Identifier: Apache-2.0
"""Shifters of floating-point datapaths: to the leading one, and down without losing the sticky."""

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.arith.wires import wire

__all__ = ["normalized", "shifted_down"]


def normalized(m: Module, value: Value) -> tuple[Value, Value]:
    """Return ``(value << zeros, zeros)``, ``zeros`` the number of leading zeros.

    The shifter finds the count on its way, half of the width first. For ``value`` 0 the count has
    all the bits that it has.
    """
    width = len(value)
    bits: list[Value] = []
    for stage in reversed(range((width - 1).bit_length())):
        by = 1 << stage
        empty = wire(m, ~value[width - by :].any(), "empty")
        value = wire(m, Mux(empty, Cat(Const(0, by), value[: width - by]), value), "lifted")
        bits.insert(0, empty)
    return value, Cat(bits)


def shifted_down(m: Module, value: Value, by: Value) -> Value:
    """Return ``value >> by``, its lowest bit or-ed with every bit that the shift drops."""
    width = len(value)
    value, sticky = wire(m, value, "lowered"), Const(0, 1)
    for stage, bit in enumerate(by):
        step = 1 << stage
        if step >= width:
            far = by[stage:].any()
            lost = far & value.any()
            return wire(m, Cat(value & (~far).replicate(width))) | sticky | lost
        lost = bit & value[:step].any()
        sticky = wire(m, sticky | lost, "sticky")
        value = wire(m, Mux(bit, value[step:], value), "lowered")
    return value | sticky

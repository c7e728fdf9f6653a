# SPDX-License-Identifier: Apache-2.0
"""Count up or down by one, without waiting for a carry."""

from amaranth.hdl import Cat, Module, Value

from hw.arith.wires import wire

__all__ = ["stepped"]


def stepped(m: Module, word: Value, up: Value, down: Value) -> Value:
    """Return ``word + up - down`` modulo ``2**len(word)``; not both may be 1.

    What a late ``up`` or ``down`` changes is two levels of logic away from it, at any width: which
    bits lie above nothing but ones, or nothing but zeros, follows from ``word`` alone. So the
    upper part of an accumulator does not wait for its lower part.
    """
    bits = list(wire(m, word, "word"))
    changed: list[Value] = [bits[0] ^ (up | down)] if bits else []
    ones, zeros = (bits[0], ~bits[0]) if bits else (up, down)
    for bit in bits[1:]:
        changed.append(bit ^ (up & ones | down & zeros))
        ones = wire(m, ones & bit, "ones")
        zeros = wire(m, zeros & ~bit, "zeros")
    return Cat(*changed)

# SPDX-License-Identifier: Apache-2.0
"""Whether a magnitude that is cut off must be incremented, and the incremented magnitude."""

from amaranth.hdl import Cat, Const, Module, Value

from hw.arith.wires import wire

__all__ = ["increment", "incremented"]

#: Bits through which a carry of :func:`incremented` ripples before it is looked ahead.
GROUP = 4


def incremented(m: Module, word: Value, by: Value) -> Value:
    """Return ``word + by`` modulo ``2**len(word)``, for a bit ``by`` that is the last to settle.

    The carries are those of ``word + 1``, and ``by`` only selects.
    """
    word = wire(m, word, "word")
    carries: list[Value] = []
    below: Value = Const(1, 1)
    for start in range(0, len(word), GROUP):
        group = word[start : start + GROUP]
        carries += [below & group[:k].all() for k in range(len(group))]
        below = wire(m, below & group.all(), "below")
    return word ^ (Cat(*carries) & by.replicate(len(word)))


def increment(
    rounding: str,
    odd: Value,
    guard: Value,
    rest: Value,
    sticky: Value,
    negative: Value,
    carry: Value,
) -> Value:
    """Return whether the kept part of a magnitude grows by one.

    The magnitude is the kept part, the bit ``guard`` and what is below it. Without ``carry`` that
    is zero if neither ``rest`` nor ``sticky`` is set. With ``carry`` one unit of the lowest bit is
    still to be added, ``rest`` says that not all the bits below ``guard`` are ones (so that the
    unit stays below ``guard``), and ``sticky`` is not set: a subtraction by the one's complement
    leaves its end-around carry to the rounding.

    ``rounding`` is a key of :data:`hw.spec.rounding.ROUNDINGS`; ``odd`` is the lowest kept bit.
    """
    exact = ~(rest | sticky)
    whole = guard & carry & ~rest  # guard and carry together make one unit of the kept part
    if rounding == "rtz":
        return whole
    tie = exact & (guard ^ carry)
    above = guard & (rest | sticky) | whole
    up = {"rne": odd, "rha": Const(1, 1), "ties-down": negative, "ties-to-zero": Const(0, 1)}
    return above | tie & up[rounding]

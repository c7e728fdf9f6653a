# SPDX-License-Identifier: Apache-2.0
"""Right shifters that remember whether they lost a one."""

from amaranth.hdl import Const, Module, Mux, Value

from hw.arith.wires import wire

__all__ = ["shifted_right"]


def shifted_right(
    m: Module, word: Value, by: Value, idle: Value | None = None
) -> tuple[Value, Value]:
    """Return ``(word >> by, lost)``, ``lost`` whether some bit that fell off differs from ``idle``.

    Without ``idle`` that is whether some one fell off. Zeros move in from above in any case, but
    with ``idle`` ``by`` must be at most the width of ``word``.

    Large steps come first: what they clear, later steps need not look at.
    """
    width = len(word)
    word, by = wire(m, word, "lowered"), wire(m, by, "by")
    near = min(len(by), (width - 1).bit_length())
    lost: list[Value] = []
    if len(by) > near:
        far = wire(m, by[near:].any(), "far")
        lost.append(far & (word ^ _spread(idle, width)).any())
        word = wire(m, word & (~far).replicate(width), "lowered")
    for step in reversed(range(near)):
        dropped = word[: 1 << step] ^ _spread(idle, 1 << step)
        lost.append(by[step] & dropped.any())
        word = wire(m, Mux(by[step], word >> (1 << step), word), "lowered")
    return word, wire(m, _any(lost), "lost")


def _spread(bit: Value | None, width: int) -> Value:
    return Const(0, width) if bit is None else bit.replicate(width)


def _any(bits: list[Value]) -> Value:
    total: Value = Const(0, 1)
    for bit in bits:
        total = total | bit
    return total

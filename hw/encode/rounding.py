# SPDX-License-Identifier: Apache-2.0
"""When rounding goes up, by the names of :mod:`hw.spec.rounding`."""

from amaranth.hdl import Const, Value

from hw.spec.rounding import ROUNDINGS

__all__ = ["grows", "rises"]


def grows(
    rounding: str, odd: Value, guard: Value, sticky: Value, negative: Value | None = None
) -> Value:
    """Return whether a magnitude that was cut off is to grow by one.

    ``guard`` is the first bit below the cut, ``sticky`` the OR of those below it, ``odd`` whether
    the code that was kept is odd; ``negative``, the sign, is None for what never is.
    """
    tie = {
        "rne": odd,
        "rha": Const(1, 1),
        "ties-down": Const(0, 1) if negative is None else negative,
        "ties-to-zero": Const(0, 1),
    }
    if rounding == "rtz":
        return Const(0, 1)
    return guard & (sticky | tie[rounding])


def rises(rounding: str, odd: Value, guard: Value, sticky: Value, negative: Value) -> Value:
    """Return whether a two's complement number that was cut off (floored) is to rise by one."""
    if rounding == "rtz":
        return negative & (guard | sticky)
    tie = {"rne": odd, "rha": ~negative, "ties-down": Const(0, 1), "ties-to-zero": negative}
    return guard & (sticky | tie[rounding])


assert set(ROUNDINGS) == {"rne", "rha", "rtz", "ties-down", "ties-to-zero"}

# SPDX-License-Identifier: Apache-2.0
"""Names of the rounding and overflow rules. Models, registers and docs call them by these names."""

__all__ = ["OVERFLOWS", "ROUNDINGS"]

#: Rounding modes: name -> meaning.
ROUNDINGS = {
    "rne": "to nearest, ties to the even code",
    "rha": "to nearest, ties away from zero",
    "rtz": "toward zero (truncation)",
    "ties-down": "to nearest, ties toward minus infinity",
    "ties-to-zero": "to nearest, ties toward zero",
}

#: What becomes of a value beyond the largest finite one: name -> meaning.
OVERFLOWS = {
    "sat": "the largest finite value of the same sign",
    "nonsat": "infinity where the format has it, else NaN, else the largest finite value",
}

# SPDX-License-Identifier: Apache-2.0
"""Custom instructions of a matrix engine, as data.

CFU Playground's port gives a function number of 10 bits, funct7 above funct3, and two words. funct3
picks the instruction; of funct7 only the bits of :data:`MODIFIERS` mean something.
"""

__all__ = ["FUNCTIONS", "MODIFIERS", "REFUSED", "STATUS", "function"]

#: funct3 of each instruction, and what it does and answers.
FUNCTIONS = {
    "status": (0, "answers STATUS"),
    "job": (1, "begins a product: m | n << 16, k | bits << 16; answers 0, or REFUSED: one is open"),
    "act": (2, "adds a word, or two, to a beat of s_axis_act; answers 0, or REFUSED: no room yet"),
    "wgt": (3, "the same for s_axis_wgt"),
    "scale": (4, "the same for s_axis_scale; REFUSED where the engine has none"),
    "result": (
        5,
        "answers the next word of the result, waiting for it while a product is open",
    ),
}

#: Bits of funct7.
MODIFIERS = {
    "both": (0, "act, wgt, scale: the second word counts too"),
    "last": (1, "act, wgt, scale: these words end the packet of the product"),
    "try": (2, "result: do not wait; without a word the answer is 0"),
}

#: Fields of the answer to ``status``: lowest bit and width.
STATUS = {
    "error": (0, 4),  #: hw.spec.gemm.ERRORS of the last product that ended.
    "open": (4, 1),  #: a product was begun whose last result was not read.
    "waiting": (5, 1),  #: a word of the result waits.
    "nan": (6, 1),  #: a result since the last job was not a number.
}

REFUSED = 1


def function(name: str, *modifiers: str) -> int:
    """Return the function number of an instruction. Raises ``KeyError`` for an unknown name."""
    return FUNCTIONS[name][0] | sum(1 << MODIFIERS[m][0] for m in modifiers) << 3

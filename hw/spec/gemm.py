# SPDX-License-Identifier: Apache-2.0
"""Jobs of the matrix engines, as data: the descriptor's fields and the error codes."""

from dataclasses import dataclass

__all__ = ["ERRORS", "FLOW", "JOB", "JOB_BITS", "Field", "error_code"]


@dataclass(frozen=True)
class Field:
    """Bits of a job's descriptor."""

    name: str
    offset: int
    bits: int
    meaning: str


#: One job is one product ``C[M,N] = A[M,K] W[K,N]``.
JOB = (
    Field("m", 0, 16, "rows of A"),
    Field("n", 16, 16, "columns of W"),
    Field("k", 32, 16, "columns of A, rows of W"),
    Field("bits", 48, 4, "bit planes of the weights in this job; 0: as many as the engine has"),
    Field("reserved", 52, 12, "must be 0, but see FLOW"),
)
JOB_BITS = 64

#: Bit by which a job picks weights that stay, in arrays that have both dataflows.
FLOW = 52

#: What ``m_axis_out_tuser[3:0]`` says on the last beat of a job, by its number.
ERRORS = (
    "none",
    "zero size",
    "k above max_k",
    "unsupported mode",
    "activations end early",
    "activations end late",
    "weights end early",
    "weights end late",
    "scales end early",
    "scales end late",
)


def error_code(name: str) -> int:
    """Return the code of an error. Raises ``ValueError`` for a name that is none."""
    return ERRORS.index(name)

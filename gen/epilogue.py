# SPDX-License-Identifier: Apache-2.0
"""Options that matrix engines share for what becomes of their sums."""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["FINISH_HELP"]

#: Option -> what it does, for requantisation at an engine's end.
FINISH_HELP: Mapping[str, str] = MappingProxyType(
    {
        "requant": "scheme by which sums become small integers, as of unit requant; each column's "
        "multiplier and shift come on s_axis_scale",
        "requant_out": "format of these, intN or uintN (default: int8)",
        "bias": "32 bits, which come too, are added to each sum first",
        "out_zero_point": "a zero point, which comes too, is added before saturation",
        "mult_bits": "bits of the multipliers (default: 32, signed; rbe: 16, unsigned)",
    }
)

# SPDX-License-Identifier: Apache-2.0
"""What architectures that take whole integers refuse."""

from typing import TYPE_CHECKING

from hw.spec.formats import IntFormat

if TYPE_CHECKING:
    from hw.pe.params import PEParams

__all__ = ["check_integers", "check_lanes", "check_pipeline", "check_plain_integers"]


def check_integers(params: "PEParams", bits: int = 16) -> None:
    """Raise ``ValueError`` unless both operands are integers of at most ``bits`` bits."""
    for name, fmt in (("format", params.weight_format), ("act", params.act_format)):
        if not isinstance(fmt, IntFormat) or fmt.bits > bits:
            raise ValueError(
                f"{name} must be an integer format of at most {bits} bits with arch "
                f"{params.chosen_arch[0]}, such as int8, not {fmt.name!r}"
            )


def check_plain_integers(params: "PEParams", bits: int = 16) -> None:
    """Raise ``ValueError`` unless both operands are intN or uintN of at most ``bits`` bits."""
    for name, fmt in (("format", params.weight_format), ("act", params.act_format)):
        plain = isinstance(fmt, IntFormat) and fmt.encoding in ("twos", "unsigned")
        if not plain or fmt.bits > bits:
            raise ValueError(
                f"{name} must be intN or uintN of at most {bits} bits with arch "
                f"{params.chosen_arch[0]}, not {fmt.name!r}"
            )


def check_lanes(params: "PEParams", lanes: int) -> None:
    """Raise ``ValueError`` for another number of lanes than the architecture has."""
    if params.lanes != lanes:
        raise ValueError(
            f"lanes must be {lanes} with arch {params.chosen_arch[0]}, not {params.lanes}"
        )


def check_pipeline(params: "PEParams", most: int) -> None:
    """Raise ``ValueError`` for more stages before the accumulator than the architecture has."""
    if params.pipeline > most:
        allowed = "0 or 1" if most else "0"
        raise ValueError(
            f"pipeline must be {allowed} with arch {params.chosen_arch[0]}, not {params.pipeline}"
        )

# SPDX-License-Identifier: Apache-2.0
"""What architectures that take whole integers refuse."""

from typing import TYPE_CHECKING

from hw.spec.formats import IntFormat

if TYPE_CHECKING:
    from hw.pe.params import PEParams

__all__ = ["check_integers", "check_pipeline"]


def check_integers(params: "PEParams", bits: int = 16) -> None:
    """Raise ``ValueError`` unless both operands are integers of at most ``bits`` bits."""
    for name, fmt in (("format", params.weight_format), ("act", params.act_format)):
        if not isinstance(fmt, IntFormat) or fmt.bits > bits:
            raise ValueError(
                f"{name} must be an integer format of at most {bits} bits with arch "
                f"{params.chosen_arch[0]}, such as int8, not {fmt.name!r}"
            )


def check_pipeline(params: "PEParams", most: int) -> None:
    """Raise ``ValueError`` for more stages before the accumulator than the architecture has."""
    if params.pipeline > most:
        allowed = " or ".join(str(k) for k in range(most + 1))
        raise ValueError(
            f"pipeline must be {allowed} with arch {params.chosen_arch[0]}, not {params.pipeline}"
        )

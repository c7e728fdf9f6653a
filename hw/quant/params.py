# SPDX-License-Identifier: Apache-2.0
"""Checks that the parameters of several units share."""

from collections.abc import Sequence

__all__ = ["among", "within"]


def within(name: str, value: object, least: int, most: int) -> None:
    """Raise ``ValueError`` unless ``value`` is an integer of the range."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} must be an integer from {least} to {most}, not {value!r}")


def among(name: str, value: object, allowed: Sequence[str]) -> None:
    """Raise ``ValueError`` unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")

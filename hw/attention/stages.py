# SPDX-License-Identifier: Apache-2.0
"""Registers of a datapath that a user cuts into as many stages as wanted."""

from typing import Any

from amaranth.hdl import Const, Module, Signal, Value

__all__ = ["Stages", "check_pipeline"]


def check_pipeline(value: object, most: int) -> None:
    """Raise ``ValueError`` unless ``value`` is a number of stages from 0 to ``most``."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"pipeline must be an integer from 0 to {most}, not {value!r}")


class Stages:
    """The places where a datapath may be cut, and the registers where it is.

    Parameters
    ----------
    m : Module
        Where the registers go.
    enable : Value or None
        Bit k lets a beat into stage k; it has ``pipeline`` bits. None only without stages.
    pipeline : int
        Stages, 0 to ``places``; they are spread evenly.
    places : int
        Where the datapath may be cut, numbered from 0 in the order of the data.
    """

    def __init__(self, m: Module, enable: Value | None, pipeline: int, places: int):
        check_pipeline(pipeline, places)
        self._m, self._enable = m, enable
        cuts = [-(-(k + 1) * places // (pipeline + 1)) - 1 for k in range(pipeline)]
        self._stage = {cut: stage for stage, cut in enumerate(cuts)}

    def __call__(self, value: Any, first: int, last: int | None = None) -> Any:
        """Return ``value`` behind the places from ``first`` to ``last``; constants as they are."""
        if isinstance(value, int | Const):
            return value
        for place in range(first, (first if last is None else last) + 1):
            if place in self._stage:
                stage = self._stage[place]
                held = Signal(value.shape(), reset_less=True, name=f"stage{stage}")
                assert self._enable is not None
                with self._m.If(self._enable[stage]):
                    self._m.d.sync += held.eq(value)
                value = held
        return value

# SPDX-License-Identifier: Apache-2.0
"""Registers at named places of a datapath, as many as its pipeline has stages."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from amaranth.hdl import Const, Module, Signal, Value

__all__ = ["Stages"]

_Values = TypeVar("_Values")


class Stages:
    """The register stages of one datapath.

    Parameters
    ----------
    m : Module
    places : sequence of str
        Names of the places that have registers, from the input on.
    enables : Value or None
        Bit k lets values into the registers of ``places[k]``.
    """

    def __init__(self, m: Module, places: Sequence[str], enables: Value | None):
        self._m, self._places, self._enables = m, tuple(places), enables

    def __call__(self, place: str, value: Value) -> Value:
        """Return ``value`` behind the register of ``place``, if there is one."""
        if self._enables is None or place not in self._places or isinstance(value, Const):
            return value
        later = Signal(value.shape(), name=f"{place}_later", reset_less=True)
        with self._m.If(self._enables[self._places.index(place)]):
            self._m.d.sync += later.eq(value)
        return later

    def each(self, place: str, values: _Values) -> _Values:
        """Return a dataclass of values with each of them behind the register of ``place``."""
        found: Any = values
        later = {field.name: self(place, getattr(found, field.name)) for field in fields(found)}
        return replace(found, **later)

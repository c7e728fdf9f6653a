# SPDX-License-Identifier: Apache-2.0
"""What the tools know of a unit, and how they find them all."""

import importlib
import pkgutil
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import gen.units

__all__ = ["Unit", "discover", "menu"]


@dataclass(frozen=True)
class Unit:
    """One unit as its users meet it. A module of :mod:`gen.units` defines one as ``UNIT``."""

    name: str  #: Sub-command and, with ``_`` for ``-``, the default name of the Verilog module.
    summary: str  #: One line for the catalogue, ``--help`` and the header of the output.
    params: type  #: Frozen dataclass; its fields become the options.
    build: Callable[[Any], Any]  #: Params -> ``wiring.Component``.
    help: dict[str, str]  #: One line for each field of ``params``.
    golden: str  #: Module of the golden model.
    choices: dict[str, tuple[str, ...]] = field(default_factory=dict)  #: Closed sets of values.
    epilog: str = ""  #: What ``--help`` prints below the options.
    #: Small parameter sets on which the house rules and the formal proofs are run.
    cases: tuple[dict[str, Any], ...] = ({},)


@cache
def discover() -> dict[str, Unit]:
    """Return every unit of :mod:`gen.units`, in order of name.

    Raises ``TypeError`` for a module without a ``UNIT``, ``ValueError`` for a name used twice.
    """
    units: dict[str, Unit] = {}
    for info in sorted(pkgutil.iter_modules(gen.units.__path__), key=lambda i: i.name):
        unit = getattr(importlib.import_module(f"gen.units.{info.name}"), "UNIT", None)
        if not isinstance(unit, Unit):
            raise TypeError(f"gen/units/{info.name}.py must define UNIT = Unit(...)")
        if unit.name in units:
            raise ValueError(f"unit name {unit.name!r} is used twice")
        units[unit.name] = unit
    return units


def menu(heading: str, rows: Iterable[tuple[str, str]]) -> str:
    """Return a heading and, below it, a paragraph for each (name, text)."""
    lines = [heading]
    for name, text in rows:
        lines.append(
            textwrap.fill(text, 79, initial_indent=f"  {name:13} ", subsequent_indent=" " * 16)
        )
    return "\n".join(lines)

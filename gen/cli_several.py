# SPDX-License-Identifier: Apache-2.0
"""Options of a command that is for one of several units, as another option says."""

import argparse
import dataclasses
from collections.abc import Sequence
from typing import Any

from gen.cli import add_unit_options
from gen.unit import Unit

__all__ = ["add_options_of", "given_for"]


def add_options_of(parser: argparse.ArgumentParser, units: Sequence[Unit]) -> None:
    """Add one option for each parameter that any of ``units`` has; what is not given is ``None``.

    The help tells the default of the first unit that has it.
    """
    seen: set[str] = set()
    for unit in units:
        own = [f for f in dataclasses.fields(unit.params) if f.name not in seen]
        seen.update(f.name for f in own)
        part = dataclasses.make_dataclass(
            unit.params.__name__,
            [(f.name, f.type, dataclasses.field(default=f.default)) for f in own],
        )
        add_unit_options(parser, dataclasses.replace(unit, params=part))
    parser.set_defaults(**dict.fromkeys(seen))


def given_for(
    args: argparse.Namespace, unit: Unit, units: Sequence[Unit], name: str | None = None
) -> dict[str, Any]:
    """Return the parameters of ``unit``, which the user calls ``name``, that were given.

    Raises ``ValueError`` for an option that only another of ``units`` has.
    """
    called = name or unit.name
    names = [f.name for f in dataclasses.fields(unit.params)]
    others = {f.name for each in units for f in dataclasses.fields(each.params)}
    for other in sorted(others.difference(names)):
        if getattr(args, other) is not None:
            raise ValueError(f"unit {called} has no option --{other.replace('_', '-')}")
    return {own: getattr(args, own) for own in names if getattr(args, own) is not None}

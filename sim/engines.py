# SPDX-License-Identifier: Apache-2.0
"""The units that are matrix engines, as sub-commands."""

import argparse
from collections.abc import Callable
from typing import Any

from gen.cli import add_unit_options, unit_parser
from gen.unit import Unit, discover

__all__ = ["add_engines", "engines", "manifest_of"]

_PLACE = "sim.golden.mpgemm."


def engines() -> dict[str, Unit]:
    """Return the matrix engines by their names."""
    return {name: unit for name, unit in discover().items() if unit.golden.startswith(_PLACE)}


def add_engines(
    parser: argparse.ArgumentParser, extra: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add a sub-command for each, with the unit's options and those that ``extra`` adds."""
    commands = parser.add_subparsers(dest="unit", required=True, metavar="UNIT")
    for unit in engines().values():
        sub = unit_parser(commands, unit)
        add_unit_options(sub, unit)
        extra(sub)


def manifest_of(name: str, params: Any) -> dict[str, Any]:
    """Return what the models need of a unit's manifest."""
    return {"unit": name, "parameters": params.resolved}

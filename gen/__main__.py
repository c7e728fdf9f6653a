# SPDX-License-Identifier: Apache-2.0
"""``python -m gen UNIT [options] > unit.v``."""

import argparse
import json
import sys
from pathlib import Path

from gen import cli
from gen.emit import emit, manifest_text
from gen.unit import Unit, discover


def _generate(unit: Unit, args: argparse.Namespace) -> int:
    text, manifest = emit(unit, cli.params_from(args, unit), args.name)
    with cli.write_files() as write:
        if args.manifest:
            write(args.manifest, manifest_text(manifest))
    sys.stdout.write(text)
    return 0


def main(argv: list[str] | None = None) -> int:
    parser = cli.Parser(prog="python -m gen", description="Generate verified low-bit hardware.")
    commands = parser.add_subparsers(dest="unit", required=True, metavar="UNIT")
    for unit in discover().values():
        sub = commands.add_parser(unit.name, help=unit.summary, description=unit.summary)
        cli.add_unit_options(sub, unit)
        sub.add_argument("--name", help="Verilog module name")
        sub.add_argument("--manifest", type=Path, help="also write the JSON manifest here")
    args = parser.parse_args(argv)
    unit = discover()[args.unit]
    return cli.guarded(f"python -m gen {args.unit}", lambda: _generate(unit, args))


if __name__ == "__main__":
    sys.exit(main())

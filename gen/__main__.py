# SPDX-License-Identifier: Apache-2.0
"""``python -m gen UNIT [options] > unit.v``."""

import argparse
import sys
from pathlib import Path
from typing import Any

from gen import cli
from gen.unit import Unit, discover

_DESCRIPTION = """\
Generate verified low-bit hardware: Verilog on standard output, messages on standard error.
`list` and `formats` show what there is to choose from; `UNIT --help` shows a unit's options.
"""


def _show(unit: Unit, manifest: dict[str, Any]) -> str:
    """Return what a person wants to know of a unit before having it."""
    timing = f"{manifest['latency']} cycles, {manifest['beats_per_cycle']} beats per cycle"
    lines = [f"{unit.name}: {unit.summary}", *manifest["notes"]]
    facts = {**manifest["parameters"], **manifest["contract"]}
    lines += [f"  {name:12} {value}" for name, value in facts.items() if value is not None]
    if manifest["clock"]:
        lines.append(f"  {'latency':12} {timing}")
    lines.append("ports:")
    longest = max(14, *(len(port["name"]) for port in manifest["ports"]))
    for port in manifest["ports"]:
        number = (
            f"{port['lanes']} x {port['format']}" if "lanes" in port else port.get("format", "")
        )
        unit_text = f" in units of 2^{port['lam']}" if "lam" in port else ""
        row = f"  {port['dir']:3} {port['width']:5}  {port['name']:{longest}}  {number}{unit_text}"
        lines.append(row.rstrip())
    return "\n".join(lines) + "\n"


def _generate(unit: Unit, args: argparse.Namespace) -> int:
    from gen.emit import emit, manifest_text

    text, manifest = emit(unit, cli.params_from(args, unit), args.name)
    with cli.write_files(args.output) as write:
        if args.output:
            from gen.bundle import bundle

            files = bundle(text, manifest)
            for name, content in files.items():
                write(args.output / name, content)
            _note(unit, files.get(f"{manifest['module']}_registers.txt", ""))
        if args.manifest:
            write(args.manifest, manifest_text(manifest))
    if args.show or not args.output:
        sys.stdout.write(_show(unit, manifest) if args.show else text)
    return 0


def _note(unit: Unit, text: str) -> None:
    """Say in one line what the bundle lacks, if anything."""
    if text:
        print(f"python -m gen {unit.name}: {' '.join(text.split())}", file=sys.stderr)


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("DIR must not be empty")
    return Path(text)


def _unit_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--name", metavar="MODULE", help="Verilog module name (default: that of the unit)"
    )
    group.add_argument(
        "--manifest", type=Path, metavar="FILE",
        help="also write the manifest: ports, widths, latency, as JSON",
    )  # fmt: skip
    group.add_argument(
        "-o", "--output", type=_folder, metavar="DIR",
        help="write the whole bundle: Verilog, manifest, FuseSoC core, smoke test, registers",
    )  # fmt: skip
    group.add_argument(
        "--show", action="store_true", help="print widths and ports instead of Verilog"
    )


def _list(args: argparse.Namespace) -> int:
    from gen.catalogue import units_text

    sys.stdout.write(units_text(args.json))
    return 0


def _formats(args: argparse.Namespace) -> int:
    from gen.catalogue import formats_text, one_format_text

    if args.name:
        sys.stdout.write(one_format_text(args.name, args.json))
    else:
        sys.stdout.write(formats_text(args.json))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    parser = cli.Parser(
        prog="python -m gen",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="unit", required=True, metavar="UNIT")
    listing = commands.add_parser("list", help="list the units and their status")
    listing.add_argument("--json", action="store_true", help="for tools")
    formats = commands.add_parser("formats", help="list the number formats, or the codes of one")
    formats.add_argument("name", nargs="?", metavar="FORMAT")
    formats.add_argument("--json", action="store_true", help="for tools")
    for unit in discover().values():
        sub = cli.unit_parser(commands, unit)
        cli.add_unit_options(sub, unit)
        _unit_arguments(sub)
    args = parser.parse_args(argv or ["list"])
    run = {"list": _list, "formats": _formats}.get(args.unit)
    action = run or (lambda given: _generate(discover()[given.unit], given))
    return cli.guarded(f"python -m gen {args.unit}", lambda: action(args))


if __name__ == "__main__":
    sys.exit(main())

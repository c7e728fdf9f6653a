# SPDX-License-Identifier: Apache-2.0
"""``python -m fpga report UNIT --target T``: size and speed of a unit."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from gen.cli import add_units, params_from
from gen.unit import discover

SUMMARY = "resources, Fmax, area and depth of a unit on FPGAs and in gates"

_TARGETS = "xcup, ecp5[:25k|12k|45k|85k], ice40[:up5k|hx8k|hx1k|lp8k], gowin, gates"


def _options(parser: argparse.ArgumentParser) -> None:
    # A unit's own --target, a hint to its structure, is set from this one.
    parser.conflict_handler = "resolve"
    group = parser.add_argument_group("report")
    group.add_argument(
        "--target",
        dest="targets",
        action="append",
        required=True,
        metavar="TARGET[,...]",
        help=f"what to build for: {_TARGETS}; may be given several times",
    )
    group.add_argument(
        "--liberty",
        type=Path,
        action="append",
        nargs="+",
        default=[],
        metavar="FILE",
        help="cell libraries for gates, .lib or .lib.gz (default: generic, fpga/cells.lib)",
    )
    group.add_argument(
        "--seeds",
        type=int,
        default=3,
        metavar="N",
        help="place and route N times and take the median Fmax; 0: no Fmax (default: 3)",
    )
    group.add_argument(
        "--dsp",
        action=argparse.BooleanOptionalAction,
        help="only with, or only without, DSP blocks (default: both)",
    )
    group.add_argument(
        "--timeout",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="longest time of one call of a tool (default: 600)",
    )
    group.add_argument("--json", action="store_true", help="print a list of records as JSON")
    group.add_argument(
        "--no-cache", action="store_true", help="neither look for an earlier report nor keep this"
    )


def arguments(parser: argparse.ArgumentParser) -> None:
    add_units(parser, _options)


def _progress(message: str) -> None:
    """Show ``message`` in place of the last one."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{message}", end="", file=sys.stderr, flush=True)


def run(args: argparse.Namespace) -> int:
    from fpga.synth.table import render

    try:
        records = _records(args)
    finally:
        _progress("")
    print(json.dumps(records, indent=2) + "\n" if args.json else render(records), end="")
    return 0


def _records(args: argparse.Namespace) -> list[dict[str, Any]]:
    from fpga.report import own_target, report_unit, split_target

    unit = discover()[args.unit]
    targets = [t.strip() for text in args.targets for t in text.split(",")]
    liberty = [path for group in args.liberty for path in group]
    families = [split_target(target)[0] for target in targets]
    if liberty and "gates" not in families:
        raise ValueError("--liberty needs --target gates")
    records = []
    for target, family in zip(targets, families, strict=True):
        args.target = own_target(unit, family)
        parameters = dataclasses.asdict(params_from(args, unit))
        records.append(
            report_unit(
                args.unit,
                parameters,
                target,
                liberty=liberty if family == "gates" else (),
                seeds=args.seeds,
                dsp=args.dsp,
                timeout=args.timeout,
                use_cache=not args.no_cache,
                progress=_progress,
            )
        )
    return records

# SPDX-License-Identifier: Apache-2.0
"""``python -m fpga build --board BOARD``: a bitstream, or all that Vivado needs to make one."""

import argparse
import sys
from pathlib import Path

from fpga import board as boards
from gen import cli
from gen.unit import discover

SUMMARY = "build a board's bitstream around a unit"


def arguments(parser: argparse.ArgumentParser) -> None:
    names = ", ".join(boards.discover())
    units = dict.fromkeys(unit for board in boards.discover().values() for unit in board.units)
    parser.add_argument("--board", required=True, help=f"one of {names}")
    parser.add_argument("--part", help="variant of the board (default: its first)")
    parser.add_argument("--unit", help=f"one of {', '.join(units)} (default: the board's first)")
    parser.add_argument("-o", "--out", type=Path, help="folder (default: build/BOARD)")
    # The clock is the board's, and so is what the user does not give.
    fields = cli.add_options_of(parser, [discover()[unit] for unit in units], but=("clock_hz",))
    parser.set_defaults(fields=fields)


def run(args: argparse.Namespace) -> int:
    from fpga.build import BuildError, build, parameters, summary

    board = boards.find(args.board)
    part = board.part(args.part)
    folder = args.out or Path("build") / board.name
    given = {name: getattr(args, name) for name in args.fields if getattr(args, name) is not None}
    params = parameters(board, given, args.unit)
    try:
        report = build(board, part, params, folder, args.unit)
    except BuildError as error:
        print(f"python -m fpga build: {error}", file=sys.stderr)
        return 1
    print(summary(report, folder))
    return 0

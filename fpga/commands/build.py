# SPDX-License-Identifier: Apache-2.0
"""``python -m fpga build --board BOARD``: a bitstream, or all that Vivado needs to make one."""

import argparse
import dataclasses
import sys
from pathlib import Path

from fpga import board as boards
from gen import cli
from gen.unit import discover

SUMMARY = "build a board's bitstream around a processing element"


def _fields() -> list[str]:
    return [*(field.name for field in dataclasses.fields(discover()["pe"].params)), "baud"]


def arguments(parser: argparse.ArgumentParser) -> None:
    names = ", ".join(boards.discover())
    parser.add_argument("--board", required=True, help=f"one of {names}")
    parser.add_argument("--part", help="variant of the board (default: its first)")
    parser.add_argument("-o", "--out", type=Path, help="folder (default: build/BOARD)")
    parser.add_argument("--baud", type=int, help="bits per second of the serial port")
    cli.add_unit_options(parser, discover()["pe"])
    # What the user does not give is the board's to choose.
    parser.set_defaults(**dict.fromkeys(_fields()))


def run(args: argparse.Namespace) -> int:
    from fpga.build import BuildError, build, parameters, summary

    board = boards.find(args.board)
    part = board.part(args.part)
    folder = args.out or Path("build") / board.name
    given = {name: getattr(args, name) for name in _fields() if getattr(args, name) is not None}
    try:
        report = build(board, part, parameters(board, given), folder)
    except BuildError as error:
        print(f"python -m fpga build: {error}", file=sys.stderr)
        return 1
    print(summary(report, folder))
    return 0

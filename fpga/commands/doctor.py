# SPDX-License-Identifier: Apache-2.0
"""``python -m fpga doctor``: which tools are here, and what boards and reports need."""

import argparse

SUMMARY = "show which tools are present and what each board needs"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--board", help="look at this board alone; exit 1 if it lacks a tool")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    import json

    from fpga.doctor import examine, render

    findings = examine(args.board)
    print(json.dumps(findings, indent=2) + "\n" if args.json else render(findings), end="")
    return int(args.board is not None and not all(job["ready"] for job in findings["jobs"]))

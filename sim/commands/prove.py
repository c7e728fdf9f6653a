# SPDX-License-Identifier: Apache-2.0
"""``python -m sim prove UNIT``: the stream rules, for all time, on the emitted Verilog."""

import argparse
import tempfile
from pathlib import Path

from gen.cli import add_units, params_from

SUMMARY = "prove that a unit keeps the stream rules and counts every beat once"

_MEANING = {
    "valid_kept": "what waits for its reader stays valid",
    "payload_kept": "what waits for its reader does not change",
    "not_early": "nothing comes without the beats or requests it answers, nothing twice",
    "in_time": "what is due is valid in time, whether or not its reader is ready",
    "taken": "what is offered is taken in time while readers are ready",
    "all_in_time": "while all inputs offer and the output accepts, something moves",
    "error_last": "an error comes with the last beat of its job, without data",
    "keep_value": "tkeep tells which columns exist, and others hold zeros",
    "rows_value": "a small job gives all its rows in all tiles, and no more",
    "code_value": "a wrong descriptor gives its error, a right one none",
    "value": "every beat counts once, in its own result and in no other",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    add_units(parser, _own)


def _own(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("prove")
    group.add_argument(
        "--work", metavar="DIR", help="keep the harness, the model and any counterexample there"
    )
    group.add_argument(
        "--seconds", default="300", metavar="N", help="longest time of each solver (default: 300)"
    )


def run(args: argparse.Namespace) -> int:
    from gen.emit import emit
    from gen.unit import discover
    from sim.formal import prove
    from sim.options import count

    seconds = count("seconds", args.seconds, 1)
    unit = discover()[args.unit]
    text, manifest = emit(unit, params_from(args, unit))
    with tempfile.TemporaryDirectory(prefix="bitloom-") as name:
        folder = Path(args.work or name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"cannot write {str(folder)!r}: {error.strerror}") from None
        proof = prove(text, manifest, folder, seconds=seconds)
    chosen = manifest["parameters"].items()
    what = " ".join(f"{name}={value}" for name, value in chosen if value not in (None, False))
    verdict = "PROVED" if proof.proved else "NOT PROVED" if proof.refuted else "PROVED IN PART"
    print(f"{verdict}  {manifest['module']}  {what}")
    if proof.refuted:
        print(f"  {proof.refuted}")
        if args.work and proof.trace:
            print(f"  counterexample: {proof.trace}")
        return 1
    for label in proof.for_all_time:
        print(f"  {_told(label)}")
    for label, cycles in proof.searched.items():
        print(f"  only searched, no exception in the first {cycles} cycles: {_told(label)}")
    print(f"  {proof.independent}")
    if proof.covered:
        print(f"  {proof.covered} of {proof.covered} cover statements reached")
    else:
        print("  whether every cover statement can be reached took too long to find out")
    if proof.left_out:
        print(f"  not shown: {proof.left_out}")
    return 0


def _told(label: str) -> str:
    """Return what a property says, for a person."""
    stream, rule = label.split("_", 1)
    return f"{stream}: {_MEANING.get(label, _MEANING.get(rule))}"

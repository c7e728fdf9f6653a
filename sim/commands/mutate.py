# SPDX-License-Identifier: Apache-2.0
"""``python -m sim mutate UNIT``: how many faults in a unit's gates its bench catches."""

import argparse
import tempfile
from pathlib import Path

from gen.cli import add_units, params_from

SUMMARY = "put faults into a unit's gates and count how many its bench catches"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_units(parser, _own)


def _own(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("mutate")
    group.add_argument(
        "--mutants", default="512", metavar="N", help="faults, drawn from all (default: 512)"
    )
    group.add_argument(
        "--beats", default="1000", metavar="N", help="of each stall pattern (default: 1000)"
    )
    group.add_argument("--seed", default="1", metavar="N", help="what is random (default: 1)")


def run(args: argparse.Namespace) -> int:
    from gen.emit import emit
    from gen.unit import discover
    from sim.bench.mutation import GOAL, mutate
    from sim.options import count

    mutants, beats = (count(name, getattr(args, name), 1) for name in ("mutants", "beats"))
    seed = count("seed", args.seed, 0)
    unit = discover()[args.unit]
    text, manifest = emit(unit, params_from(args, unit))
    with tempfile.TemporaryDirectory(prefix="bitloom-") as folder:
        score = mutate(text, manifest, Path(folder), mutants=mutants, beats=beats, seed=seed)
    print(f"{manifest['module']}: {score.gates} gates, {score.mutants} mutants")
    print(
        f"  {score.killed} killed, {score.equal} proved to change nothing, {len(score.left)} left"
    )
    print(f"  score {100 * score.ratio:.1f} % of those that may change something")
    for fault in score.left[:20]:
        print(f"  left: gate {fault.gate} {fault.kind}")
    return 0 if score.ratio >= GOAL else 1

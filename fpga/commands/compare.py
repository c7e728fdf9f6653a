# SPDX-License-Identifier: Apache-2.0
"""``python -m fpga compare pe``: formats, architectures and targets beside each other."""

import argparse
import concurrent.futures
import itertools
import json
import multiprocessing
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw.pe.arch import NAMES
from hw.spec.formats import parse

if TYPE_CHECKING:
    from fpga.compare import Point

SUMMARY = "table and plot of what a product costs: formats x architectures x targets"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("unit", choices=("pe",), help="the unit to compare")
    parser.add_argument(
        "--formats", default="int8,int4,e2m1,ternary", metavar="F[,...]", help="weight formats"
    )
    parser.add_argument(
        "--acts", default="int8", metavar="F[,...]", help="activation formats; same: the weight's"
    )
    parser.add_argument(
        "--archs", default="multiply,shift-add", metavar="A[,...]",
        help=f"architectures, or all: {', '.join(NAMES)}",
    )  # fmt: skip
    parser.add_argument(
        "--targets", default="gates", metavar="T[,...]", help="gates, xcup, ecp5, ice40"
    )
    parser.add_argument("--lanes", type=int, help="products per beat (default: typical of each)")
    parser.add_argument("--max-k", type=int, default=256, help="longest dot product (default: 256)")
    parser.add_argument(
        "--seeds", type=int, default=0, metavar="N", help="place and route N times for Fmax"
    )
    parser.add_argument(
        "--weights", metavar="FILE", help="a .npy file of real weights, rows of dot products, for "
        "the toggles (default: a piece of all-MiniLM-L6-v2)",
    )  # fmt: skip
    parser.add_argument("--no-toggles", action="store_true", help="leave the energy proxy out")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it: .svg, .pdf or .png")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")


def run(args: argparse.Namespace) -> int:
    from fpga.compare import compare, plot, table

    points = _points(args)
    weights = None if args.no_toggles else _weights(args.weights)
    options: dict[str, Any] = {"max_k": args.max_k}
    if args.lanes is not None:
        options["lanes"] = args.lanes
    if args.plot and args.plot.suffix not in (".svg", ".pdf", ".png"):
        raise ValueError(f"plot must end in .svg, .pdf or .png, not {str(args.plot)!r}")
    rows = []
    for target in dict.fromkeys(point[3] for point in points):
        mine = [point for point in points if point[3] == target]
        base = ("int8", "int8", "multiply", target)
        found = _measured([base, *mine], options, weights, args.seeds)
        rows += compare(found[1:], found[0])
    print(json.dumps(rows, indent=2) + "\n" if args.json else table(rows), end="")
    if not args.json and weights is not None:
        print(
            "toggles/MAC: gates and registers that change per product in a simulation without "
            "delays,\nreal weights, normal activations; a proxy for energy, not joules"
        )
    if args.plot:
        plot(rows, args.plot)
    return 0


def _points(args: argparse.Namespace) -> list[tuple[str, str, str, str]]:
    from fpga.report import split_target

    formats, acts, archs, targets = (
        [word.strip() for word in text.split(",") if word.strip()]
        for text in (args.formats, args.acts, args.archs, args.targets)
    )
    for name in formats:
        parse(name)
    if archs == ["all"]:
        archs = list(NAMES)
    for name in archs:
        if name not in NAMES:
            raise ValueError(f"archs must be of {', '.join(NAMES)} or all, not {name!r}")
    for target in targets:
        split_target(target)
    pairs = [(f, f if act == "same" else parse(act).name) for f in formats for act in acts]
    if not (pairs and archs and targets):
        raise ValueError("formats, acts, archs and targets must not be empty")
    points = [(*pair, arch, t) for t, pair, arch in itertools.product(targets, pairs, archs)]
    return list(dict.fromkeys(points))


def _weights(name: str | None) -> Any:
    import numpy as np

    from fpga.activity import sample_weights

    if name is None:
        return sample_weights()
    try:
        array = np.load(name, allow_pickle=False)
        reals = np.asarray(array, dtype=np.float64)
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or "it is no .npy file of numbers"
        raise ValueError(f"cannot read weights {name!r}: {reason}") from None
    if reals.ndim != 2 or reals.shape[1] < 16 or not np.isfinite(reals).all():
        raise ValueError(
            f"weights must be a finite array of 2 dimensions with 16 columns or more, not of shape "
            f"{reals.shape}"
        )
    return reals[:256, :256]


def _measured(
    points: list[tuple[str, str, str, str]], options: dict[str, Any], weights: Any, seeds: int
) -> "list[Point]":
    """Measure every point on all cores; what was measured before comes from the cache."""
    from fpga.compare import measure

    found = []
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), spawn) as executor:
        futures = [executor.submit(measure, p, options, weights, seeds) for p in points]
        try:
            for number, (point, future) in enumerate(zip(points, futures, strict=True), 1):
                if sys.stderr.isatty():
                    print(f"\r\x1b[K{number}/{len(points)} {' '.join(point)}", end="",
                          file=sys.stderr, flush=True)  # fmt: skip
                found.append(future.result())
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise
        finally:
            if sys.stderr.isatty():
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    return found

# SPDX-License-Identifier: Apache-2.0
"""``python -m sim gemm UNIT``: one matrix product through an engine's model or its Verilog."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from gen.cli import params_from
from sim.engines import add_engines, engines, manifest_of

SUMMARY = "multiply two matrices as a matrix engine does, in its model or in simulated Verilog"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_engines(parser, _own)


def _own(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("gemm")
    group.add_argument("acts", metavar="A.npy", help="activations (M, K), exact values")
    group.add_argument(
        "weights", metavar="W", help="weights (K, N), exact values, or what `sim pack` wrote"
    )
    group.add_argument(
        "-o", "--output", default="C.npy", metavar="FILE", help="the product (default: C.npy)"
    )
    group.add_argument("--codes", action="store_true", help="the files hold codes, not values")
    group.add_argument(
        "--prune", action="store_true", help="keep the largest N of every M weights (arch nm)"
    )
    group.add_argument(
        "--job-bits",
        default="0",
        metavar="N",
        help="bit planes, where a job may have fewer than the unit (default: all)",
    )
    group.add_argument(
        "--scales",
        metavar="S.npy",
        help="scales (groups, N), books of columns (N, entries), or centroids of pq",
    )
    group.add_argument("--zeros", metavar="Z.npy", help="zero points (groups, N)")
    group.add_argument("--act-scales", metavar="T.npy", help="scales of A (groups, M)")
    group.add_argument(
        "--numbers",
        metavar="R.npy",
        help="what requantises a column (2 to 4, N): multiplier, shift, bias or lambda, zero point",
    )
    group.add_argument(
        "--rtl", action="store_true", help="simulate the Verilog too, and compare every beat"
    )
    group.add_argument("--sim", metavar="NAME", help="icarus or verilator (default: $SIM, or any)")


def run(args: argparse.Namespace) -> int:
    from sim.gemm import Product
    from sim.matrices import npy, write_bytes
    from sim.options import count

    params = params_from(args, engines()[args.unit])
    bits = count("job-bits", args.job_bits, 0, 15)
    product = Product.read(
        manifest_of(args.unit, params),
        (args.acts, args.weights),
        (args.scales, args.zeros, args.act_scales, args.numbers),
        bits,
        args.codes,
        args.prune,
    )
    c = product.c()
    told = f"{product.cycles()} cycles by the model"
    if args.rtl:
        report = _simulated(args, params, product)
        if isinstance(report, str):
            print(report)
            return 1
        told = f"{report.times[0][1]} cycles in {report.simulator}, every beat as the model has it"
    if args.unit == "mpgemm" and params.engine == "codebook":
        made, naive = product.saved()
        told += f"; {made} multiplications, {naive} one by one"
    write_bytes(args.output, npy(c))
    shape = " x ".join(str(size) for size in c.shape)
    print(f"{args.output}: {shape} {c.dtype}; {told}")
    return 0


def _simulated(args: argparse.Namespace, params: Any, product: Any) -> Any:
    """Return the report of a product in the Verilog, or what is wrong."""
    from gen.emit import emit
    from sim.bench.streams import check
    from sim.runner import SimulationError, choose

    simulator = choose(args.sim)
    text, manifest = emit(engines()[args.unit], params)
    with tempfile.TemporaryDirectory(prefix="bitloom-") as name:
        source = Path(name) / f"{manifest['module']}.v"
        source.write_text(text, encoding="utf-8")
        try:
            report = check(
                source, manifest, product.streams, Path(name) / "build", simulator=simulator
            )
        except SimulationError as error:
            return f"FAIL  {manifest['module']}: {error}"
    if report.passed:
        return report
    lines = report.mismatch.lines() if report.mismatch else [str(report.fault)]
    return "\n".join([f"FAIL  {manifest['module']}", *(f"  {line}" for line in lines)])

# SPDX-License-Identifier: Apache-2.0
"""``python -m sim pack UNIT``: a weight matrix as the bytes that a matrix engine takes."""

import argparse

from gen.cli import params_from
from sim.engines import add_engines, engines, manifest_of

SUMMARY = "pack a weight matrix for a matrix engine, with a header that says for which"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_engines(parser, _own)


def _own(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("pack")
    group.add_argument(
        "weights", metavar="W.npy", help="weights (K, N), exact values; of pq tables (S, c, N)"
    )
    group.add_argument("-o", "--output", required=True, metavar="FILE", help="the image")
    group.add_argument("--codes", action="store_true", help="the file holds codes, not values")
    group.add_argument(
        "--prune", action="store_true", help="keep the largest N of every M weights (arch nm)"
    )
    group.add_argument(
        "--job-bits",
        default="0",
        metavar="N",
        help="bit planes, where a job may have fewer than the unit (default: all)",
    )


def run(args: argparse.Namespace) -> int:
    from sim.golden.mpgemm.image import layout, pack
    from sim.golden.mpgemm.unit import Unit
    from sim.matrices import parse_npy, read_bytes, weights_of, write_bytes
    from sim.options import count

    manifest = manifest_of(args.unit, params_from(args, engines()[args.unit]))
    unit, bits = Unit.of(manifest), count("job-bits", args.job_bits, 0, 15)
    values = parse_npy(args.weights, read_bytes(args.weights), 3 if unit.name == "pq" else 2)
    data = pack(manifest, weights_of(unit, values, args.codes, bits, args.prune), bits)
    write_bytes(args.output, data)
    shape = " x ".join(str(size) for size in values.shape)
    told = ", ".join(f"{name} {value}" for name, value in layout(manifest).items())
    print(f"{args.output}: {len(data)} bytes, {shape} weights for {told}")
    return 0

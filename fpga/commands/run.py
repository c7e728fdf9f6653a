# SPDX-License-Identifier: Apache-2.0
"""``python -m fpga run``: products on a board, compared with the golden model."""

import argparse
from typing import Any

SUMMARY = "compute products on a board and compare them with the golden model"

#: What may be on a board, and the unit whose parameters say which; the first is the default.
UNITS = {"pe": "pe", "pe-uart": "pe", "pe-axi": "pe", "coprocessor-uart": "coprocessor"}
MOST_BEATS = 1_000_000
MOST_PRODUCTS = 10_000


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    from gen.cli import add_options_of
    from gen.unit import discover

    parser.add_argument("--board", help="take the parameters that are built for this board")
    parser.add_argument(
        "--unit", choices=UNITS, default="pe", help="what is on the board (default: pe, whichever)"
    )
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--port", help="serial port or pseudo-terminal of the device")
    place.add_argument("--memory", help="/dev/mem, /dev/uioN or a file that holds its registers")
    parser.add_argument("--address", default="0", help="where in --memory (default: 0)")
    parser.add_argument("--baud", type=int, default=115_200, help="of --port (default: 115200)")
    parser.add_argument("--timeout", type=float, default=1.0, help="seconds to wait for an answer")
    parser.add_argument("--beats", type=int, default=64, help="beats to send (default: 64)")
    parser.add_argument(
        "--products", type=int, default=6, help="matrix products of a co-processor (default: 6)"
    )
    parser.add_argument(
        "--manifest", metavar="JSON", help="of a co-processor, instead of its parameters"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random codes (default: 0)")
    parser.add_argument(
        "--codes", metavar="NPZ", help="file with arrays a and w of codes (rows, k) to use instead"
    )
    # What the user does not give is the board's to choose.
    add_options_of(parser, [discover()[name] for name in dict.fromkeys(UNITS.values())])


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.seed < 0:
        raise ValueError(f"seed must not be negative, which {args.seed} is")
    if not 0 < args.timeout < 3600:
        raise ValueError(f"timeout must be a positive number, not {args.timeout}")
    return _elements(args) if UNITS[args.unit] == "pe" else _matrices(args)


def _elements(args: argparse.Namespace) -> int:
    import importlib
    import sys
    import time

    import numpy as np

    from fpga.driver.pe import PEDriver
    from fpga.driver.transport import DeviceError
    from gen.unit import discover
    from hw.coprocessor.pe_registers import registers_of

    unit = discover()["pe"]
    if not 1 <= args.beats <= MOST_BEATS:
        raise ValueError(f"beats must be from 1 to {MOST_BEATS}, not {args.beats}")
    params = _parameters(args, unit.params)
    registers_of(params)
    golden = importlib.import_module(unit.golden)
    codes = _codes(args.codes) if args.codes else None
    transport = _transport(args)
    try:
        driver = PEDriver(transport, params)
        if codes:
            beats = driver.beats(*codes)
        else:
            beats = golden.vectors(params.resolved, np.random.default_rng(args.seed), args.beats)
        want = golden.run(params.resolved, beats)
        start = time.perf_counter()
        got = driver.run(**beats)
        seconds = time.perf_counter() - start
    except DeviceError as error:
        print(f"python -m fpga run: {error}", file=sys.stderr)
        return 1
    finally:
        transport.close()
    wrong = np.zeros(len(want["acc"]), dtype=bool)
    for name, values in want.items():
        wrong |= got[name] != values
    total = len(wrong)
    verdict = "FAIL" if wrong.any() else "PASS"
    print(f"{verdict}: {total - int(wrong.sum())} of {total} dot products exact")
    print(f"{len(beats['last'])} beats of {params.lanes} products in {seconds:.3f} s")
    print(f"{1e3 * seconds / total:.2f} ms a dot product, host and link included")
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        shown = {n: (got[n][first], v[first]) for n, v in want.items()}
        text = ", ".join(f"{n} {have}, not {should}" for n, (have, should) in shown.items())
        print(f"python -m fpga run: dot product {first} has {text}", file=sys.stderr)
    return int(wrong.any())


def _matrices(args: argparse.Namespace) -> int:
    """Run the self-test of a co-processor."""
    import sys

    from fpga import products
    from fpga.driver.transport import DeviceError
    from gen.unit import discover

    if not 1 <= args.products <= MOST_PRODUCTS:
        raise ValueError(f"products must be from 1 to {MOST_PRODUCTS}, not {args.products}")
    for name in ("memory", "codes"):
        if getattr(args, name) is not None:
            raise ValueError(f"unit {args.unit} has no option --{name}")
    if args.manifest:
        manifest = products.read_manifest(args.manifest)
    else:
        params = _parameters(args, discover()[UNITS[args.unit]].params)
        manifest = products.manifest_of(params)
    try:
        with products.over_uart(args.port, manifest, args.baud, timeout=args.timeout) as device:
            done, seconds = products.self_test(device, args.products, args.seed)
    except DeviceError as error:
        print(f"python -m fpga run: {error}", file=sys.stderr)
        return 1
    print(f"PASS: {done} of {done} matrix products exact")
    print(f"{1e3 * seconds / done:.0f} ms a product, host and link included")
    return 0


def _parameters(args: argparse.Namespace, kind: Any) -> Any:
    """Return the parameters of what is on the board: the board's, but what the user says."""
    from gen.cli import given_for
    from gen.unit import discover

    units = [discover()[name] for name in dict.fromkeys(UNITS.values())]
    given = given_for(args, discover()[UNITS[args.unit]], units, args.unit)
    if args.board is None:
        return kind(**given)
    from fpga.board import find
    from fpga.build import parameters

    board = find(args.board)
    if UNITS[args.unit] == "pe":
        elements = [name for name in board.units if issubclass(discover()[name].params, kind)]
        return parameters(board, given, elements[0] if args.unit == "pe" else args.unit)
    return parameters(board, given, args.unit).core


def _codes(path: str) -> Any:
    import zipfile
    import zlib

    import numpy as np

    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            codes = arrays["a"], arrays["w"]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"codes {path!r} must be an .npz file with a and w: {error}") from None
    for name, array in zip("aw", codes, strict=True):
        if array.dtype.kind not in "iu" or array.ndim != 2 or array.size == 0:
            raise ValueError(
                f"{name} of codes {path!r} must be integers of shape (rows, k), not "
                f"{array.dtype} of shape {array.shape}"
            )
    return codes


def _transport(args: argparse.Namespace) -> Any:
    if args.port is not None:
        from fpga.driver.uart import UartTransport

        return UartTransport(args.port, args.baud, timeout=args.timeout)
    from fpga.driver.mmio import MmioTransport

    try:
        address = int(args.address, 0)
    except ValueError:
        raise ValueError(f"address must be a number, not {args.address!r}") from None
    return MmioTransport(args.memory, address)

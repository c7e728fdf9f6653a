# SPDX-License-Identifier: Apache-2.0
"""``python -m sim board``: a board to try the host driver on, without a board."""

import argparse
from typing import Any

from gen.cli import add_options_of, given_for
from gen.unit import discover

SUMMARY = "simulate a unit with a UART behind a pseudo-terminal whose path is printed"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    from sim.board import UNITS

    parser.add_argument(
        "--unit", choices=UNITS, default=UNITS[0], help=f"what is on it (default: {UNITS[0]})"
    )
    add_options_of(parser, [discover()[name] for name in UNITS])
    parser.add_argument("--simulator", choices=("icarus", "verilator"), help="which to use")
    parser.add_argument("--waves", metavar="FOLDER", help="keep a waveform here")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    import shlex
    import sys
    import tempfile
    from pathlib import Path

    from sim.board import BAUD, CLOCK_HZ, UNITS, serve
    from sim.runner import SimulationError

    unit = discover()[args.unit]
    given = given_for(args, unit, [discover()[name] for name in UNITS])
    params = unit.params(**{"clock_hz": CLOCK_HZ, "baud": BAUD, **given})
    words = _other_element(params) if args.unit == "pe-uart" else _other_engine(given)

    def ready(path: str) -> None:
        print(path, flush=True)
        command = ["python", "-m", "fpga", "run", "--port", path, "--baud", str(params.baud)]
        print(f"try: {shlex.join(command + words)}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="bitloom-board-") as scratch:
        folder = Path(args.waves or scratch)
        try:
            serve(
                params,
                folder,
                ready,
                unit=args.unit,
                simulator=args.simulator,
                waves=bool(args.waves),
            )
        except KeyboardInterrupt:
            return 0
        except SimulationError as error:
            print(f"python -m sim board: {error}", file=sys.stderr)
    return 1


def _other_element(params: Any) -> list[str]:
    """Return the options that tell the driver which processing element it is."""
    from hw.pe.params import PEParams
    from hw.spec.pe_registers import FUNCTION

    words, usual = [], PEParams().resolved
    for name in FUNCTION:
        value = getattr(params, name) if name == "acc_bits" else params.resolved[name]
        if value not in (None, usual[name]):
            words.append(f"--{name.replace('_', '-')}={value}")
    return words


def _other_engine(given: dict[str, Any]) -> list[str]:
    """Return the options that tell the driver which co-processor it is: those given."""
    words = ["--unit", "coprocessor-uart"]
    for name, value in given.items():
        option = name.replace("_", "-")
        if name in ("clock_hz", "baud", "ram_kib"):
            continue
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words.append(f"--{option}={value}")
    return words

# SPDX-License-Identifier: Apache-2.0
"""``python -m sim board``: a board to try the host driver on, without a board."""

import argparse

from gen.cli import add_unit_options
from gen.unit import discover

SUMMARY = "simulate the unit pe-uart behind a pseudo-terminal whose path is printed"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    from sim.board import BAUD, CLOCK_HZ, UNIT

    add_unit_options(parser, discover()[UNIT])
    parser.set_defaults(clock_hz=CLOCK_HZ, baud=BAUD)
    parser.add_argument("--simulator", choices=("icarus", "verilator"), help="which to use")
    parser.add_argument("--waves", metavar="FOLDER", help="keep a waveform here")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    import shlex
    import sys
    import tempfile
    from pathlib import Path

    from gen.cli import params_from
    from hw.pe.params import PEParams
    from hw.spec.pe_registers import FUNCTION
    from sim.board import UNIT, serve
    from sim.runner import SimulationError

    params = params_from(args, discover()[UNIT])

    def ready(path: str) -> None:
        print(path, flush=True)
        words = ["python", "-m", "fpga", "run", "--port", path, "--baud", str(params.baud)]
        usual = PEParams().resolved
        for name in FUNCTION:
            value = getattr(params, name) if name == "acc_bits" else params.resolved[name]
            if value not in (None, usual[name]):
                words.append(f"--{name.replace('_', '-')}={value}")
        print(f"try: {shlex.join(words)}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="bitloom-board-") as scratch:
        folder = Path(args.waves or scratch)
        try:
            serve(
                params,
                folder,
                ready,
                simulator=args.simulator,
                waves=bool(args.waves),
            )
        except KeyboardInterrupt:
            return 0
        except SimulationError as error:
            print(f"python -m sim board: {error}", file=sys.stderr)
    return 1

# SPDX-License-Identifier: Apache-2.0
"""On a PYNQ board: load the co-processor that was built for it, test it, and time a product.

    make fpga BOARD=ultra96                                # where Vivado is; also BOARD=kv260
    sudo -E python3 -m fpga.pynq.coprocessor build/ultra96 # on the board, in a copy of this project

The folder is that of the build, with the bitstream, its hand-off file and the manifest. In a
notebook, :func:`load` gives the accelerator, whose ``gemm`` takes and returns numpy arrays.
"""

import importlib
import json
import sys
import time
from pathlib import Path

import numpy as np

from fpga.driver.accelerator import Accelerator
from fpga.driver.pynq import PynqTransport
from gen.cli import guarded

__all__ = ["load", "main"]

SIDE = 256  #: Rows, columns and depth of the product that is timed.


def load(folder: Path) -> Accelerator:
    """Configure the fabric with what was built in ``folder`` and return the accelerator in it.

    Raises ``ValueError`` for a folder without a finished build, and where PYNQ is missing.
    """
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{str(folder)!r} holds no finished build: {error.strerror}") from None
    transport = PynqTransport(report["base"])
    importlib.import_module("pynq").Overlay(str(folder / report["bitstream"]["file"]))
    return Accelerator(transport, folder / f"{report['unit'].replace('-', '_')}.json")


def _run(folder: Path) -> int:
    with load(folder) as accelerator:
        print(f"{accelerator.self_test()} products exact")
        # Every format of weights from 4 bits has these, every format of activations too.
        a, w = np.random.default_rng(0).integers(-1, 2, (2, SIDE, SIDE))
        weights = accelerator.load_weights(w)
        accelerator.clear_counters()
        start = time.perf_counter()
        product = accelerator.gemm(a, weights)
        seconds = time.perf_counter() - start
        cycles = accelerator.counters()["cycles"]
        exact = np.array_equal(product * 2.0**accelerator.lam, a @ w)
    verdict = "exact" if exact else "WRONG"
    print(f"{SIDE}x{SIDE}x{SIDE} {verdict}: {1e3 * seconds:.2f} ms, {cycles} cycles")
    return int(not exact)


def main(argv: list[str]) -> int:
    """Run on the board; return the exit status."""
    if len(argv) != 1:
        print("usage: python3 -m fpga.pynq.coprocessor FOLDER", file=sys.stderr)
        return 2
    return guarded("python3 -m fpga.pynq.coprocessor", lambda: _run(Path(argv[0])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

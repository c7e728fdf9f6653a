# SPDX-License-Identifier: Apache-2.0
"""A simulated board: the emitted Verilog with its UART behind a pseudo-terminal."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fpga.driver.uart import words_per_frame
from gen.emit import emit
from gen.unit import discover
from hw.axi.uart import divisor
from sim.runner import simulate

__all__ = ["BAUD", "CLOCK_HZ", "UNIT", "serve"]

UNIT = "pe-uart"
#: A low rate, so that the bridge's time limit of 100 ms is few cycles.
BAUD = 19_200
CLOCK_HZ = 8 * BAUD  #: The fewest cycles per bit that the UART takes.


def serve(
    params: Any,
    folder: Path,
    ready: Callable[[str], None],
    *,
    simulator: str | None = None,
    waves: bool = False,
) -> None:
    """Simulate ``pe-uart`` with ``params`` in ``folder`` until interrupted.

    ``ready`` is called once, from another thread, with the path of the pseudo-terminal that a host
    may then open. Raises :class:`sim.runner.SimulationError` if the simulator stops by itself.
    """
    words_per_frame(params.baud)  # a rate that no host can use is an error here already
    text, manifest = emit(discover()[UNIT], params)
    folder.mkdir(parents=True, exist_ok=True)
    source, device = folder / manifest["files"][0], folder / "device"
    source.write_text(text, encoding="utf-8")
    device.unlink(missing_ok=True)
    env = {
        "BITLOOM_CYCLES_PER_BIT": str(divisor(params.clock_hz, params.baud)),
        "BITLOOM_FRAME_CYCLES": str(params.clock_hz // 10),
        "BITLOOM_DEVICE_FILE": str(device.resolve()),
    }
    with _announce(device, ready):
        simulate(
            [source],
            manifest["module"],
            "sim.bench.board",
            folder,
            simulator=simulator,
            env=env,
            waves=waves,
        )


@contextlib.contextmanager
def _announce(device: Path, ready: Callable[[str], None]) -> Iterator[None]:
    """Call ``ready`` with what ``device`` says as soon as it exists."""
    over = threading.Event()

    def watch() -> None:
        while not device.exists():
            if over.wait(0.02):
                return
        ready(device.read_text(encoding="utf-8"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()

# SPDX-License-Identifier: Apache-2.0
"""Simulated boards: the emitted Verilog behind a pseudo-terminal, or called by the driver."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpga.driver.uart import words_per_frame
from gen.emit import emit
from gen.unit import discover
from hw.axi.uart import divisor
from sim.runner import simulate

if TYPE_CHECKING:
    from sim.coprocessor import MemoryModel, SimTransport

__all__ = ["BAUD", "CLOCK_HZ", "UNITS", "serve", "simulated"]

#: Units that :func:`serve` takes, those with ports ``uart_rx`` and ``uart_tx``.
UNITS = ("pe-uart", "coprocessor-uart")
#: A low rate, so that the bridge's time limit of 100 ms is few cycles.
BAUD = 19_200
CLOCK_HZ = 8 * BAUD  #: The fewest cycles per bit that the UART takes.


def serve(
    params: Any,
    folder: Path,
    ready: Callable[[str], None],
    *,
    unit: str = UNITS[0],
    simulator: str | None = None,
    waves: bool = False,
) -> None:
    """Simulate ``unit``, one of :data:`UNITS`, with ``params`` in ``folder`` until interrupted.

    ``ready`` is called once, from another thread, with the path of the pseudo-terminal that a host
    may then open. Raises :class:`sim.runner.SimulationError` if the simulator stops by itself.
    """
    words_per_frame(params.baud)  # a rate that no host can use is an error here already
    text, manifest = emit(discover()[unit], params)
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


def simulated(
    model: "MemoryModel | None" = None, **options: Any
) -> "tuple[SimTransport, dict[str, Any]]":
    """Return a simulated co-processor with a memory, and its manifest, for the driver.

    ``options`` are those of the unit ``coprocessor``, such as ``preset="small"``; ``model`` says
    how the memory behaves. Raises ``ValueError`` for options that it refuses and
    :class:`fpga.tools.ToolError` where Yosys or a compiler is missing.
    """
    from sim.coprocessor import SimTransport

    found = discover()["coprocessor"]
    try:
        params = found.params(**options)
    except TypeError as error:
        raise ValueError(f"{error}".replace("CoprocessorParams.__init__()", "simulated")) from None
    text, manifest = emit(found, params)
    return SimTransport(text, manifest, model), manifest


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

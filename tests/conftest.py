# SPDX-License-Identifier: Apache-2.0
"""What holds for every test: which Yosys writes the Verilog, and how many workers run."""

import contextlib
import os
import signal
import tempfile
from pathlib import Path

import pytest

# A Yosys on the machine's path must not decide what the tests see.
os.environ["AMARANTH_USE_YOSYS"] = "builtin"


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the cores this process may use; no more than memory of a usual machine bears."""
    return min(len(os.sched_getaffinity(0)), 8)


def pytest_configure(config: pytest.Config) -> None:
    """Make interrupts work, and let Yosys compile itself before several workers would at once."""
    from fpga import tools

    # A job in the background of a script ignores interrupts, and so would all that tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput") and config.getoption("numprocesses", 0):
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(tools.ToolError):
            tools.run("yosys", ["-V"], Path(folder), timeout=600)

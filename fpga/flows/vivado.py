# SPDX-License-Identifier: Apache-2.0
"""AMD Zynq UltraScale+ through Vivado.

The block design gives the unit what UG1085 calls M_AXI_HPM0_FPD as an AXI4-Lite bus at
:data:`BASE`, and ``pl_clk0`` with a reset that is synchronous to it.
"""

import json
import os
import re
from importlib import resources
from typing import Any

from fpga import launcher, tools
from fpga.flows.job import BuildError, Job
from fpga.top import BUS_ADDRESS_WIDTH
from fpga.top import block_design_top as top

__all__ = ["BASE", "TOOLS", "run", "top"]

TOOLS = ("edalize", "make", "vivado")

BASE = 0xA000_0000  #: Where the processors see the unit's registers.
RESULT, LOG = "result.json", "vivado.log"


def _settings(job: Job) -> str:
    values = {
        "clock_mhz": f"{job.board.clock_hz / 1e6:g}",
        "address_width": BUS_ADDRESS_WIDTH,
        "base": f"{BASE:#010x}",
        "range": f"{(1 << BUS_ADDRESS_WIDTH) >> 10}K",
    }
    return "".join(f"set {name} {value}\n" for name, value in values.items())


def _write_project(job: Job) -> None:
    from edalize.flows.vivado import Vivado

    own = resources.files("fpga.flows")
    scripts = {
        "settings.tcl": _settings(job),
        "system.tcl": (own / "zynqmp.tcl").read_text(encoding="utf-8"),
        "result.tcl": (own / "vivado_result.tcl").read_text(encoding="utf-8"),
    }
    for name, text in scripts.items():
        (job.folder / name).write_text(text, encoding="utf-8")
    options = {
        "part": job.part.device,
        "board_part": job.part.board_part,
        # The block design brings sources of its own, which Vivado alone can put in order.
        "source_mgmt_mode": "All",
    }
    edam = job.edam("xdc", options)
    edam["files"] += [
        {"name": name, "file_type": "tclSource"} for name in ("settings.tcl", "system.tcl")
    ]
    Vivado(edam, os.fspath(job.folder)).configure()


def run(job: Job) -> dict[str, Any]:
    """Write the project, build, and return utilisation, clocks and the name of the bitstream.

    Raises :class:`~fpga.flows.job.BuildError` when Vivado is missing or gives up; the project is
    complete then.
    """
    for name in ("edalize", "make"):
        tools.require(name)
    bitstream = f"{job.name}.bit"
    job.remove(f"{job.name}.xpr", bitstream, RESULT, LOG)
    _write_project(job)
    if tools.find("vivado") is None:
        raise BuildError(
            f"Vivado is not installed; its project for {job.part.device} is written to"
            f" {job.folder}; {tools.TOOLS['vivado'].install}, then run this again"
        )
    job.progress(f"{job.name}: Vivado (log: {job.folder / LOG})")
    try:
        tools.run("make", ("EDALIZE_LAUNCHER=", bitstream), job.folder, timeout=launcher.TIMEOUT)
    except tools.ToolError as error:
        raise BuildError(_why(job, error)) from None
    result = json.loads((job.folder / RESULT).read_text(encoding="utf-8"))
    return {"bitstream": bitstream, **describe(job, result)}


def describe(job: Job, result: dict[str, Any]) -> dict[str, Any]:
    """Return utilisation and clocks from what ``vivado_result.tcl`` wrote."""
    period = 1e9 / job.board.clock_hz
    slack = result.pop("slack_ns")
    clock = {
        "achieved_mhz": round(1e3 / (period - slack), 2),
        "constraint_mhz": round(1e3 / period, 2),
        "met": slack >= 0,
    }
    cells = {
        name: {"used": used, "available": job.part.cells[name]}
        for name, used in result.items()
        if used
    }
    return {"utilisation": cells, "clocks": {"aclk": clock}}


def _why(job: Job, error: tools.ToolError) -> str:
    log = job.folder / LOG
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    complaint = re.search(r"^ERROR: (.*)", text, re.M)
    reason = complaint[1] if complaint else str(error).removeprefix("make failed: ")
    return f"Vivado stopped: {reason}"

# SPDX-License-Identifier: Apache-2.0
"""AMD FPGAs through Vivado: a design with pins for clock, reset and serial port."""

import json
import os
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from fpga import launcher, tools
from fpga.flows.job import BuildError, Job
from fpga.top import serial_top as top

__all__ = ["TOOLS", "run", "run_with", "top"]

TOOLS = ("edalize", "make", "vivado")

RESULT, LOG = "result.json", "vivado.log"


def _write_project(job: Job, scripts: Mapping[str, str]) -> None:
    from edalize.flows.vivado import Vivado

    hook = "STEPS.WRITE_BITSTREAM.TCL.PRE [file normalize result.tcl] [get_runs impl_1]"
    texts = {
        **scripts,
        "hook.tcl": f"set_property {hook}\n",
        "result.tcl": own_script("vivado_result.tcl"),
    }
    for name, text in texts.items():
        (job.folder / name).write_text(text, encoding="utf-8")
    options = {
        "part": job.part.device,
        # A block design brings sources of its own, which Vivado alone can put in order.
        "source_mgmt_mode": "All",
    }
    if job.part.board_part:
        options["board_part"] = job.part.board_part
    edam = job.edam("xdc", options)
    edam["files"] += [{"name": name, "file_type": "tclSource"} for name in (*scripts, "hook.tcl")]
    Vivado(edam, os.fspath(job.folder)).configure()


def own_script(name: str) -> str:
    """Return the text of a script of this package."""
    return (resources.files("fpga.flows") / name).read_text(encoding="utf-8")


def run(job: Job) -> dict[str, Any]:
    """Build; see :func:`run_with`."""
    return run_with(job, {})


def run_with(job: Job, scripts: Mapping[str, str]) -> dict[str, Any]:
    """Write the project, build, and return utilisation, clocks and the name of the bitstream.

    ``scripts`` are Tcl files, name and text, that add to the project. Raises
    :class:`~fpga.flows.job.BuildError` when Vivado is missing or gives up; the project is complete
    then.
    """
    for name in ("edalize", "make"):
        tools.require(name)
    bitstream = f"{job.name}.bit"
    job.remove(f"{job.name}.xpr", bitstream, RESULT, LOG)
    _write_project(job, scripts)
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
    return {"utilisation": cells, "clocks": {job.clock: clock}}


def _why(job: Job, error: tools.ToolError) -> str:
    log = job.folder / LOG
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    complaint = re.search(r"^ERROR: (.*)", text, re.M)
    reason = complaint[1] if complaint else str(error).removeprefix("make failed: ")
    return f"Vivado stopped: {reason}"
